package sprout

import (
	"fmt"
	"slices"
	"strings"
)

// Choose returns the one disk that the rule means and that holds need bytes, and
// why. The failure is NoDiskMatches, DiskTooSmall or DiskAmbiguous, with every
// disk of the machine as its evidence. The ramdisk chooses by it, and a plan
// says by it what the ramdisk is going to choose.
func (r DiskRule) Choose(disks []Disk, need int64) (Disk, string, *Failure) {
	fail := func(code Code, format string, args ...any) (Disk, string, *Failure) {
		return Disk{}, "", Fail(code, fmt.Sprintf(format, args...), DescribeDisks(disks))
	}
	var matching, fitting []Disk
	for _, d := range disks {
		if r.Mismatch(d) == "" {
			matching = append(matching, d)
			if d.Bytes >= need {
				fitting = append(fitting, d)
			}
		}
	}
	switch {
	case len(matching) == 0 && r == (DiskRule{}):
		return fail(NoDiskMatches, "the machine has no disk that can be written")
	case len(matching) == 0:
		return fail(NoDiskMatches, "no disk matches the rule %s", r)
	case len(fitting) == 0:
		return fail(DiskTooSmall, "the image needs %d bytes and the largest disk that matches has %d", need, largest(matching))
	case r != (DiskRule{}) && !r.Smallest:
		if len(fitting) > 1 {
			return fail(DiskAmbiguous, "%d disks match the rule %s", len(fitting), r)
		}
		return fitting[0], "the only disk that matches the rule " + r.String(), nil
	}
	return smallest(r, fitting, fail)
}

func smallest(r DiskRule, disks []Disk, fail func(Code, string, ...any) (Disk, string, *Failure)) (Disk, string, *Failure) {
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
		given := "no rule is given"
		if r != (DiskRule{}) {
			given = "the rule is " + r.String()
		}
		return fail(DiskAmbiguous, "%s and the %d smallest disks that are large enough all have %d bytes", given, same, best.Bytes)
	}
	return best, "the smallest disk that is large enough", nil
}

// Mismatch says why the disk does not match; empty: it does.
func (r DiskRule) Mismatch(d Disk) string {
	switch {
	case d.ReadOnly:
		return "is read-only"
	case d.Removable && !r.names():
		return "is removable" // it is not the machine's, unless it is named
	case r.Serial != "" && r.Serial != d.Serial:
		return "serial"
	case r.WWN != "" && !strings.EqualFold(r.WWN, d.WWN):
		return "wwn"
	case r.Model != "" && r.Model != d.Model:
		return "model"
	case r.Name != "" && strings.TrimPrefix(r.Name, "/dev/") != d.Name:
		return "name"
	case r.Path != "" && strings.TrimPrefix(r.Path, "/dev/disk/by-path/") != d.Path:
		return "path"
	case r.MinBytes > d.Bytes, r.MaxBytes > 0 && r.MaxBytes < d.Bytes:
		return "size"
	case r.Rotational != nil && *r.Rotational != d.Rotational:
		return "rotational"
	}
	return ""
}

// names tells whether the rule names a disk, rather than what it is like.
func (r DiskRule) names() bool {
	return r.Serial != "" || r.WWN != "" || r.Name != "" || r.Path != ""
}

// Same tells whether two disks are the same one, as seen at two times: by WWN or
// serial where both say it, else by where it is attached, or its name. One of another
// size is never the same.
func (d Disk) Same(o Disk) bool {
	if d.Bytes != o.Bytes {
		return false
	}
	for _, id := range [][2]string{{d.WWN, o.WWN}, {d.Serial, o.Serial}, {d.Path, o.Path}} {
		if id[0] != "" && id[1] != "" {
			return strings.EqualFold(id[0], id[1])
		}
	}
	return d.Name == o.Name
}

// Beyond returns those of some disks that are none of the named ones.
func Beyond(disks, named []Disk) (others []Disk) {
	for _, d := range disks {
		if !slices.ContainsFunc(named, d.Same) {
			others = append(others, d)
		}
	}
	return others
}

// Unnamed refuses disks that the plan of the write did not name: the rule means others
// now than by the inventory that was planned by. Nil: it named them all, or none.
func (w Write) Unnamed(chosen []Disk) *Failure {
	others := Beyond(chosen, w.Disks)
	if len(w.Disks) == 0 || len(others) == 0 {
		return nil
	}
	return Fail(NoDiskMatches, fmt.Sprintf("the rule means disk %s (serial %q) now, which the plan did not name: the disks are not those of the last inventory", others[0].Name, others[0].Serial),
		"named by the plan:\n"+DescribeDisks(w.Disks)+"meant now:\n"+DescribeDisks(chosen))
}

func largest(disks []Disk) (n int64) {
	for _, d := range disks {
		n = max(n, d.Bytes)
	}
	return n
}

func (r DiskRule) String() string {
	var parts []string
	for _, f := range []struct{ name, value string }{{"serial", r.Serial}, {"wwn", r.WWN}, {"model", r.Model}, {"name", r.Name}, {"path", r.Path}} {
		if f.value != "" {
			parts = append(parts, f.name+"="+f.value)
		}
	}
	if r.MinBytes > 0 {
		parts = append(parts, fmt.Sprintf("minBytes=%d", r.MinBytes))
	}
	if r.MaxBytes > 0 {
		parts = append(parts, fmt.Sprintf("maxBytes=%d", r.MaxBytes))
	}
	if r.Rotational != nil {
		parts = append(parts, fmt.Sprintf("rotational=%t", *r.Rotational))
	}
	if r.Smallest {
		parts = append(parts, "smallest")
	}
	return strings.Join(parts, ",")
}

// DescribeDisks lists disks as the evidence of a failure, one a line.
func DescribeDisks(disks []Disk) string {
	if len(disks) == 0 {
		return "no disks"
	}
	var b strings.Builder
	for _, d := range disks {
		fmt.Fprintf(&b, "%s: %d bytes, serial %q, model %q, wwn %q, path %q, rotational %t, read-only %t, removable %t\n", d.Name, d.Bytes, d.Serial, d.Model, d.WWN, d.Path, d.Rotational, d.ReadOnly, d.Removable)
	}
	return b.String()
}
