package builtin_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// configure is what the clients run to use what they got, in the words of each.
const configure = `#!/bin/sh
case "$1$reason" in
bound|renew) ip addr replace "$ip/24" dev "$interface" ;;
BOUND|RENEW|REBIND|REBOOT) ip addr replace "$new_ip_address/24" dev "$interface" ;;
esac
exit 0
`

// wire is a server on one end of a cable, and clients' programs on the other.
func wire(t *testing.T, leaseTime time.Duration) (dhcptest.Peer, <-chan sprout.Lease, string) {
	t.Helper()
	saved := make(chan sprout.Lease, 100)
	ledger := dhcptest.NewMemory(seed())
	ledger.OnSave = func(_ context.Context, l sprout.Lease) error {
		saved <- l
		return nil
	}
	peer := dhcptest.Veth(t, "sproutd", "10.0.0.1/24", stranger)
	serve(t, builtin.Config{Interface: "sproutd", Address: ip("10.0.0.1"), Ledger: ledger, LeaseTime: leaseTime})
	script := filepath.Join(t.TempDir(), "configure")
	if err := os.WriteFile(script, []byte(configure), 0o700); err != nil {
		t.Fatal(err)
	}
	return peer, saved, script
}

// next waits for a lease to be saved in the state.
func next(t *testing.T, saved <-chan sprout.Lease, state string) sprout.Lease {
	t.Helper()
	select {
	case l := <-saved:
		if l.State != state || l.MAC != stranger || !l.IP.Is4() {
			t.Fatalf("saved %+v, want one that is %s", l, state)
		}
		return l
	case <-time.After(30 * time.Second):
		t.Fatalf("no lease became %s in 30 s", state)
	}
	return sprout.Lease{}
}

// installed skips the test without the program.
func installed(t *testing.T, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is missing: apt-get install %s", program, debian)
	}
}

// A running is a program and what it says.
type running struct {
	*exec.Cmd
	mu    sync.Mutex
	out   strings.Builder
	waits map[string]chan struct{}
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Write(b)
	r.look()
	return len(b), nil
}

// look closes the channels of words that were said.
func (r *running) look() {
	for words, c := range r.waits {
		if strings.Contains(r.out.String(), words) {
			close(c)
			delete(r.waits, words)
		}
	}
}

// said is closed once the program has said the words.
func (r *running) said(words string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := make(chan struct{})
	r.waits[words] = c
	r.look()
	return c
}

// start runs a program in the peer until the test ends.
func start(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	out := &running{Cmd: cmd, waits: map[string]chan struct{}{}}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = cmd.Process.Kill(), cmd.Wait()
		if t.Failed() {
			t.Logf("%v:\n%s", cmd.Args, out.out.String())
		}
	})
	return out
}

// TestUdhcpc gets a lease by raw unicast, renews it by unicast and gives it back.
func TestUdhcpc(t *testing.T) {
	installed(t, "udhcpc", "udhcpc")
	if dhcptest.Isolate(t) {
		return
	}
	peer, saved, script := wire(t, time.Hour)
	client := start(t, peer.Command(t, "udhcpc", "-f", "-R", "-i", peer.Device, "-s", script, "-T", "1"))
	first := next(t, saved, "bound")
	select {
	case <-client.said("lease of"): // before, it would not renew
	case <-time.After(10 * time.Second):
		t.Fatal("udhcpc took no ACK in 10 s")
	}
	if err := client.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if second := next(t, saved, "bound"); second.IP != first.IP || !second.ExpiresAt.After(first.ExpiresAt) {
		t.Errorf("renewed %v as %v", first, second)
	}
	if err := client.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if last := next(t, saved, "released"); last.IP != first.IP {
		t.Errorf("%s was released, %s was leased", last.IP, first.IP)
	}
}

// TestDhclient gets a lease, renews it when T1 comes, and gives it back.
func TestDhclient(t *testing.T) {
	installed(t, "dhclient", "isc-dhcp-client")
	if dhcptest.Isolate(t) {
		return
	}
	peer, saved, script := wire(t, 4*time.Second)
	dir := t.TempDir()
	args := []string{"-sf", script, "-cf", "/dev/null", "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), peer.Device}
	start(t, peer.Command(t, append([]string{"dhclient", "-d"}, args...)...))
	first := next(t, saved, "bound")
	if second := next(t, saved, "bound"); second.IP != first.IP || !second.ExpiresAt.After(first.ExpiresAt) {
		t.Errorf("renewed %v as %v", first, second)
	}
	peer.Run(t, append([]string{"dhclient", "-r"}, args...)...)
	for {
		l := <-saved
		if l.IP != first.IP {
			t.Fatalf("%v after a lease of %s", l, first.IP)
		}
		if l.State == "released" {
			return
		}
	}
}
