package ramdisk

import (
	"fmt"
	"strings"

	"sprout"
)

// ChooseDisk returns the one disk that the rule means and that holds need
// bytes, and why. The failure is NoDiskMatches, DiskTooSmall or DiskAmbiguous,
// with every disk of the machine as its evidence.
func ChooseDisk(disks []sprout.Disk, rule sprout.DiskRule, need int64) (sprout.Disk, string, *sprout.Failure) {
	fail := func(code sprout.Code, format string, args ...any) (sprout.Disk, string, *sprout.Failure) {
		return sprout.Disk{}, "", sprout.Fail(code, fmt.Sprintf(format, args...), describe(disks))
	}
	var matching, fitting []sprout.Disk
	for _, d := range disks {
		if mismatch(d, rule) == "" {
			matching = append(matching, d)
			if d.Bytes >= need {
				fitting = append(fitting, d)
			}
		}
	}
	switch {
	case len(matching) == 0 && rule == (sprout.DiskRule{}):
		return fail(sprout.NoDiskMatches, "the machine has no disk that can be written")
	case len(matching) == 0:
		return fail(sprout.NoDiskMatches, "no disk matches the rule %s", ruleText(rule))
	case len(fitting) == 0:
		return fail(sprout.DiskTooSmall, "the image needs %d bytes and the largest disk that matches has %d", need, largest(matching))
	case rule != (sprout.DiskRule{}):
		if len(fitting) > 1 {
			return fail(sprout.DiskAmbiguous, "%d disks match the rule %s", len(fitting), ruleText(rule))
		}
		return fitting[0], "the only disk that matches the rule " + ruleText(rule), nil
	}
	return smallest(fitting, fail)
}

func smallest(disks []sprout.Disk, fail func(sprout.Code, string, ...any) (sprout.Disk, string, *sprout.Failure)) (sprout.Disk, string, *sprout.Failure) {
	best, same := disks[0], 0
	for _, d := range disks {
		if d.Bytes < best.Bytes {
			best = d
		}
	}
	for _, d := range disks {
		if d.Bytes == best.Bytes {
			same++
		}
	}
	if same > 1 {
		return fail(sprout.DiskAmbiguous, "no rule is given and the %d smallest disks that are large enough all have %d bytes", same, best.Bytes)
	}
	return best, "the smallest disk that is large enough", nil
}

// mismatch says why the disk does not match; empty: it does.
func mismatch(d sprout.Disk, r sprout.DiskRule) string {
	switch {
	case d.ReadOnly:
		return "is read-only"
	case r.Serial != "" && r.Serial != d.Serial:
		return "serial"
	case r.WWN != "" && !strings.EqualFold(r.WWN, d.WWN):
		return "wwn"
	case r.Model != "" && r.Model != d.Model:
		return "model"
	case r.Name != "" && strings.TrimPrefix(r.Name, "/dev/") != d.Name:
		return "name"
	case r.MinBytes > d.Bytes:
		return "size"
	case r.Rotational != nil && *r.Rotational != d.Rotational:
		return "rotational"
	}
	return ""
}

func largest(disks []sprout.Disk) (n int64) {
	for _, d := range disks {
		n = max(n, d.Bytes)
	}
	return n
}

func ruleText(r sprout.DiskRule) string {
	var parts []string
	for _, f := range []struct{ name, value string }{{"serial", r.Serial}, {"wwn", r.WWN}, {"model", r.Model}, {"name", r.Name}} {
		if f.value != "" {
			parts = append(parts, f.name+"="+f.value)
		}
	}
	if r.MinBytes > 0 {
		parts = append(parts, fmt.Sprintf("minBytes=%d", r.MinBytes))
	}
	if r.Rotational != nil {
		parts = append(parts, fmt.Sprintf("rotational=%t", *r.Rotational))
	}
	return strings.Join(parts, ",")
}

func describe(disks []sprout.Disk) string {
	if len(disks) == 0 {
		return "no disks"
	}
	var b strings.Builder
	for _, d := range disks {
		fmt.Fprintf(&b, "%s: %d bytes, serial %q, model %q, wwn %q, rotational %t, read-only %t\n", d.Name, d.Bytes, d.Serial, d.Model, d.WWN, d.Rotational, d.ReadOnly)
	}
	return b.String()
}
