package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"sprout"
	"sprout/hwtest"
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
	until   time.Time                // it waits for a deploy, and switches the machine off then; zero: it does not
}

// orderSteps is the step at which each order is.
var orderSteps = map[sprout.OrderKind]Step{
	sprout.OrderInspect: StepInspect, sprout.OrderTest: StepTest, sprout.OrderWrite: StepWrite, sprout.OrderInstall: StepWrite,
	sprout.OrderErase: StepErase, sprout.OrderShell: StepShell, sprout.OrderReboot: StepReboot, sprout.OrderWait: StepIdle, sprout.OrderPowerOff: StepOff,
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
	if argument(cmdline, argIP) == "" {
		if _, err := m.acquire(ctx, inRamdisk); err != nil {
			return err
		}
	}
	if f, hit := m.fault(CutOff, StepHello, 0); hit {
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
		Serial: m.spec.Serial, UUID: m.spec.UUID, MACs: m.spec.MACs, Boot: sprout.NewSecret(),
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
		order, err := r.next(ctx, after)
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
			return r.restart(ctx, order)
		case sprout.OrderPowerOff:
			return errPowerOff
		case sprout.OrderInspect, sprout.OrderTest, sprout.OrderWrite, sprout.OrderInstall, sprout.OrderErase, sprout.OrderShell, sprout.OrderWait:
		}
	}
}

// next is the next order; errPowerOff once the time is over that it was to wait.
func (r *ram) next(ctx context.Context, after string) (sprout.Order, error) {
	if r.until.IsZero() {
		return r.client.Order(ctx, after)
	}
	waiting, stop := context.WithDeadline(ctx, r.until)
	defer stop()
	order, err := r.client.Rest(waiting, after)
	if err != nil && ctx.Err() == nil {
		return order, errPowerOff
	}
	return order, err
}

// restart ends the ramdisk: by kexec the installed system runs at once, else the
// firmware does.
func (r *ram) restart(ctx context.Context, o sprout.Order) error {
	if system, installed := r.machine.installed(); o.Kexec && installed {
		r.machine.note(StepReboot, "by kexec")
		return r.machine.runSystem(ctx, system)
	}
	return errReboot
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
			more, err = r.runTests(ctx, o.ID, *o.Test)
			report.Tests = append(report.Tests, more...)
		}
	case sprout.OrderWrite, sprout.OrderInstall:
		report.Written, err = r.write(ctx, o)
	case sprout.OrderErase:
		var order sprout.Erase
		if o.Erase != nil {
			order = *o.Erase
		}
		report.Erased, err = m.erase(order)
	case sprout.OrderShell:
		report.Shell = &sprout.Shell{User: "root", Address: r.web.source.String(), HostKey: "SHA256:" + m.spec.Name}
	case sprout.OrderReboot:
		if system, installed := m.installed(); o.Kexec && installed {
			report.Start = "started by kexec: the kernel of " + system.Image
		} else if o.Kexec {
			report.Start = "started by its firmware, not by kexec: no disk has a system"
		}
	case sprout.OrderWait:
		r.until = time.Now().Add(time.Duration(o.Seconds) * time.Second)
	case sprout.OrderPowerOff:
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

// test yields one result a device; a dead disk fails, and a slow one passes.
func (m *Machine) test() []sprout.TestResult {
	now, inv := m.now(), m.inventory()
	var all []sprout.TestResult
	add := func(test, kind string, figure func(i int) sprout.Metric) {
		for i, p := range hwtest.Parts(kind, inv) {
			all = append(all, sprout.TestResult{
				Test: test, Kind: kind, Device: p.Name, Serial: p.Serial, Model: p.Model, Outcome: sprout.Passed, Metrics: []sprout.Metric{figure(i)}, At: now,
			})
		}
	}
	same := func(name string, value float64, unit string) func(int) sprout.Metric {
		return func(int) sprout.Metric { return sprout.Metric{Name: name, Value: value, Unit: unit} }
	}
	add("cpu-load", "cpu", same("threads", float64(m.spec.Cores), "1"))
	add("memory-pattern", "memory", same("tested", float64(m.spec.MemoryBytes), "B"))
	disks := len(all)
	add("disk-read", "disk", func(i int) sprout.Metric {
		speed := diskSpeed
		if m.ails(SlowDisk, StepTest, inv.Disks[i]) {
			speed *= 0.6
		}
		return sprout.Metric{Name: "throughput", Value: speed, Unit: "MB/s"}
	})
	for i, d := range inv.Disks {
		if t := &all[disks+i]; m.dead(StepTest, d, sprout.DiskFailed) != nil {
			t.Outcome, t.Message, t.Metrics = sprout.Failed, "input/output error on "+d.Serial, nil
		}
	}
	add("nic-link", "nic", same("speed", 10_000, "Mb/s"))
	return all
}

// diskSpeed is how fast every disk reads, in MB/s.
const diskSpeed = 500.0
