// Package alloctest is the contract of alloc.Provider.
package alloctest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/alloc"
)

// GiB is 2^30 bytes.
const GiB = 1 << 30

// Machine makes a ready machine of a size.
func Machine(name string, cores int, memory, disk int64) sprout.Machine {
	return sprout.Machine{
		ID: sprout.MachineID("mch_" + name), Name: name, Site: "sit_a", SiteName: "lon1",
		State: sprout.Ready, Architecture: sprout.AMD64, BootMode: sprout.UEFI,
		Interfaces: []sprout.Interface{{MAC: "52:54:00:00:00:01"}},
		Inventory:  &sprout.Inventory{CPU: sprout.CPU{Cores: cores}, MemoryBytes: memory, Disks: []sprout.Disk{{Name: "vda", Bytes: disk}}},
	}
}

// with returns the machine after a change.
func with(m sprout.Machine, change func(m *sprout.Machine)) sprout.Machine {
	change(&m)
	return m
}

// Run holds a provider to the contract.
func Run(t *testing.T, p alloc.Provider) {
	t.Helper()
	t.Run("only what is free and well", func(t *testing.T) { free(t, p) })
	t.Run("each constraint removes", func(t *testing.T) { each(t, p) })
	t.Run("what machines must not have", func(t *testing.T) { kept(t, p) })
	t.Run("the tightest fit is first", func(t *testing.T) { tightest(t, p) })
	t.Run("nothing changes what it is given", func(t *testing.T) { pure(t, p) })
	t.Run("every machine is accounted for", func(t *testing.T) { accounted(t, p) })
	t.Run("what one machine lacks", func(t *testing.T) { lacks(t, p) })
	t.Run("near misses", func(t *testing.T) { near(t, p) })
}

func free(t *testing.T, p alloc.Provider) {
	list := []sprout.Machine{
		Machine("good", 4, 4*GiB, 8*GiB),
		with(Machine("locked", 4, 4*GiB, 8*GiB), func(m *sprout.Machine) { m.Locked = true }),
		with(Machine("busy", 4, 4*GiB, 8*GiB), func(m *sprout.Machine) { m.Activity = &sprout.Activity{Kind: "commission"} }),
		with(Machine("ill", 4, 4*GiB, 8*GiB), func(m *sprout.Machine) {
			m.Problems = []sprout.Problem{{Code: sprout.DiskFailed, Severity: sprout.Critical}}
		}),
		with(Machine("grumbling", 4, 4*GiB, 8*GiB), func(m *sprout.Machine) {
			m.Problems = []sprout.Problem{{Code: sprout.CancelledByUser, Severity: sprout.Warning}}
		}),
	}
	for _, s := range sprout.States {
		if s != sprout.Ready {
			list = append(list, with(Machine(string(s), 4, 4*GiB, 8*GiB), func(m *sprout.Machine) { m.State = s }))
		}
	}
	wantFit(t, p, alloc.Request{}, list, "good", "grumbling")
}

