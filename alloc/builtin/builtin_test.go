package builtin_test

import (
	"slices"
	"testing"

	"sprout"
	"sprout/alloc"
	"sprout/alloc/alloctest"
	"sprout/alloc/builtin"
)

func TestContract(t *testing.T) { alloctest.Run(t, builtin.Provider{}) }

func TestRemovalsReadWell(t *testing.T) {
	list := []sprout.Machine{alloctest.Machine("m1", 2, 3<<29, 10<<30), alloctest.Machine("m2", 8, 4<<30, 10<<30)}
	list[1].State = sprout.Deployed
	_, removed := builtin.Provider{}.Choose(alloc.Request{MinMemory: 2 << 30}, list)
	want := []alloc.Removal{
		{Constraint: "state is ready", Removed: 1, Nearest: []string{"m2 (deployed)"}},
		{Constraint: "memory at least 2 GiB", Removed: 1, Nearest: []string{"m1 (memory: 1.5 GiB)"}},
	}
	if !slices.EqualFunc(removed, want, func(a, b alloc.Removal) bool {
		return a.Constraint == b.Constraint && a.Removed == b.Removed && slices.Equal(a.Nearest, b.Nearest)
	}) {
		t.Errorf("got %+v", removed)
	}
}

// Every near miss says in words what the machine has in place of what is asked for.
func TestNearMissesSayWhatMachinesHave(t *testing.T) {
	m := alloctest.Machine("m1", 2, 3<<29, 10<<30)
	m.Tags, m.Interfaces[0].SpeedMbs = []string{"old"}, 1000
	m.Inventory.Vendor, m.Inventory.Model, m.Inventory.CPU.Model = "Acme", "R1", "Slow CPU"
	m.Inventory.Disks[0].Bus, m.Inventory.PCI = "sata", []sprout.PCIDevice{{Vendor: "8086", Device: "1533"}}
	for _, c := range []struct {
		r    alloc.Request
		want string
	}{
		{alloc.Request{Model: "R2"}, `model has "R2": m1 (model: Acme R1)`},
		{alloc.Request{CPU: "fast"}, `processor has "fast": m1 (processor: Slow CPU)`},
		{alloc.Request{Disks: []alloc.Disks{{Count: 2, Bus: "NVMe", Rotational: new(false), MinBytes: 1 << 40}}},
			"at least 2 non-rotational nvme disks of at least 1 TiB: m1 (0 of: sata 10 GiB)"},
		{alloc.Request{MinSpeed: 25000}, "at least 1 network ports of at least 25 Gb/s: m1 (0 of: 1 Gb/s)"},
		{alloc.Request{PCI: []alloc.PCI{{Vendor: "10DE", Count: 4}}}, "at least 4 PCI devices 10de:*: m1 (0 of: 8086:1533)"},
		{alloc.Request{NotTags: []string{"old"}}, "no tag old: m1 (tags: old)"},
		{alloc.Request{Networks: []alloc.Network{{Name: "storage"}}}, "network storage: m1 (site: lon1)"},
	} {
		_, removed := builtin.Provider{}.Choose(c.r, []sprout.Machine{m})
		if len(removed) != 1 || len(removed[0].Nearest) != 1 || removed[0].Constraint+": "+removed[0].Nearest[0] != c.want {
			t.Errorf("got %+v, want %s", removed, c.want)
		}
	}
}
