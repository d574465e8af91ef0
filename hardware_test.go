package sprout_test

import (
	"net/netip"
	"slices"
	"testing"

	"sprout"
)

func expectedHardware() sprout.Inventory {
	return sprout.Inventory{
		Vendor: "Dell Inc.", Model: "R740", Serial: "ABC", Firmware: "Dell 2.1", MemoryBytes: 32 << 30,
		CPU:   sprout.CPU{Model: "Xeon", Sockets: 2, Cores: 16, Threads: 32},
		DIMMs: []sprout.DIMM{{Slot: "A1", Bytes: 16 << 30, Vendor: "Samsung", Serial: "1"}, {Slot: "B1", Bytes: 16 << 30, Vendor: "Samsung", Serial: "2"}},
		Disks: []sprout.Disk{
			{Name: "sda", Serial: "S1", Model: "PM883", Bytes: 960}, {Name: "sdb", Serial: "S2", Model: "PM883", Bytes: 960},
			{Name: "sdc", Model: "SD", Bytes: 32}, {Name: "sdd", Model: "SD", Bytes: 32},
		},
		Interfaces: []sprout.Interface{{Name: "eno1", MAC: "52:54:00:00:00:01", Link: true, SpeedMbs: 10000}, {Name: "eno2", MAC: "52:54:00:00:00:02", Link: true}},
		PCI: []sprout.PCIDevice{
			{Address: "0000:3b:00.0", Vendor: "10de", Device: "2330", Class: "030200"}, {Address: "0000:86:00.0", Vendor: "10de", Device: "2330", Class: "030200"},
			{Address: "0000:01:00.0", Vendor: "8086", Device: "1533", Class: "020000"},
		},
		Neighbours: []sprout.Neighbour{{MAC: "52:54:00:00:00:01", Chassis: "44:38:39:00:00:01", Port: "swp7", System: "leaf-1", VLAN: 100}},
	}
}

