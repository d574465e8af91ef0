package sim_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/governor"
	"sprout/power/redfish"
	"sprout/power/redfish/emulator"
	"sprout/sim"
)

var network = emulator.Boot{Device: power.BootNetwork}

func spec(name string) sim.Spec {
	return sim.Spec{Name: name, MACs: []string{"52:54:00:00:00:01", "52:54:00:00:00:02"}, Cores: 4, MemoryBytes: 8 << 30}
}

func TestUnknownMachineIsInspected(t *testing.T) {
	for _, firmware := range []struct {
		name string
		mode sprout.BootMode
		http bool
	}{{"bios", sprout.BIOS, false}, {"uefi", sprout.UEFI, false}, {"uefi-http", sprout.UEFI, true}} {
		t.Run(firmware.name, func(t *testing.T) {
			s := newSite(t)
			want := spec("m1")
			want.BootMode, want.HTTPBoot = firmware.mode, firmware.http
			m := s.machine(want)
			must(t, m.PowerOn(t.Context(), emulator.Boot{}))
			hello := receive(t, s.hellos)
			if hello.BootMAC != want.MACs[0] || hello.BootMode != firmware.mode || hello.UUID != m.Spec().UUID {
				t.Fatalf("hello %+v is not of %+v", hello, m.Spec())
			}
			inv := s.order(sprout.Order{Kind: sprout.OrderInspect}).Inventory
			if inv == nil || inv.CPU.Cores != 4 || inv.MemoryBytes != 8<<30 || len(inv.Disks) != 1 || len(inv.Interfaces) != 2 || !inv.Interfaces[0].Boot {
				t.Fatalf("inventory %+v", inv)
			}
			if l := s.store.Leases(); len(l) != 1 || l[0].MAC != want.MACs[0] || !s.subnet.Ranges[0].Contains(l[0].IP) {
				t.Fatalf("leases %+v", l)
			}
			s.order(sprout.Order{Kind: sprout.OrderPowerOff})
			await(t, m, sim.StepOff, "system turned it off")
			if m.Power() != sprout.PowerOff {
				t.Fatal("it is on after poweroff")
			}
		})
	}
}

func TestInstallBootEraseAgain(t *testing.T) {
	s, one := newSite(t), spec("m1")
	s.intend(one)
	m := s.machine(one)
	must(t, m.PowerOn(t.Context(), network))
	receive(t, s.hellos)
	o := s.writeOrder(one, 1<<20)
	r := s.order(o)
	if r.Outcome != "done" || !r.Written.Verified || r.Written.RawDigest != o.Write.Image.RawDigest {
		t.Fatalf("report %+v, failure %+v", r, r.Failure)
	}
	s.order(sprout.Order{Kind: sprout.OrderReboot})
	s.bootDisk(one)
	home := receive(t, s.homes)
	if home.Get("hostname") != "m1" || home.Get("instance_id") != "i-1" || !strings.HasPrefix(home.Get("from"), "127.30.0.10:") {
		t.Fatalf("phoned home with %v", home)
	}
	await(t, m, sim.StepUp, "m1.example")
	if sys, ok := m.Installed(); !ok || sys.Image != "test" || !sys.Homed {
		t.Fatalf("installed: %+v, %t", sys, ok)
	}

	// From the network without an intent: iPXE gives it back to its disk, and
	// cloud-init phones home once an instance.
	must(t, m.PowerOff(t.Context()))
	before := len(m.Journal())
	must(t, m.PowerOn(t.Context(), network))
	if _, _, err := m.Await(t.Context(), before, func(e sim.Entry) bool { return e.Step == sim.StepUp }); err != nil {
		t.Fatal(err)
	}
	if len(s.homes) > 0 {
		t.Fatal("it phoned home twice")
	}

	must(t, m.PowerOff(t.Context()))
	s.intend(one)
	must(t, m.PowerOn(t.Context(), network))
	receive(t, s.hellos)
	r = s.order(sprout.Order{Kind: sprout.OrderErase, Erase: &sprout.Erase{}})
	if len(r.Erased) != 1 || r.Erased[0].Verified != m.Spec().Disks[0].Bytes || len(m.Dirty()) > 0 {
		t.Fatalf("erased %+v, dirty %v", r.Erased, m.Dirty())
	}
	if _, ok := m.Installed(); ok {
		t.Fatal("a system survived the erase")
	}
}

