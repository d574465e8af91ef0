package sprout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Neighbour is what the other end of a port's cable says of itself by LLDP
// (IEEE 802.1AB-2016, clause 8.5). Fields are empty where it does not say.
type Neighbour struct {
	MAC         string `json:"mac" doc:"The machine's port that heard it" example:"52:54:00:12:34:56"`
	Chassis     string `json:"chassis" doc:"Identifier of the switch, mostly a MAC address" example:"44:38:39:00:00:01"`
	Port        string `json:"port" doc:"Identifier of the switch's port" example:"swp7"`
	System      string `json:"system,omitempty" doc:"Name of the switch" example:"leaf-1"`
	Description string `json:"description,omitempty" doc:"What the switch calls the port" example:"rack 12, machine 7"`
	VLAN        int    `json:"vlan,omitempty" doc:"VLAN of untagged frames; 0: not said" example:"100"`
}

// String is where the cable leads, as people say it.
func (n Neighbour) String() string {
	s := cmp.Or(n.System, n.Chassis) + " port " + n.Port
	if n.VLAN != 0 {
		s += fmt.Sprintf(" (VLAN %d)", n.VLAN)
	}
	return s
}

// A Deviation is what became of a part since a machine's hardware was expected.
type Deviation string

const (
	PartMissing Deviation = "missing" // it is not there, or there is less of it
	PartAdded   Deviation = "added"   // it was not there
	PartChanged Deviation = "changed" // it is there, and not as it was
)

// A Difference is one part of a machine that is not as expected.
type Difference struct {
	Part  string    `json:"part" enum:"system,firmware,cpu,memory,disk,interface,cable,pci" doc:"What kind of part"`
	Name  string    `json:"name" doc:"Which one" example:"A1"`
	What  Deviation `json:"what" enum:"missing,added,changed"`
	Was   string    `json:"was,omitempty" doc:"What is expected; absent: nothing" example:"16 GiB Samsung"`
	Is    string    `json:"is,omitempty" doc:"What was found; absent: nothing" example:"no link"`
	Worse bool      `json:"worse" doc:"The machine has less than expected: it is not offered to anybody" example:"true"`
}

// String is the difference in words.
func (d Difference) String() string {
	name := strings.TrimSpace(d.Part + " " + d.Name)
	switch d.What {
	case PartMissing:
		if d.Is != "" {
			return fmt.Sprintf("%s: %s, was %s", name, d.Is, d.Was)
		}
		return fmt.Sprintf("%s is missing (%s)", name, d.Was)
	case PartAdded:
		if d.Was == "" {
			return fmt.Sprintf("%s is new (%s)", name, d.Is)
		}
	case PartChanged:
	}
	return fmt.Sprintf("%s: %s, was %s", name, d.Is, d.Was)
}

// Differences lists in what the inventory differs from the one expected, by part.
// What one of the two does not tell is not compared: firmware that has no table
// of its memory modules, a switch that speaks no LLDP.
func (i *Inventory) Differences(expected *Inventory) []Difference {
	if i == nil || expected == nil {
		return nil
	}
	c := comparison{}
	for _, one := range []struct{ part, name, was, is string }{
		{"system", "model", expected.ModelName(), i.ModelName()},
		{"system", "serial number", expected.Serial, i.Serial},
		{"firmware", "", expected.Firmware, i.Firmware},
		{"cpu", "model", expected.CPU.Model, i.CPU.Model},
	} {
		if one.was != "" && one.is != "" && one.was != one.is {
			c.add(Difference{Part: one.part, Name: one.name, What: PartChanged, Was: one.was, Is: one.is})
		}
	}
	c.amount("cpu", "cores", int64(expected.CPU.Cores), int64(i.CPU.Cores), 0, func(n int64) string { return fmt.Sprint(n) })
	c.amount("cpu", "threads", int64(expected.CPU.Threads), int64(i.CPU.Threads), 0, func(n int64) string { return fmt.Sprint(n) })
	if len(expected.DIMMs) > 0 && len(i.DIMMs) > 0 {
		parts(&c, "memory", expected.DIMMs, i.DIMMs, func(d DIMM) string { return d.Slot }, func(d DIMM) string { return d.Slot }, dimmText)
	} else { // kernels differ in how much they keep for themselves
		c.amount("memory", "", expected.MemoryBytes, i.MemoryBytes, expected.MemoryBytes/32, inMiB)
	}
	parts(&c, "disk", numbered(expected.Disks), numbered(i.Disks), diskKey, func(d numberedDisk) string { return d.Name }, diskText)
	parts(&c, "interface", expected.Interfaces, i.Interfaces, func(f Interface) string { return f.MAC }, func(f Interface) string { return f.Name }, portText)
	c.cables(expected, i)
	c.cards(pciKinds(expected), pciKinds(i))
	return c.list
}

