package ramdisk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/hwtest"
)

// progressEvery is how often progress of an order is reported.
const progressEvery = 500 * time.Millisecond

// An Agent performs the orders of a site's agent on this machine.
type Agent struct {
	Client  *Client
	Host    Host
	BootMAC string
	Boot    string // differs with each start of the kernel; may be empty
	Tests   hwtest.Provider
	// Settle, which may be nil, waits until the kernel has found its devices.
	Settle func(context.Context)
	// Links, which may be nil, waits until ports have had time to find a link.
	Links func(context.Context)
	// Neighbours, which may be nil, waits until switches have had time to say where
	// the ports' cables lead, and returns what they said.
	Neighbours func(context.Context) []sprout.Neighbour
	// BMC, which may be nil, asks the machine's own BMC which address it has; nil: it
	// does not say.
	BMC func() *sprout.HostBMC
	// Mount makes the programs that tests call usable: file is their squashfs. It
	// returns the root of their tree, whose /tmp is writable. Nil: it cannot.
	Mount func(file string) (root string, err error)
	// Drivers loads modules of the ramdisk, and those of a tree of tools that a layout
	// needs. Nil: it cannot.
	Drivers func(root string) error
	// Console, which may be nil, returns what the kernel warned of since it was
	// called last.
	Console func() []sprout.ConsoleLine
	// Shell, which may be nil, lets in by SSH who holds one of the keys, in place of
	// those of an earlier call, as long as this boot. It says how.
	Shell func(ctx context.Context, keys []string) (sprout.Shell, error)
	// Kexec, which may be nil, has the kernel that is installed on a disk started by
	// the next reboot, in place of the firmware. It says which it is.
	Kexec func(ctx context.Context, disk string) (string, error)
	Log   *slog.Logger

	done    map[string]sprout.Report // orders already performed in this boot
	tools   map[string]string        // root of the tree of tools, by digest
	until   time.Time                // a machine that waits for a deploy is switched off then; zero: it does not
	written string                   // name of the disk that was written; empty: none, or several
	loaded  bool                     // a kernel is loaded that the next reboot starts
}

// Loaded tells whether the reboot that Run has returned is to start a kernel that is
// loaded, in place of the firmware.
func (a *Agent) Loaded() bool { return a.loaded }

// Run says hello and performs orders until one of them ends this boot: then it
// returns OrderReboot or OrderPowerOff, which the caller carries out. It
// returns an error only when the context ends. Whatever cannot be sent is
// tried again until it can.
func (a *Agent) Run(ctx context.Context) (sprout.OrderKind, error) {
	a.done = map[string]sprout.Report{}
	if err := a.Client.Hello(ctx, a.hello()); err != nil {
		return "", err
	}
	a.Log.Info("the agent knows this machine; waiting for orders", "agent", a.Client.URL)
	for after := ""; ; {
		order, err := a.next(ctx, after)
		if err != nil {
			return "", err
		}
		if order.ID == "" {
			a.Log.Info("switching the machine off")
			return sprout.OrderPowerOff, nil
		}
		report, seen := a.done[order.ID]
		if !seen {
			a.Log.Info("order", "id", order.ID, "kind", order.Kind)
			report = a.perform(ctx, order)
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			if a.Console != nil {
				report.Console = a.Console()
			}
			a.done[order.ID] = report
			a.say(order, report)
		}
		if err := a.Client.Report(ctx, report); err != nil {
			return "", err
		}
		after = order.ID
		if order.Kind == sprout.OrderReboot || order.Kind == sprout.OrderPowerOff {
			return order.Kind, nil
		}
	}
}

// next is the next order; one without an id says that the time to wait is over.
func (a *Agent) next(ctx context.Context, after string) (sprout.Order, error) {
	if a.until.IsZero() {
		return a.Client.Order(ctx, after)
	}
	waiting, stop := context.WithDeadline(ctx, a.until)
	defer stop()
	order, err := a.Client.Rest(waiting, after)
	switch {
	case err == nil || ctx.Err() != nil:
		return order, err
	case denied(err):
		a.Log.Warn("the agent wants this machine to wait no more", "why", err)
	default:
		a.Log.Info("nobody wanted this machine in time")
	}
	return sprout.Order{}, nil
}