// failed checks that the order fails with the code, and that its disk does not boot.
func failed(order sprout.OrderKind, code sprout.Code) func(*testing.T, *site, *sim.Machine) {
	return func(t *testing.T, s *site, m *sim.Machine) {
		t.Helper()
		o := sprout.Order{Kind: order}
		if order == sprout.OrderWrite {
			o = s.writeOrder(m.Spec(), 1<<20)
		}
		if r := s.order(o); r.Outcome != "failed" || r.Failure.Code != code {
			t.Fatalf("report %+v, failure %+v, want %s", r, r.Failure, code)
		}
		if _, ok := m.Installed(); ok {
			t.Fatal("the disk boots after a write that failed")
		}
	}
}

func TestFaults(t *testing.T) {
	for text, check := range map[string]func(*testing.T, *site, *sim.Machine){
		"corrupt@write:50":  failed(sprout.OrderWrite, sprout.DigestMismatch),
		"truncate@write:50": failed(sprout.OrderWrite, sprout.DigestMismatch),
		"dead-disk@write":   failed(sprout.OrderWrite, sprout.DiskFailed),
		"dead-disk@erase":   failed(sprout.OrderErase, sprout.EraseFailed),
		"dead-disk@test=m1-disk0": func(t *testing.T, s *site, _ *sim.Machine) {
			dead := 0
			for _, r := range s.order(sprout.Order{Kind: sprout.OrderTest}).Tests {
				if r.Outcome == sprout.Failed && r.Device == "vda" && r.Message != "" {
					dead++
				}
			}
			if dead != 1 {
				t.Fatalf("%d disks failed", dead)
			}
		},
		"power-loss@write:50": func(t *testing.T, s *site, m *sim.Machine) {
			o := s.writeOrder(m.Spec(), 1<<20)
			o.ID = "cut"
			s.orders <- o
			await(t, m, sim.StepOff, "supply tripped")
			if _, ok := m.Installed(); ok || len(m.Dirty()) != 1 || m.Power() != sprout.PowerOff || len(s.reports) > 0 {
				t.Fatal("it is not half written and off")
			}
		},
		"silent@inspect": func(t *testing.T, s *site, m *sim.Machine) {
			s.orders <- sprout.Order{ID: "1", Kind: sprout.OrderInspect}
			await(t, m, sim.StepInspect, "fault")
			if m.Power() != sprout.PowerOn || len(s.reports) > 0 {
				t.Fatal("it is not silent and on")
			}
		},
		"never-home@home": func(t *testing.T, s *site, m *sim.Machine) {
			s.order(s.writeOrder(m.Spec(), 1<<20))
			s.order(sprout.Order{Kind: sprout.OrderReboot})
			await(t, m, sim.StepUp, "")
			if len(s.homes) > 0 {
				t.Fatal("it phoned home")
			}
		},
		"hold@write:50": func(t *testing.T, s *site, m *sim.Machine) {
			o := s.writeOrder(m.Spec(), 1<<20)
			o.ID = "held"
			s.orders <- o
			await(t, m, sim.StepWrite, "fault")
			if len(s.reports) > 0 {
				t.Fatal("it is not held")
			}
			m.Heal()
			if r := receive(t, s.reports); r.Outcome != "done" {
				t.Fatalf("after the hold: %+v", r)
			}
		},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			f, err := sim.ParseFault(text)
			must(t, err)
			s, one := newSite(t), spec("m1")
			s.intend(one)
			m := s.machine(one, f)
			must(t, m.PowerOn(t.Context(), network))
			receive(t, s.hellos)
			check(t, s, m)
		})
	}
}

// A pulled plug ends everything at once, wherever the machine is.
func TestPowerOffEndsEverywhere(t *testing.T) {
	s, one := newSite(t), spec("m1")
	s.intend(one)
	for _, step := range []sim.Step{sim.StepDHCP, sim.StepLoader, sim.StepScript, sim.StepKernel, sim.StepHello, sim.StepIdle} {
		m := s.machine(one, sim.Fault{Kind: sim.Hold, Step: step})
		must(t, m.PowerOn(t.Context(), network))
		await(t, m, step, "fault")
		began := time.Now()
		must(t, m.PowerOff(t.Context()))
		if took := time.Since(began); took > time.Second || m.Power() != sprout.PowerOff {
			t.Fatalf("at step %s it took %s to be %s", step, took, m.Power())
		}
	}
}