// A comparison is what was found to differ.
type comparison struct{ list []Difference }

func (c *comparison) add(d Difference) { c.list = append(c.list, d) }

// amount compares two amounts that may differ by some; 0 is not known.
func (c *comparison) amount(part, name string, was, is, some int64, text func(int64) string) {
	switch {
	case was == 0 || is == 0 || was-is <= some && is-was <= some:
	case is < was:
		c.add(Difference{Part: part, Name: name, What: PartMissing, Was: text(was), Is: text(is), Worse: true})
	default:
		c.add(Difference{Part: part, Name: name, What: PartAdded, Was: text(was), Is: text(is)})
	}
}

// parts compares two lists of parts that are known by a key. A part that is there
// still differs where its text does.
func parts[T any](c *comparison, part string, was, is []T, key, name, text func(T) string) {
	for _, old := range was {
		at := slices.IndexFunc(is, func(now T) bool { return key(now) == key(old) })
		switch {
		case at < 0:
			c.add(Difference{Part: part, Name: name(old), What: PartMissing, Was: text(old), Worse: true})
		case text(is[at]) != text(old):
			c.add(Difference{Part: part, Name: name(is[at]), What: PartChanged, Was: text(old), Is: text(is[at])})
		}
	}
	for _, now := range is {
		if !slices.ContainsFunc(was, func(old T) bool { return key(now) == key(old) }) {
			c.add(Difference{Part: part, Name: name(now), What: PartAdded, Is: text(now)})
		}
	}
}

// cables compares where ports' cables lead, and links: who hears nobody now has
// lost no cable by that.
func (c *comparison) cables(expected, found *Inventory) {
	nameOf := func(mac string) string {
		for _, f := range found.Interfaces {
			if f.MAC == mac {
				return cmp.Or(f.Name, mac)
			}
		}
		return mac
	}
	for _, old := range expected.Neighbours {
		for _, now := range found.Neighbours {
			if now.MAC == old.MAC && (now.Chassis != old.Chassis || now.Port != old.Port || now.VLAN != old.VLAN && now.VLAN != 0 && old.VLAN != 0) {
				c.add(Difference{Part: "cable", Name: "of " + nameOf(now.MAC), What: PartChanged, Was: old.String(), Is: now.String()})
			}
		}
	}
	for _, old := range expected.Interfaces {
		for _, now := range found.Interfaces {
			if now.MAC == old.MAC && linkText(now) != linkText(old) {
				c.add(Difference{Part: "cable", Name: "of " + nameOf(now.MAC), What: PartChanged, Was: linkText(old), Is: linkText(now)})
			}
		}
	}
}

// cards compares how many there are of each kind of PCI function.
func (c *comparison) cards(was, is map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if n := is[name]; n < was[name] {
			c.add(Difference{Part: "pci", Name: name, What: PartMissing, Was: fmt.Sprint(was[name]), Is: fmt.Sprint(n), Worse: true})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if n := is[name]; n > was[name] {
			c.add(Difference{Part: "pci", Name: name, What: PartAdded, Was: fmt.Sprint(was[name]), Is: fmt.Sprint(n)})
		}
	}
}
