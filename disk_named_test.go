package sprout_test

import (
	"strings"
	"testing"

	"sprout"
)

// A disk is known again by what it says of itself, and one of another size is another.
func TestADiskIsKnownAgain(t *testing.T) {
	a := sprout.Disk{Name: "sda", Serial: "A", Bytes: 100}
	for _, c := range []struct {
		name string
		a, b sprout.Disk
		same bool
	}{
		{"the kernel calls it otherwise", a, sprout.Disk{Name: "sdb", Serial: "A", Bytes: 100}, true},
		{"another by the same name", a, sprout.Disk{Name: "sda", Serial: "B", Bytes: 100}, false},
		{"another size", a, sprout.Disk{Name: "sda", Serial: "A", Bytes: 200}, false},
		{"wwn before serial", sprout.Disk{WWN: "NAA.1", Serial: "X"}, sprout.Disk{WWN: "naa.1", Serial: "Y"}, true},
		{"one says no serial, and is elsewhere", sprout.Disk{Name: "vda", Path: "pci-1"}, sprout.Disk{Name: "vda", Serial: "A", Path: "pci-2"}, false},
		{"nothing but a name", sprout.Disk{Name: "vda"}, sprout.Disk{Name: "vda"}, true},
		{"nothing but other names", sprout.Disk{Name: "vda"}, sprout.Disk{Name: "vdb"}, false},
	} {
		if c.a.Same(c.b) != c.same || c.b.Same(c.a) != c.same {
			t.Errorf("%s: the same: %v, want %v", c.name, !c.same, c.same)
		}
	}
}

// What the plan did not name is refused, whatever the rule means now.
func TestAWriteKeepsToItsPlan(t *testing.T) {
	a, b := sprout.Disk{Name: "sda", Serial: "A", Bytes: 100}, sprout.Disk{Name: "sdb", Serial: "B", Bytes: 100}
	for _, c := range []struct {
		named, chosen []sprout.Disk
		refused       string
	}{
		{nil, []sprout.Disk{a}, ""},
		{[]sprout.Disk{a, b}, []sprout.Disk{b}, ""},
		{[]sprout.Disk{a}, []sprout.Disk{b}, `disk sdb (serial "B")`},
		{[]sprout.Disk{a}, []sprout.Disk{a, b}, `disk sdb (serial "B")`},
	} {
		failure := sprout.Write{Disks: c.named}.Unnamed(c.chosen)
		if (failure == nil) != (c.refused == "") || failure != nil && !strings.Contains(failure.Reason, c.refused) {
			t.Errorf("named %v, chosen %v: %v", c.named, c.chosen, failure)
		}
	}
}