func TestRackObeysRedfish(t *testing.T) {
	s, one := newSite(t), spec("m1")
	rack := sim.NewRack("admin", "secret", nil)
	t.Cleanup(rack.Close)
	slot, err := rack.Plug(sim.Config{Spec: one, Wire: s.wire})
	must(t, err)
	if _, err := rack.Plug(sim.Config{Spec: one, Wire: s.wire}); sprout.KindOf(err) != sprout.Conflict {
		t.Fatalf("plugged twice: %v", err)
	}
	slot.BMC.SetFaults(emulator.Faults{Unavailable: 2})
	driver, err := redfish.New(redfish.Config{
		URL: slot.URL, Username: "admin", Password: "secret", Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	bmc := governor.New(driver, governor.Config{})
	t.Cleanup(func() { _ = bmc.Close(t.Context()) })
	s.intend(one)
	must(t, bmc.BootOnce(t.Context(), power.BootNetwork, ""))
	must(t, bmc.Set(t.Context(), sprout.PowerOn))
	receive(t, s.hellos)
	must(t, bmc.Set(t.Context(), sprout.PowerOff))
	if slot.Machine.Power() != sprout.PowerOff {
		t.Fatal("it is on")
	}
}

func TestParseFaultRefuses(t *testing.T) {
	for _, text := range []string{"", "fire@write", "corrupt@test", "power-loss@lunch", "power-loss@write:x", "power-loss@write:101", "hold@write*0"} {
		if _, err := sim.ParseFault(text); sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
	const whole = "power-loss@write:40=disk0*2"
	f, err := sim.ParseFault(whole)
	must(t, err)
	if f.String() != whole {
		t.Errorf("%q became %q", whole, f)
	}
}

// Many machines at once share nothing but the site.
func TestManyMachinesAtOnce(t *testing.T) {
	const n = 60
	s := newSite(t)
	rack := sim.NewRack("admin", "secret", nil)
	t.Cleanup(rack.Close)
	for i := range n {
		one := sim.Spec{Name: fmt.Sprintf("m%d", i), MACs: []string{fmt.Sprintf("52:54:00:00:01:%02x", i)}}
		slot, err := rack.Plug(sim.Config{Spec: one, Wire: s.wire})
		must(t, err)
		must(t, slot.Machine.PowerOn(t.Context(), network))
	}
	seen := map[string]bool{}
	for range n {
		seen[receive(t, s.hellos).BootMAC] = true
	}
	if len(seen) != n || len(s.store.Leases()) != n {
		t.Fatalf("%d machines said hello with %d leases, want %d", len(seen), len(s.store.Leases()), n)
	}
}

// A machine whose cable is out reaches nobody, tries again, and boots once it is in
// again. What it had begun is lost.
func TestAMachineWithoutItsCable(t *testing.T) {
	s := newSite(t)
	m, err := sim.New(sim.Config{Spec: spec("m1"), Wire: s.wire, Pace: sim.Pace{Offer: 10 * time.Millisecond, Retry: 10 * time.Millisecond}})
	must(t, err)
	t.Cleanup(m.Close)
	m.CutOff(true)
	must(t, m.PowerOn(t.Context(), emulator.Boot{}))
	await(t, m, sim.StepDHCP, "cannot boot, trying again: cannot get an offer")
	if l := s.store.Leases(); len(l) != 0 {
		t.Errorf("without a cable it was leased %+v", l)
	}
	m.CutOff(false)
	receive(t, s.hellos)
	await(t, m, sim.StepIdle, "")
	m.CutOff(true)
	must(t, m.PowerOff(t.Context()))
	must(t, m.PowerOn(t.Context(), emulator.Boot{}))
	before := len(m.Journal())
	if _, _, err := m.Await(t.Context(), before, func(e sim.Entry) bool { return strings.HasPrefix(e.Detail, "cannot boot") }); err != nil {
		t.Fatal(err)
	}
	m.CutOff(false)
	receive(t, s.hellos)
	if inv := s.order(sprout.Order{Kind: sprout.OrderInspect}).Inventory; inv == nil {
		t.Error("it is not inspected")
	}
}
