package system

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp/dhcptest"
)

// The switch is lldpd, an implementation that nobody here wrote, which answers
// somebody new at once: both then know where the cable leads.
func TestNeighbourIsHeard(t *testing.T) {
	lldpd, err := exec.LookPath("lldpd")
	if err != nil {
		t.Skip("needs Debian's lldpd")
	}
	if dhcptest.Isolate(t) {
		return
	}
	leaf := dhcptest.Veth(t, "eno1", "10.0.0.1/24", "44:38:39:00:00:07")
	eno1, err := net.InterfaceByName("eno1")
	if err != nil {
		t.Fatal(err)
	}
	mac := eno1.HardwareAddr.String()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil { //nolint:gosec // lldpd gives up its rights
		t.Fatal(err)
	}
	control := filepath.Join(dir, "lldpd.socket")
	daemon := leaf.Command(t, lldpd, "-d", "-I", leaf.Device, "-C", leaf.Device, "-S", "leaf", "-u", control)
	var said strings.Builder
	daemon.Stdout, daemon.Stderr = &said, &said
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n, err := ListenLLDP(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	heard := n.Heard(ctx, began.Add(40*time.Second))
	if len(heard) != 1 || heard[0].MAC != mac || heard[0].Port == "" || heard[0].Chassis == "" || heard[0].System == "" {
		t.Fatalf("heard %+v in %s; lldpd: %s", heard, time.Since(began), said.String())
	}
	t.Logf("heard %s after %s", heard[0], time.Since(began).Round(time.Millisecond))
	for deadline := time.Now().Add(20 * time.Second); ; {
		out, err := exec.CommandContext(ctx, "lldpcli", "-u", control, "-f", "keyvalue", "show", "neighbors").Output()
		if strings.Contains(string(out), ".chassis.mac="+mac) && strings.Contains(string(out), "chassis.name=sprout-ramdisk") {
			break
		}
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || time.Now().After(deadline) {
			t.Fatalf("lldpd knows %s, %v", out, err)
		}
		if err := sprout.Pause(ctx, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	// The other end goes: nobody is there any more.
	leaf.Run(t, "ip", "link", "set", leaf.Device, "down")
	for deadline := time.Now().Add(20 * time.Second); ; {
		if list, missing := n.all(); len(list) == 0 && len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("who is gone is still heard")
		}
		if err := sprout.Pause(ctx, 50*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}
