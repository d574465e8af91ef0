package sim_test

import (
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/power/redfish/emulator"
	"sprout/sim"
)

// What the firmware's DHCP meets really happens on the wire, and the machine
// comes through: refused an address of another network, carried twice, or given
// an address that somebody uses.
func TestTroubleWithDHCP(t *testing.T) {
	for kind, words := range map[sim.FaultKind]string{
		sim.Nak: "refused: 192.0.2.7 is not on this network", sim.Twice: "duplicate-offer", sim.Taken: "declines 127.30.0.1",
	} {
		t.Run(string(kind), func(t *testing.T) {
			s := newSite(t)
			m := s.machine(spec("m1"), sim.Fault{Kind: kind, Step: sim.StepDHCP, Times: 1})
			must(t, m.PowerOn(t.Context(), emulator.Boot{}))
			await(t, m, sim.StepDHCP, words)
			receive(t, s.hellos)
			bound, declined := 0, 0
			for _, l := range s.store.Leases() {
				switch l.State {
				case "bound":
					bound++
				case "declined":
					declined++
				}
			}
			if want := map[bool]int{true: 1}[kind == sim.Taken]; bound != 1 || declined != want {
				t.Errorf("leases %+v, want 1 bound and %d declined", s.store.Leases(), want)
			}
		})
	}
}

// A ramdisk that is killed in the middle of the write comes back by itself, and
// what is on the disk then is the whole image.
func TestRamdiskKilled(t *testing.T) {
	s, one := newSite(t), spec("m1")
	s.intend(one)
	m := s.machine(one, sim.Fault{Kind: sim.Killed, Step: sim.StepWrite, Percent: 50, Times: 1})
	must(t, m.PowerOn(t.Context(), network))
	receive(t, s.hellos)
	o := s.writeOrder(one, 1<<20)
	o.ID = "write/1"
	s.orders <- o
	await(t, m, sim.StepWrite, "fault: ramdisk-killed@write:50")
	receive(t, s.hellos)
	if _, ok := m.Installed(); ok {
		t.Error("half a write boots")
	}
	s.orders <- o
	if r := receive(t, s.reports); r.Outcome != "done" || r.Written.RawDigest != o.Write.Image.RawDigest {
		t.Errorf("report %+v", r)
	}
}

func TestWrongClock(t *testing.T) {
	s := newSite(t)
	m := s.machine(spec("m1"), sim.Fault{Kind: sim.WrongClock, Step: sim.StepHello, Device: "48h"})
	must(t, m.PowerOn(t.Context(), emulator.Boot{}))
	receive(t, s.hellos)
	report := s.order(sprout.Order{Kind: sprout.OrderInspect})
	if off := time.Until(report.Inventory.At); off < 47*time.Hour || off > 49*time.Hour {
		t.Errorf("the inventory is of %s, %s from now", report.Inventory.At, off)
	}
	if _, err := sim.ParseFault("wrong-clock@hello=late"); err == nil || !strings.Contains(err.Error(), "-24h") {
		t.Errorf("%v", err)
	}
}
