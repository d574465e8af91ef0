package builtin6_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// wire is a server on one end of a cable, and clients' programs on the other.
func wire(t *testing.T, leaseTime time.Duration) (dhcptest.Peer, <-chan sprout.Lease) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	saved := make(chan sprout.Lease, 100)
	ledger := dhcptest.NewMemory(seed())
	ledger.OnSave = func(_ context.Context, l sprout.Lease) error {
		saved <- l
		return nil
	}
	peer := dhcptest.Veth(t, "sprout6", "fd00:20::1/64", stranger)
	serve(t, builtin6.Config{Interface: "sprout6", Address: ip("fd00:20::1"), DUID: server, Ledger: ledger, LeaseTime: leaseTime})
	peer.Settle(t)
	return peer, saved
}

// serve runs a server until the test ends.
func serve(t *testing.T, c builtin6.Config) {
	t.Helper()
	s, err := builtin6.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
}

// next waits for a lease to be saved in the state.
func next(t *testing.T, saved <-chan sprout.Lease, state string) sprout.Lease {
	t.Helper()
	select {
	case l := <-saved:
		if l.State != state || l.MAC != stranger || !l.IP.Is6() {
			t.Fatalf("saved %+v, want one of %s that is %s", l, stranger, state)
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

// start runs a program in the peer until the test ends.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = cmd.Process.Kill(), cmd.Wait()
		if t.Failed() {
			t.Logf("%v:\n%s", cmd.Args, out.String())
		}
	})
}

// TestDhclient gets a lease, renews it when T1 comes, and gives it back.
func TestDhclient(t *testing.T) {
	installed(t, "dhclient", "isc-dhcp-client")
	if dhcptest.Isolate(t) {
		return
	}
	peer, saved := wire(t, 8*time.Second)
	dir := t.TempDir()
	script := filepath.Join(dir, "configure")
	const configure = "#!/bin/sh\n[ -z \"$new_ip6_address\" ] || ip -6 addr replace $new_ip6_address/128 dev $interface\nexit 0\n"
	if err := os.WriteFile(script, []byte(configure), 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"-6", "-sf", script, "-cf", "/dev/null", "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), peer.Device}
	start(t, peer.Command(t, append([]string{"dhclient", "-d"}, args...)...))
	first := next(t, saved, "bound")
	last := next(t, saved, "bound")
	if last.IP != first.IP || !last.ExpiresAt.After(first.ExpiresAt) {
		t.Errorf("renewed %v as %v", first, last)
	}
	peer.Run(t, append([]string{"dhclient", "-r"}, args...)...)
	for { // it may renew once more; what it gives back is good for no longer than before
		l := next(t, saved, "bound")
		if l.IP != first.IP {
			t.Fatalf("%v after a lease of %s", l, first.IP)
		}
		if !l.ExpiresAt.After(last.ExpiresAt) {
			return
		}
		last = l
	}
}

// TestDhcrelay gets a lease of the subnet of a relay, from beyond it.
func TestDhcrelay(t *testing.T) {
	installed(t, "dhcrelay", "isc-dhcp-relay")
	installed(t, "dhclient", "isc-dhcp-client")
	if dhcptest.Isolate(t) {
		return
	}
	relay, saved := wire(t, time.Hour)
	client := dhcptest.Veth(t, "far", "fd00:21::1/64", stranger)
	relay.Take(t, "far")
	relay.Run(t, "sh", "-c", "ip link set far up; ip addr add fd00:20::2/64 nodad dev "+relay.Device+"; ip addr add fd00:21::1/64 nodad dev far")
	client.Settle(t)
	relay.Beside("far").Settle(t)
	start(t, relay.Command(t, "dhcrelay", "-6", "-d", "-pf", filepath.Join(t.TempDir(), "pid"), "-l", "far", "-u", "fd00:20::1%"+relay.Device))
	dir := t.TempDir()
	start(t, client.Command(t, "dhclient", "-6", "-d", "-sf", "/bin/true", "-cf", "/dev/null",
		"-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), client.Device))
	if l := next(t, saved, "bound"); l.Subnet != "sub_b" {
		t.Errorf("a lease of %s: %+v", l.Subnet, l)
	}
}
