package emulator_test

import (
	"context"
	_ "embed"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"sprout"
	"sprout/power/redfish/emulator"
)

//go:embed testdata/sushy_check.py
var check string

//go:embed testdata/sushy_tasks.py
var checkTasks string

// An onOff is a machine that is nothing but its power.
type onOff struct {
	on     atomic.Bool
	booted chan emulator.Boot
}

func (m *onOff) Power() sprout.PowerState {
	if m.on.Load() {
		return sprout.PowerOn
	}
	return sprout.PowerOff
}

func (m *onOff) PowerOn(_ context.Context, boot emulator.Boot) error {
	m.on.Store(true)
	m.booted <- boot
	return nil
}

func (m *onOff) PowerOff(context.Context) error            { m.on.Store(false); return nil }
func (m *onOff) InsertMedia(context.Context, string) error { return nil }
func (m *onOff) EjectMedia(context.Context) error          { return nil }
func (m *onOff) Shutdown(ctx context.Context) error        { return m.PowerOff(ctx) }

// TestSushy lets OpenStack's Redfish client find, read, steer and switch the
// machine. It needs Debian's python3-sushy.
func TestSushy(t *testing.T) {
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import sushy").CombinedOutput(); err != nil {
		t.Skipf("python3-sushy is not installed: %v: %s", err, out)
	}
	m := &onOff{booted: make(chan emulator.Boot, 9)}
	facts := emulator.Facts{
		Name: "m1", UUID: "6f4be2f6-0f37-4be6-9bd8-7a3f7c3e0a01", Serial: "S1", Manufacturer: "Sprout", Model: "lab",
		CPUs: 2, MemoryMB: 2048, Modes: []sprout.BootMode{sprout.UEFI}, MACs: []string{"52:54:00:00:00:01"},
	}
	bmc := emulator.New(facts, m, "admin", "secret", slog.New(slog.DiscardHandler))
	server := httptest.NewServer(bmc)
	defer server.Close()
	for _, auth := range []string{"session", "basic"} {
		out, err := exec.CommandContext(t.Context(), python, "-c", check, server.URL, "admin", "secret", auth).CombinedOutput()
		if err != nil {
			t.Fatalf("sushy with %s authentication: %v\n%s", auth, err, out)
		}
		if boot := <-m.booted; boot.Device != "network" || boot.Mode != sprout.UEFI {
			t.Errorf("the machine booted %+v, want the network by UEFI", boot)
		}
		if m.on.Load() {
			t.Error("the machine is still on")
		}
	}
	bmc.SetFaults(emulator.Faults{SlowReset: 100 * time.Millisecond})
	if out, err := exec.CommandContext(t.Context(), python, "-c", checkTasks, server.URL, "admin", "secret").CombinedOutput(); err != nil {
		t.Fatalf("sushy with tasks: %v\n%s", err, out)
	}
	if n := bmc.Sessions(); n != 0 {
		t.Errorf("%d sessions left", n)
	}
}
