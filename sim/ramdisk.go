package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"sprout"
	"sprout/ramdisk"
)

// The words of the ramdisk's kernel command line.
const (
	argAgent = "sprout.url"
	argToken = "sprout.token"
)

// A ram is the ramdisk at work on a machine: the real one's client, on what
// the spec says is in the machine.
type ram struct {
	machine *Machine
	web     *web
	client  *ramdisk.Client
	done    map[string]sprout.Report // orders performed in this boot
}

// orderSteps is the step at which each order is.
var orderSteps = map[sprout.OrderKind]Step{
	sprout.OrderInspect: StepInspect, sprout.OrderTest: StepTest, sprout.OrderWrite: StepWrite,
	sprout.OrderErase: StepErase, sprout.OrderReboot: StepReboot, sprout.OrderPowerOff: StepOff,
}

// runRamdisk says hello and performs orders until one of them ends the boot.
func (m *Machine) runRamdisk(ctx context.Context, w *web, cmdline []string) error {
	agent, token := argument(cmdline, argAgent), argument(cmdline, argToken)
	if agent == "" || token == "" {
		return fmt.Errorf("the kernel's command line lacks %s or %s", argAgent, argToken)
	}
	if err := m.at(ctx, StepHello, "to %s from %s", agent, w.source); err != nil {
		return err
	}
	if f, hit := m.fault(CutOff, StepHello, 0); hit {
		if _, err := m.acquire(ctx, inSystem); err != nil {
			return err
		}
		return m.hang(ctx, f)
	}
	if f, hit := m.fault(WrongClock, StepHello, 0); hit {
		m.note(StepHello, "fault: %s", f)
		m.setClock(f)
	}
	r := &ram{machine: m, web: w, done: map[string]sprout.Report{}, client: &ramdisk.Client{
		URL: agent, Token: token, HTTP: w.client, Log: m.log.With("machine", m.spec.Name),
	}}
	hello := sprout.Hello{
		Version: sprout.Version, BootMAC: m.spec.MACs[0], Architecture: m.spec.Architecture, BootMode: m.spec.BootMode,
		Serial: m.spec.Serial, UUID: m.spec.UUID, MACs: m.spec.MACs,
	}
	if err := r.client.Hello(ctx, hello); err != nil {
		return err
	}
	return r.obey(ctx)
}

func (r *ram) obey(ctx context.Context) error {
	for after := ""; ; {
		if err := r.machine.at(ctx, StepIdle, "after %q", after); err != nil {
			return err
		}
		order, err := r.client.Order(ctx, after)
		if err != nil {
			return err
		}
		report, seen := r.done[order.ID]
		if !seen {
			if report, err = r.perform(ctx, order); err != nil {
				return err
			}
			r.done[order.ID] = report
		}
		if err := r.client.Report(ctx, report); err != nil {
			return err
		}
		after = order.ID
		switch order.Kind {
		case sprout.OrderReboot:
			return errReboot
		case sprout.OrderPowerOff:
			return errPowerOff
		case sprout.OrderInspect, sprout.OrderTest, sprout.OrderWrite, sprout.OrderErase:
		}
	}
}

// perform does one order. What the order fails by is in the report; the error
// is what ends the machine's boot.
func (r *ram) perform(ctx context.Context, o sprout.Order) (sprout.Report, error) {
	m, report := r.machine, sprout.Report{Order: o.ID, Outcome: "done"}
	if err := m.at(ctx, orderSteps[o.Kind], "order %s", o.ID); err != nil {
		return report, err
	}
	var err error
	switch o.Kind {
	case sprout.OrderInspect:
		inv := m.inventory()
		report.Inventory = &inv
	case sprout.OrderTest:
		report.Tests = m.test()
		if o.Test != nil {
			var more []sprout.TestResult
			more, err = r.runTests(ctx, *o.Test)
			report.Tests = append(report.Tests, more...)
		}
	case sprout.OrderWrite:
		report.Written, err = r.write(ctx, o)
	case sprout.OrderErase:
		var rules []sprout.DiskRule
		if o.Erase != nil {
			rules = o.Erase.Disks
		}
		report.Erased, err = m.erase(rules)
	case sprout.OrderReboot, sprout.OrderPowerOff:
	default:
		err = fmt.Errorf("this ramdisk knows no order %q", o.Kind)
	}
	if ctx.Err() != nil || endsBoot(err) {
		return report, errors.Join(ctx.Err(), err)
	}
	if err != nil {
		report.Outcome, report.Failure = "failed", failureOf(err)
	}
	m.note(orderSteps[o.Kind], "%s: %s", report.Outcome, o.ID)
	return report, nil
}

func failureOf(err error) *sprout.Failure {
	var f *sprout.Failure
	if errors.As(err, &f) {
		return f
	}
	return sprout.Fail(sprout.InternalFailure, err.Error(), "")
}

// setClock makes the machine's clock wrong for good.
func (m *Machine) setClock(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock, _ = f.clock() // check has read it
}

// now is the time by the machine's own clock.
func (m *Machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.clock).UTC()
}

func (m *Machine) inventory() sprout.Inventory {
	s := m.spec
	inv := sprout.Inventory{
		At: m.now(), Architecture: s.Architecture, BootMode: s.BootMode, Vendor: s.Vendor, Model: s.Model,
		Serial: s.Serial, UUID: s.UUID, Firmware: cmp.Or(s.Firmware, "Simulated 1.0"), Neighbours: s.Neighbours, MemoryBytes: s.MemoryBytes, Disks: s.Disks,
		CPU: sprout.CPU{Model: "Simulated", Sockets: 1, Cores: s.Cores, Threads: s.Cores},
	}
	for i, mac := range s.MACs {
		pci := fmt.Sprintf("0000:00:%02x.0", i+3)
		inv.Interfaces = append(inv.Interfaces, sprout.Interface{
			Name: fmt.Sprintf("eth%d", i), MAC: mac, Boot: i == 0, Driver: "sim_net", Link: true, SpeedMbs: 10_000, PCI: pci,
		})
		inv.PCI = append(inv.PCI, sprout.PCIDevice{Address: pci, Vendor: "1af4", Device: "1000", Class: "020000", Driver: "sim_net"})
	}
	return inv
}

// test yields one result a device; a dead disk fails.
func (m *Machine) test() []sprout.TestResult {
	now := m.now()
	result := func(test, kind, device string, metrics ...sprout.Metric) sprout.TestResult {
		return sprout.TestResult{Test: test, Kind: kind, Device: device, Outcome: sprout.Passed, Metrics: metrics, At: now}
	}
	all := []sprout.TestResult{
		result("cpu-load", "cpu", "cpu", sprout.Metric{Name: "threads", Value: float64(m.spec.Cores), Unit: "1"}),
		result("memory-pattern", "memory", "memory", sprout.Metric{Name: "tested", Value: float64(m.spec.MemoryBytes), Unit: "B"}),
	}
	for _, d := range m.spec.Disks {
		t := result("disk-read", "disk", d.Name, sprout.Metric{Name: "throughput", Value: 500, Unit: "MB/s"})
		if m.dead(StepTest, d, sprout.DiskFailed) != nil {
			t.Outcome, t.Message, t.Metrics = sprout.Failed, "input/output error on "+d.Serial, nil
		}
		all = append(all, t)
	}
	for i := range m.spec.MACs {
		all = append(all, result("nic-link", "nic", fmt.Sprintf("eth%d", i), sprout.Metric{Name: "speed", Value: 10_000, Unit: "Mb/s"}))
	}
	return all
}
