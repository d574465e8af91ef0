package hwtest

import (
	"context"
	"strings"
	"sync"
	"testing"

	"sprout"
)

var plenty = sprout.Inventory{
	Vendor: "Acme", Model: "R1", Serial: "SN-1", CPU: sprout.CPU{Model: "Fast 9000", Threads: 64},
	Disks:      []sprout.Disk{{Name: "sda", Serial: "S-A", Model: "D1"}, {Name: "nvme0n1", Serial: "S-B", Model: "D2"}, {Name: "sdb", Serial: "S-C"}},
	Interfaces: []sprout.Interface{{Name: "eno1", MAC: "52:54:00:00:00:01", PCI: "0000:01:00.0"}, {Name: "eno2", MAC: "52:54:00:00:00:02"}},
	PCI: []sprout.PCIDevice{
		{Address: "0000:01:00.0", Vendor: "8086", Device: "1533", Class: "020000"}, {Address: "0000:3b:00.0", Vendor: "10de", Device: "2330", Class: "030200"},
		{Address: "0000:86:00.0", Vendor: "10de", Device: "2330", Class: "030200"},
	},
}

// Of every kind that there is to test a test has one result for each device, which says
// by what the device is known wherever it is, and which model it is.
func TestOneResultForEachDevice(t *testing.T) {
	want := map[string]string{
		"cpu":    "cpu SN-1 Fast 9000, 64 threads",
		"memory": "memory SN-1 Acme R1",
		"disk":   "sda S-A D1; nvme0n1 S-B D2; sdb S-C ",
		"nic":    "eno1 52:54:00:00:00:01 PCI 8086:1533; eno2 52:54:00:00:00:02 ",
		"gpu":    "0000:3b:00.0 SN-1 PCI 10de:2330; 0000:86:00.0 SN-1 PCI 10de:2330",
		"node":   "node SN-1 Acme R1",
	}
	for _, kind := range Kinds {
		test := Test{Test: sprout.Test{Name: "trial", Kind: kind, Timeout: 60}, Run: func(_ context.Context, d Device) ([]sprout.Metric, error) {
			return []sprout.Metric{{Name: d.Name, Value: 1, Unit: "1"}}, nil
		}}
		var got []string
		for _, r := range Run(t.Context(), []Test{test}, plenty, Peer{}, nil) {
			got = append(got, r.Device+" "+r.Serial+" "+r.Model)
			if r.Outcome != sprout.Passed || r.Kind != kind || len(r.Metrics) != 1 || r.Metrics[0].Name != r.Device {
				t.Errorf("%s: %+v", kind, r)
			}
		}
		if said := strings.Join(got, "; "); said != want[kind] {
			t.Errorf("%s: tested %q, want %q", kind, said, want[kind])
		}
	}
	if len(want) != len(Kinds) {
		t.Errorf("there are the kinds %q", Kinds)
	}
}

// A test that says so runs on all its devices at the same time, and any other on one
// after the other.
func TestParallelism(t *testing.T) {
	for _, parallel := range []bool{true, false} {
		var mu sync.Mutex
		now, most := 0, 0
		all := make(chan struct{})
		test := Test{Test: sprout.Test{Name: "trial", Kind: "disk", Timeout: 60, Parallel: parallel}, Run: func(ctx context.Context, _ Device) ([]sprout.Metric, error) {
			mu.Lock()
			now++
			if most = max(most, now); most == len(plenty.Disks) {
				close(all)
			}
			mu.Unlock()
			defer func() { mu.Lock(); now--; mu.Unlock() }()
			if !parallel {
				return nil, nil
			}
			select {
			case <-all: // it ends only when it runs on all of them
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		for _, r := range Run(t.Context(), []Test{test}, plenty, Peer{}, nil) {
			if r.Outcome != sprout.Passed {
				t.Errorf("parallel %v: %+v", parallel, r)
			}
		}
		if want := map[bool]int{true: len(plenty.Disks), false: 1}[parallel]; most != want {
			t.Errorf("parallel %v: it ran on %d devices at the same time, want %d", parallel, most, want)
		}
	}
}