func each(t *testing.T, p alloc.Provider) {
	good := with(Machine("good", 8, 16*GiB, 100*GiB), func(m *sprout.Machine) {
		m.Tags, m.Pool, m.Zone, m.Labels = []string{"gpu", "fast"}, "web", "a", sprout.Labels{"rack": "r1"}
		m.Inventory.Address = netip.MustParseAddr("10.0.0.7")
		m.Interfaces = append(m.Interfaces, sprout.Interface{MAC: "52:54:00:00:00:02"})
		m.Interfaces[0].SpeedMbs = 25_000
		m.Inventory.Disks = append(m.Inventory.Disks, sprout.Disk{Name: "vdb", Bytes: 9 * GiB, Bus: "nvme"}, sprout.Disk{Name: "vdc", Bytes: 9 * GiB, Bus: "nvme"},
			sprout.Disk{Name: "sda", Bytes: 900 * GiB, Rotational: true, Bus: "sata"})
		m.Inventory.Vendor, m.Inventory.Model, m.Inventory.CPU.Model = "Acme", "R1", "Fast(R) CPU 9000"
		m.Inventory.PCI = []sprout.PCIDevice{{Vendor: "10de", Device: "20b5"}, {Vendor: "10de", Device: "20b5"}}
	})
	small := with(Machine("small", 2, 2*GiB, 10*GiB), func(m *sprout.Machine) {
		m.Tags, m.Interfaces[0].SpeedMbs = []string{"old"}, 1000
		m.Inventory.Disks = append(m.Inventory.Disks, sprout.Disk{Name: "sr0", Bytes: 900 * GiB, Rotational: true, Bus: "sata", ReadOnly: true})
		m.Inventory.PCI = []sprout.PCIDevice{{Vendor: "10de", Device: "1db6"}}
	})
	small.Site, small.SiteName, small.Architecture, small.BootMode = "sit_b", "par1", sprout.ARM64, sprout.BIOS
	bare := with(Machine("bare", 0, 0, 0), func(m *sprout.Machine) {
		m.Inventory, m.Interfaces, m.Architecture, m.BootMode, m.Site = nil, nil, "", "", "sit_c"
	})
	for _, r := range []alloc.Request{
		{Site: "sit_a"}, {Name: "good"}, {Architecture: sprout.AMD64}, {BootMode: sprout.UEFI}, {MinCores: 8}, {MinMemory: 16 * GiB},
		{MinDisk: 100 * GiB}, {MinDisks: 2}, {MinNICs: 2}, {Tags: []string{"gpu", "fast"}}, {Pool: "web"}, {Zone: "a"},
		{Model: "acme r1"}, {CPU: "cpu 9000"}, {MinSpeed: 10_000}, {Disks: []alloc.Disks{{Count: 2, Bus: "NVMe", MinBytes: 9 * GiB}}},
		{Disks: []alloc.Disks{{Rotational: new(true)}}}, {Disks: []alloc.Disks{{Count: 3, Rotational: new(false)}}},
		{PCI: []alloc.PCI{{Vendor: "10DE", Count: 2}}}, {PCI: []alloc.PCI{{Vendor: "10de", Device: "20B5"}}},
		{Labels: []sprout.Requirement{{Key: "rack", Value: "r1"}}}, {Subnet: netip.MustParsePrefix("10.0.0.0/24")},
		{Networks: []alloc.Network{{Name: "storage", Sites: []sprout.SiteID{"sit_a"}}}},
	} {
		wantFit(t, p, r, []sprout.Machine{small, good, bare}, "good")
		if _, removed := p.Choose(r, []sprout.Machine{small}); len(removed) != 1 || removed[0].Removed != 1 || removed[0].Constraint == "" {
			t.Errorf("%+v: removed %+v", r, removed)
		}
	}
}

// kept is what a request asks machines not to have.
func kept(t *testing.T, p alloc.Provider) {
	list := []sprout.Machine{with(Machine("old", 4, 4*GiB, 8*GiB), func(m *sprout.Machine) { m.Tags = []string{"old"} }), Machine("new", 4, 4*GiB, 8*GiB)}
	wantFit(t, p, alloc.Request{NotTags: []string{"old", "slow"}}, list, "new")
	// Each kind of disk is counted by itself, and of all of a kind so many must be there.
	wantFit(t, p, alloc.Request{MinNICs: 2, MinSpeed: 1000}, list)
	wantFit(t, p, alloc.Request{PCI: []alloc.PCI{{Vendor: "10de"}}}, list)
	wantFit(t, p, alloc.Request{Networks: []alloc.Network{{Name: "nowhere"}}}, list)
}

func tightest(t *testing.T, p alloc.Provider) {
	list := []sprout.Machine{
		Machine("huge", 64, 512*GiB, 4000*GiB),
		with(Machine("special", 4, 8*GiB, 100*GiB), func(m *sprout.Machine) { m.Tags = []string{"gpu"} }),
		Machine("tight", 4, 8*GiB, 100*GiB),
		Machine("roomy", 4, 64*GiB, 100*GiB),
		Machine("less", 2, 8*GiB, 100*GiB),
	}
	wantFit(t, p, alloc.Request{MinCores: 4, MinMemory: 8 * GiB}, list, "tight", "special", "roomy", "huge")
}

