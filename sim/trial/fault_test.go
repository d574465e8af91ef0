package trial

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/wan"
)

// Each fault that a file may name really happens to the machine that it is given
// to, and the machine's workflow ends as it shall: with success, or with the
// cause's name and, once retried, with success.
func TestEachFaultOfMachines(t *testing.T) {
	t.Parallel()
	rows := []struct {
		fault  Fault
		happen string
		cause  sprout.Code // of the workflow that failed; empty: none did
	}{
		{Fault{Fault: "dhcp-nak"}, "dhcp-nak@dhcp*1: refused: 192.0.2.7 is not on this network", ""},
		{Fault{Fault: "duplicate-offer", During: Deploy}, "duplicate-offer@dhcp*1", ""},
		{Fault{Fault: "address-taken", During: Deploy}, "address-taken@dhcp*1: declines 127.60.", ""},
		{Fault{Fault: "address-squatted", During: Deploy, Times: 2}, "address-squatted 2 times", ""}, // it gets another
		{Fault{Fault: "ramdisk-killed", During: Commission}, "ramdisk-killed@inspect*1", ""},
		{Fault{Fault: "ramdisk-killed", During: Deploy, Step: "write", Percent: 50}, "ramdisk-killed@write:50*1", ""},
		{Fault{Fault: "wrong-clock"}, "wrong-clock@hello*1", ""},
		{Fault{Fault: "network-first", During: Deploy}, "network-first@disk*1", ""},
		{Fault{Fault: "power-loss", During: Deploy}, "power-loss@write*1", sprout.PowerLost},
		{Fault{Fault: "corrupt", During: Deploy}, "corrupt@write*1", sprout.DigestMismatch},
		{Fault{Fault: "truncate", During: Deploy}, "truncate@write*1", sprout.DigestMismatch},
		{Fault{Fault: "bmc-503", During: Deploy, Times: 2}, "bmc-503 2 times", ""},
		{Fault{Fault: "bmc-dropped-session", During: Deploy, Step: "write"}, "bmc-dropped-session@write", ""},
		{Fault{Fault: "boot-order-ignored", During: Deploy}, "boot-order-ignored 1 times", ""}, // the step tries again
		{Fault{Fault: "boot-order-ignored", During: Deploy, Times: 3}, "boot-order-ignored 3 times", sprout.BMCFailed},
		{Fault{Fault: "hung-kernel", During: Deploy}, "silent@hello*1", sprout.KernelSilent},
		{Fault{Fault: "cut-off", During: Deploy}, "cut-off@hello*1", sprout.AgentUnreached},
		{Fault{Fault: "other-server", During: Deploy}, "other-server@dhcp*1", sprout.OtherServer},
		{Fault{Fault: "stall", During: Deploy}, "stall@loader*1", sprout.TFTPStalled},
		{Fault{Fault: "wrong-file", During: Deploy}, "wrong-file@loader*1", sprout.WrongLoader},
		{Fault{Fault: "never-home", During: Deploy}, "never-home@home*1", sprout.NoPhoneHome},
		{Fault{Fault: "never-home", At: "1s"}, "never-home@home*1", sprout.NoPhoneHome},
	}
	config := Config{Machines: 2 * len(rows), Seed: 1, Limits: map[string]time.Duration{"boot-ramdisk": time.Minute, "phone-home": time.Minute}}
	for i := range rows {
		rows[i].fault.Machine = fmt.Sprintf("sim%05d", 2*i+1) // those are BIOS machines
		config.Faults = append(config.Faults, rows[i].fault)
	}
	var mu sync.Mutex
	ends := map[string]Result{}
	config.Ended = func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		ends[r.Machine] = r
	}
	r, err := Run(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Outcomes[Failed] != 0 {
		t.Errorf("%s\nviolations %v\nearly %+v", r.Summary(), r.Violations, r.Early)
	}
	for i, row := range rows {
		end, well := ends[row.fault.Machine], ends[fmt.Sprintf("sim%05d", 2*i+2)]
		if !slices.ContainsFunc(end.Faults, func(f string) bool { return strings.HasPrefix(f, row.happen) }) {
			t.Errorf("%s did not happen: %v", row.fault.Fault, end.Faults)
		}
		var causes []sprout.Code
		want := Finished
		if row.cause != "" {
			causes, want = []sprout.Code{row.cause}, Retried
		}
		if end.Outcome != want || !slices.Equal(end.Causes, causes) {
			t.Errorf("%s ended as %s with causes %v, want %s with %v", row.fault.Fault, end.Outcome, end.Causes, want, causes)
		}
		if well.Outcome != Finished || len(well.Faults) != 0 {
			t.Errorf("%s was to have no fault: %+v", well.Machine, well)
		}
	}
}

// A cut of one site's WAN keeps that site's machines back, and no other's.
func TestCutOfOneSite(t *testing.T) {
	t.Parallel()
	const lasts = 8 * time.Second
	link := wan.Weather{Delay: 40 * time.Millisecond}
	began := time.Now()
	var mu sync.Mutex
	var last time.Duration
	first := map[string]time.Duration{} // of each site, when its first machine was ready
	r, err := Run(t.Context(), Config{
		Sites: 2, Machines: 8, Goal: Commission, Seed: 1, Link: link,
		Faults: []Fault{{Fault: "wan-cut", Site: "sim-2", At: "0s", For: lasts.String()}, {Fault: "link-flap", Site: "sim-1", At: "500ms"}},
		Ended: func(r Result) {
			mu.Lock()
			defer mu.Unlock()
			last = time.Since(began)
			if _, ok := first[r.Site]; !ok {
				first[r.Site] = last
			}
		},
	})
	if err != nil || r.Outcomes[Finished] != 8 || !r.OK() || r.Faults["wan-cut"] != 1 || r.Faults["link-flap"] != 1 {
		t.Fatalf("%v, %s, faults %v", err, r.Summary(), r.Faults)
	}
	if r.LinkTorn < 2 { // each of the two had a connection to the bus at least
		t.Errorf("a cut and a flap tore %d connections", r.LinkTorn)
	}
	for _, s := range r.Steps {
		if s.At == "whole" && s.Name == string(Commission) && s.P50 < 2*link.Delay.Seconds()*0.8 {
			t.Errorf("half of the commissions took %.3f s over a link of %s each way", s.P50, link)
		}
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "link 40ms,0%") || !strings.Contains(text.String(), fmt.Sprintf("link dropped: %d", r.LinkTorn)) {
		t.Errorf("%v, the report does not tell of the link:\n%s", err, text.String())
	}
	// By the trial's own time, which is that of its faults: a slow host takes long to
	// begin, and one that takes twice as long as the cut has nothing to show of others.
	start := last - time.Duration(r.Seconds*float64(time.Second))
	if near, far := first["sim-1"]-start, first["sim-2"]-start; far < lasts || far < 2*lasts && far <= near {
		t.Errorf("the first machine of the site that was cut off for %s was ready after %s, that of the other after %s", lasts, far, near)
	}
}