// Each row changes one thing of a machine, and that is told, in words, and nothing
// else.
func TestDifferences(t *testing.T) {
	for name, row := range map[string]struct {
		change func(i *sprout.Inventory)
		want   []string
		worse  bool
	}{
		"nothing":             {func(*sprout.Inventory) {}, nil, false},
		"a DIMM is gone":      {func(i *sprout.Inventory) { i.DIMMs = i.DIMMs[:1]; i.MemoryBytes /= 2 }, []string{"memory B1 is missing (16384 MiB Samsung 2)"}, true},
		"a DIMM is replaced":  {func(i *sprout.Inventory) { i.DIMMs[1].Serial = "9" }, []string{"memory B1: 16384 MiB Samsung 9, was 16384 MiB Samsung 2"}, false},
		"no table of modules": {func(i *sprout.Inventory) { i.DIMMs, i.MemoryBytes = nil, i.MemoryBytes-1<<28 }, nil, false},
		"less memory":         {func(i *sprout.Inventory) { i.DIMMs, i.MemoryBytes = nil, 16<<30 }, []string{"memory: 16384 MiB, was 32768 MiB"}, true},
		"a disk is gone":      {func(i *sprout.Inventory) { i.Disks = slices.Delete(i.Disks, 1, 2) }, []string{"disk sdb is missing (960 bytes PM883 S2)"}, true},
		"a disk is replaced": {func(i *sprout.Inventory) { i.Disks[1].Serial = "S9" },
			[]string{"disk sdb is missing (960 bytes PM883 S2)", "disk sdb is new (960 bytes PM883 S9)"}, true},
		"disks are found in another order": {func(i *sprout.Inventory) { i.Disks[0].Name, i.Disks[1].Name = "sdb", "sda"; slices.Reverse(i.Disks) }, nil, false},
		"one of two that look alike":       {func(i *sprout.Inventory) { i.Disks = i.Disks[:3] }, []string{"disk sdd is missing (32 bytes SD)"}, true},
		"new firmware":                     {func(i *sprout.Inventory) { i.Firmware = "Dell 2.2" }, []string{"firmware: Dell 2.2, was Dell 2.1"}, false},
		"another mainboard":                {func(i *sprout.Inventory) { i.Serial = "XYZ" }, []string{"system serial number: XYZ, was ABC"}, false},
		"half of the cores":                {func(i *sprout.Inventory) { i.CPU.Cores, i.CPU.Threads = 8, 16 }, []string{"cpu cores: 8, was 16", "cpu threads: 16, was 32"}, true},
		"a port is gone":                   {func(i *sprout.Inventory) { i.Interfaces = i.Interfaces[:1] }, []string{"interface eno2 is missing (52:54:00:00:00:02)"}, true},
		"a cable is pulled":                {func(i *sprout.Inventory) { i.Interfaces[1].Link = false }, []string{"cable of eno2: no link, was a link"}, false},
		"a link is slower":                 {func(i *sprout.Inventory) { i.Interfaces[0].SpeedMbs = 1000 }, []string{"cable of eno1: 1000 Mb/s, was 10000 Mb/s"}, false},
		"a cable is moved": {func(i *sprout.Inventory) { i.Neighbours[0].Port = "swp8" },
			[]string{"cable of eno1: leaf-1 port swp8 (VLAN 100), was leaf-1 port swp7 (VLAN 100)"}, false},
		"the switch says nothing":   {func(i *sprout.Inventory) { i.Neighbours = nil }, nil, false},
		"the switch is called anew": {func(i *sprout.Inventory) { i.Neighbours[0].System = "leaf-01" }, nil, false},
		"a GPU is gone":             {func(i *sprout.Inventory) { i.PCI = i.PCI[1:] }, []string{"pci 10de:2330 class 030200: 1, was 2"}, true},
		"the bus is numbered anew":  {func(i *sprout.Inventory) { i.PCI[1].Address = "0000:87:00.0" }, nil, false},
		"a GPU is added":            {func(i *sprout.Inventory) { i.PCI = append(i.PCI, i.PCI[0]) }, []string{"pci 10de:2330 class 030200: 3, was 2"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			expected, found := expectedHardware(), expectedHardware()
			row.change(&found)
			var got []string
			worse := false
			for _, d := range found.Differences(&expected) {
				got, worse = append(got, d.String()), worse || d.Worse
			}
			if !slices.Equal(got, row.want) || worse != row.worse {
				t.Errorf("got %q, worse %t; want %q, %t", got, worse, row.want, row.worse)
			}
		})
	}
	var none *sprout.Inventory
	if known := expectedHardware(); len(known.Differences(nil)) != 0 || len(none.Differences(&known)) != 0 {
		t.Error("what is not known differs")
	}
}

// A BMC that is driven by an address is where the machine says, or that is told with both.
func TestABMCElsewhere(t *testing.T) {
	told := &sprout.HostBMC{Address: netip.MustParseAddr("10.0.5.12"), Source: "dhcp", By: "ipmi"}
	for _, c := range []struct {
		driver, url string
		told        *sprout.HostBMC
		want        string
	}{
		{"redfish", "https://10.0.5.11", told, "it is driven at 10.0.5.11, and says that its BMC is at 10.0.5.12 (by ipmi, from dhcp)"},
		{"ipmi", "ipmi://10.0.5.11:6230", told, "it is driven at 10.0.5.11, and says that its BMC is at 10.0.5.12 (by ipmi, from dhcp)"},
		{"redfish", "https://10.0.5.12:8443", told, ""}, {"redfish", "https://bmc.example", told, ""}, {"redfish", "https://[fd00::1]", told, ""},
		{"webhook", "https://10.0.5.11", told, ""}, {"redfish", "https://10.0.5.11", nil, ""},
	} {
		m := sprout.Machine{BMC: &sprout.BMC{Driver: c.driver, URL: c.url}, Inventory: &sprout.Inventory{BMC: c.told}}
		if got := m.BMCElsewhere(); got != c.want {
			t.Errorf("%s: %q, want %q", c.url, got, c.want)
		}
	}
	if got := (&sprout.Machine{}).BMCElsewhere(); got != "" {
		t.Errorf("a machine without a BMC: %q", got)
	}
}