func (a *Agent) say(order sprout.Order, r sprout.Report) {
	if r.Failure != nil {
		a.Log.Error("order failed", "id", order.ID, "kind", order.Kind, "code", r.Failure.Code, "reason", r.Failure.Reason, "evidence", r.Failure.Evidence)
		return
	}
	a.Log.Info("order done", "id", order.ID, "kind", order.Kind)
}

func (a *Agent) hello() sprout.Hello {
	inv := a.Host.Inventory()
	h := sprout.Hello{
		Version: sprout.Version, BootMAC: a.BootMAC, Architecture: sprout.Architecture(runtime.GOARCH),
		BootMode: inv.BootMode, Serial: inv.Serial, UUID: inv.UUID, Boot: a.Boot,
	}
	for _, i := range inv.Interfaces {
		h.MACs = append(h.MACs, i.MAC)
	}
	return h
}

// perform does one order, with its progress reported beside it, and returns the
// report of its end.
func (a *Agent) perform(ctx context.Context, order sprout.Order) (report sprout.Report) {
	p := &progress{}
	stop := a.reportProgress(ctx, order.ID, p)
	defer stop()
	defer func() {
		if r := recover(); r != nil {
			report = failed(order, sprout.Fail(sprout.InternalFailure, fmt.Sprintf("the ramdisk failed: %v", r), stack()))
		}
	}()
	report = sprout.Report{Order: order.ID, Outcome: "done"}
	if err := a.do(ctx, order, p, &report); err != nil {
		f := asFailure(err)
		tests, erased := report.Tests, report.Erased
		report = failed(order, f)
		report.Tests, report.Erased = tests, erased
	}
	return report
}

func failed(order sprout.Order, f *sprout.Failure) sprout.Report {
	return sprout.Report{Order: order.ID, Outcome: "failed", Failure: f}
}

func asFailure(err error) *sprout.Failure {
	var f *sprout.Failure
	if errors.As(err, &f) {
		return f
	}
	return sprout.Fail(sprout.InternalFailure, err.Error(), "")
}

func stack() string {
	buf := make([]byte, 4<<10)
	return string(buf[:runtime.Stack(buf, false)])
}

func (a *Agent) do(ctx context.Context, order sprout.Order, p *progress, report *sprout.Report) error {
	switch order.Kind {
	case sprout.OrderInspect:
		a.waitLinks(ctx)
		inv := a.inventory(ctx)
		inv.BMC = a.bmc()
		if a.Neighbours != nil {
			p.wait("the switch to say by LLDP where cables lead")
			inv.Neighbours = a.Neighbours(ctx)
			p.wait("")
		}
		report.Inventory = &inv
		return nil
	case sprout.OrderTest:
		report.Tests = a.test(ctx, order.ID, p, order.Test)
		return nil
	case sprout.OrderWrite:
		if order.Write == nil {
			return fmt.Errorf("the order to write says not what")
		}
		w := &writer{client: a.Client, disks: a.inventory(ctx).Disks, dev: a.Host.dev(), order: *order.Write, progress: p, log: a.Log}
		written, err := w.write(ctx)
		if report.Written = written; err == nil {
			a.written = written.Disk.Name
		}
		return err
	case sprout.OrderInstall:
		if order.Write == nil || order.Write.Layout == nil {
			return fmt.Errorf("the order to install says not what, or without a layout")
		}
		i := &installer{client: a.Client, disks: a.inventory(ctx).Disks, mode: a.Host.bootMode(), dev: a.Host.dev(), order: *order.Write, progress: p, log: a.Log, tools: a.layoutTools}
		written, err := i.install(ctx)
		report.Written = written
		return err
	case sprout.OrderErase:
		e := &eraser{dev: a.Host.dev(), open: func(f *os.File) controller { return device{f} }, progress: p, log: a.Log}
		if order.Erase != nil {
			e.order = *order.Erase
		}
		var err error
		report.Erased, err = e.erase(ctx, a.inventory(ctx).Disks)
		return err
	case sprout.OrderShell:
		if a.Shell == nil {
			return fmt.Errorf("this ramdisk (version %s) has no shell", sprout.Version)
		}
		shell, err := a.Shell(ctx, order.Keys)
		report.Shell = &shell
		return err
	case sprout.OrderWait:
		a.until = time.Now().Add(time.Duration(order.Seconds) * time.Second)
		a.Log.Info("waiting for a deploy", "until", a.until.UTC().Format(time.RFC3339))
		return nil
	case sprout.OrderReboot:
		if order.Kexec {
			report.Start = a.load(ctx)
		}
		return nil
	case sprout.OrderPowerOff:
		return nil
	}
	return fmt.Errorf("this ramdisk (version %s) knows no order %q", sprout.Version, order.Kind)
}