func pure(t *testing.T, p alloc.Provider) {
	list := []sprout.Machine{Machine("b", 4, 8*GiB, 9*GiB), Machine("a", 2, 2*GiB, 9*GiB)}
	before := fmt.Sprint(list[0].Name, list[1].Name)
	first, _ := p.Choose(alloc.Request{}, list)
	second, _ := p.Choose(alloc.Request{}, list)
	if after := fmt.Sprint(list[0].Name, list[1].Name); after != before || names(first) != names(second) {
		t.Errorf("%s became %s; chose %s, then %s", before, after, names(first), names(second))
	}
}

func accounted(t *testing.T, p alloc.Provider) {
	var list []sprout.Machine
	for i := range 40 {
		list = append(list, with(Machine(fmt.Sprint("m", i), 1+i%5, int64(1+i%7)*GiB, 9*GiB), func(m *sprout.Machine) {
			m.State, m.Locked = sprout.States[i%len(sprout.States)], i%3 == 0
		}))
	}
	fit, removed := p.Choose(alloc.Request{MinCores: 2, MinMemory: 3 * GiB}, list)
	total := len(fit)
	for _, r := range removed {
		total += r.Removed
	}
	if total != len(list) {
		t.Errorf("%d machines, but %d fit and removed: %+v", len(list), total, removed)
	}
}

// lacks wants every constraint named that a machine does not meet, and none of one that fits.
func lacks(t *testing.T, p alloc.Provider) {
	waiting := with(Machine("m", 4, 4*GiB, 8*GiB), func(m *sprout.Machine) {
		m.State, m.Inventory.Address = sprout.Discovered, netip.MustParseAddr("10.0.0.7")
	})
	for _, c := range []struct {
		r    alloc.Request
		want []string
	}{
		{alloc.Request{State: sprout.Discovered, MinCores: 4, Subnet: netip.MustParsePrefix("10.0.0.0/24")}, nil},
		{alloc.Request{MinCores: 4}, []string{"state"}},
		{alloc.Request{State: sprout.Discovered, MinCores: 8, MinMemory: 8 * GiB, Subnet: netip.MustParsePrefix("10.0.1.0/24")}, []string{"10.0.1.0/24", "cores", "memory"}},
	} {
		got := p.Lacks(c.r, &waiting)
		if fit, _ := p.Choose(c.r, []sprout.Machine{waiting}); len(got) != len(c.want) || (len(fit) == 1) != (len(got) == 0) {
			t.Errorf("%+v: lacks %+v, and %d fit", c.r, got, len(fit))
			continue
		}
		for _, word := range c.want {
			if !slices.ContainsFunc(got, func(l alloc.Lack) bool { return strings.Contains(l.Constraint, word) && l.Has != "" }) {
				t.Errorf("%+v: %q is not in %+v", c.r, word, got)
			}
		}
	}
}

func near(t *testing.T, p alloc.Provider) {
	list := []sprout.Machine{
		Machine("a", 4, 1*GiB, 9*GiB), Machine("b", 4, 3*GiB, 9*GiB), Machine("c", 4, 2*GiB, 9*GiB), Machine("d", 4, GiB/2, 9*GiB),
		with(Machine("e", 4, 3*GiB, 9*GiB), func(m *sprout.Machine) { m.Locked = true }), // fails two
	}
	_, removed := p.Choose(alloc.Request{MinMemory: 4 * GiB}, list)
	i := slices.IndexFunc(removed, func(r alloc.Removal) bool { return strings.Contains(r.Constraint, "memory") })
	if i < 0 || removed[i].Removed != 4 || len(removed[i].Nearest) != 3 {
		t.Fatalf("removed %+v", removed)
	}
	for j, want := range []string{"b", "c", "a"} {
		if got := removed[i].Nearest[j]; !strings.HasPrefix(got, want+" ") || !strings.Contains(got, "GiB") {
			t.Errorf("nearest %v: want b, c, a with what they have", removed[i].Nearest)
		}
	}
}

func wantFit(t *testing.T, p alloc.Provider, r alloc.Request, list []sprout.Machine, want ...string) {
	t.Helper()
	fit, _ := p.Choose(r, list)
	if names(fit) != strings.Join(want, " ") {
		t.Errorf("%+v: got %q, want %q", r, names(fit), want)
	}
}

func names(list []sprout.Machine) string {
	var out []string
	for _, m := range list {
		out = append(out, m.Name)
	}
	return strings.Join(out, " ")
}
