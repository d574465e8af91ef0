package builtin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sprout"
	"sprout/alloc"
)

// parts are the constraints on what is in a machine, by its inventory: models,
// and so many parts of a kind.
func parts(r alloc.Request) []constraint {
	var list []constraint
	words := func(noun, want string, get func(m *sprout.Machine) string) {
		if want != "" {
			list = append(list, constraint{name: fmt.Sprintf("%s has %q", noun, want),
				meets: func(m *sprout.Machine) bool { return strings.Contains(strings.ToLower(get(m)), strings.ToLower(want)) },
				has:   func(m *sprout.Machine) string { return noun + ": " + cmp.Or(get(m), "unknown") }})
		}
	}
	some := func(least int, kind string, count func(m *sprout.Machine) int, all func(m *sprout.Machine) []string) {
		least = max(1, least)
		list = append(list, constraint{name: fmt.Sprintf("at least %d %s", least, kind),
			meets: func(m *sprout.Machine) bool { return count(m) >= least },
			has: func(m *sprout.Machine) string {
				return fmt.Sprintf("%d of: %s", count(m), cmp.Or(strings.Join(all(m), ", "), "none"))
			},
			size: func(m *sprout.Machine) float64 { return float64(count(m)) },
		})
	}
	words("model", r.Model, model)
	words("processor", r.CPU, func(m *sprout.Machine) string { return inventory(m).CPU.Model })
	for _, d := range r.Disks {
		some(d.Count, diskWords(d), disksLike(d), diskNames)
	}
	if r.MinSpeed > 0 {
		some(r.MinNICs, "network ports of at least "+speed(r.MinSpeed), portsOf(r.MinSpeed), portNames)
	}
	for _, p := range r.PCI {
		some(p.Count, "PCI devices "+strings.ToLower(p.Vendor+":"+cmp.Or(p.Device, "*")), devicesLike(p), deviceNames)
	}
	return list
}

func diskWords(d alloc.Disks) string {
	words := "disks"
	if d.Bus != "" {
		words = strings.ToLower(d.Bus) + " " + words
	}
	if d.Rotational != nil {
		words = map[bool]string{true: "rotational ", false: "non-rotational "}[*d.Rotational] + words
	}
	if d.MinBytes > 0 {
		words += " of at least " + bytes(d.MinBytes)
	}
	return words
}

func disksLike(d alloc.Disks) func(m *sprout.Machine) int {
	return func(m *sprout.Machine) (n int) {
		for _, has := range inventory(m).Disks {
			if !has.ReadOnly && has.Bytes >= d.MinBytes && (d.Bus == "" || strings.EqualFold(d.Bus, has.Bus)) && (d.Rotational == nil || *d.Rotational == has.Rotational) {
				n++
			}
		}
		return n
	}
}

func diskNames(m *sprout.Machine) (all []string) {
	for _, has := range inventory(m).Disks {
		if !has.ReadOnly {
			all = append(all, strings.TrimSpace(has.Bus+" "+bytes(has.Bytes)))
		}
	}
	return all
}

func portsOf(least int) func(m *sprout.Machine) int {
	return func(m *sprout.Machine) (n int) {
		for _, f := range m.Interfaces {
			if f.SpeedMbs >= least {
				n++
			}
		}
		return n
	}
}

func portNames(m *sprout.Machine) (all []string) {
	for _, f := range m.Interfaces {
		all = append(all, speed(f.SpeedMbs))
	}
	return all
}

func devicesLike(p alloc.PCI) func(m *sprout.Machine) int {
	return func(m *sprout.Machine) (n int) {
		for _, d := range inventory(m).PCI {
			if strings.EqualFold(d.Vendor, p.Vendor) && (p.Device == "" || strings.EqualFold(d.Device, p.Device)) {
				n++
			}
		}
		return n
	}
}

// mostNamed bounds how many devices a near miss names.
const mostNamed = 8

func deviceNames(m *sprout.Machine) (all []string) {
	for _, d := range inventory(m).PCI {
		if name := d.Vendor + ":" + d.Device; len(all) < mostNamed && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// inventory is what a machine has; nothing where nobody has looked.
func inventory(m *sprout.Machine) *sprout.Inventory {
	if m.Inventory == nil {
		return &sprout.Inventory{}
	}
	return m.Inventory
}

func model(m *sprout.Machine) string {
	return strings.TrimSpace(inventory(m).Vendor + " " + inventory(m).Model)
}

func cores(m *sprout.Machine) int64 { return int64(inventory(m).CPU.Cores) }

func memory(m *sprout.Machine) int64 { return inventory(m).MemoryBytes }

func largestDisk(m *sprout.Machine) (largest int64) {
	for _, d := range inventory(m).Disks {
		if !d.ReadOnly {
			largest = max(largest, d.Bytes)
		}
	}
	return largest
}

func disks(m *sprout.Machine) (n int64) {
	for _, d := range inventory(m).Disks {
		if !d.ReadOnly {
			n++
		}
	}
	return n
}

func nics(m *sprout.Machine) int64 { return int64(len(m.Interfaces)) }

// speed shows Mb/s.
func speed(mbs int) string {
	switch {
	case mbs <= 0:
		return "unknown speed"
	case mbs%1000 == 0:
		return fmt.Sprintf("%d Gb/s", mbs/1000)
	}
	return fmt.Sprintf("%d Mb/s", mbs)
}