// load has the next reboot start the kernel that was installed, and says what is
// started by what: where that cannot be done, the firmware starts the machine.
func (a *Agent) load(ctx context.Context) string {
	err := errors.New("this ramdisk cannot")
	switch {
	case a.written == "":
		err = errors.New("no image of one disk was written")
	case a.Kexec != nil:
		var what string
		if what, err = a.Kexec(ctx, a.written); err == nil {
			a.loaded = true
			return "started by kexec: " + what
		}
	}
	a.Log.Warn("the firmware starts the machine", "why", err)
	return "started by its firmware, not by kexec: " + err.Error()
}

func (a *Agent) inventory(ctx context.Context) sprout.Inventory {
	if a.Settle != nil {
		a.Settle(ctx)
	}
	inv := a.Host.Inventory()
	for i := range inv.Interfaces {
		inv.Interfaces[i].Boot = inv.Interfaces[i].MAC == a.BootMAC
	}
	return inv
}

// bmc is where the machine's BMC is: as that says, or else the firmware.
func (a *Agent) bmc() *sprout.HostBMC {
	if a.BMC != nil {
		if found := a.BMC(); found != nil {
			return found
		}
	}
	return a.Host.hostInterface()
}

func (a *Agent) waitLinks(ctx context.Context) {
	if a.Links != nil {
		a.Links(ctx)
	}
}

func (a *Agent) test(ctx context.Context, id string, p *progress, order *sprout.TestOrder) []sprout.TestResult {
	a.waitLinks(ctx)
	inv := a.inventory(ctx)
	tests := a.Tests.Tests(inv)
	if order != nil {
		tests = append(tests, a.fetchTests(ctx, *order)...)
	}
	var before *sprout.TestsDone
	if order != nil {
		before = order.Done
	}
	kept := a.keepTests(ctx, id)
	defer kept.stop()
	results := hwtest.Resume(ctx, tests, inv, hwtest.Peer{URL: a.Client.URL, Token: a.Client.Token}, before, func(done, total int, last sprout.TestResult) {
		p.set(int64(done), int64(total), "tests")
		kept.result(last)
		a.Log.Info("hardware test", "test", last.Test, "device", last.Device, "outcome", last.Outcome, "message", last.Message, "metrics", last.Metrics)
	}, func(m sprout.TestMark) {
		first, _, _ := strings.Cut(m.Mark, "\n")
		p.about(fmt.Sprintf("%s on %s: %s", m.Test, m.Device, first))
		kept.mark(m)
	})
	bound(results)
	return results
}

// reportProgress sends what p holds while it changes. The returned function
// stops it and waits for it.
func (a *Agent) reportProgress(ctx context.Context, order string, p *progress) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				if latest, ok := p.news(now); ok {
					a.Client.TryReport(ctx, sprout.Report{Order: order, Outcome: "progress", Progress: &latest})
				}
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}
