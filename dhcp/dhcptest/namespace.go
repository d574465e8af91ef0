package dhcptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const isolated = "SPROUT_TEST_ISOLATED"

// Isolate runs the calling test once more in a process with a network of its
// own, and returns false there, where the test then goes on. Where it returns
// true the test is over. The network goes with its last process, whatever
// happens. Needs root; without, the test is skipped.
func Isolate(t *testing.T) (over bool) {
	t.Helper()
	if os.Getenv(isolated) == t.Name() {
		Command(t, "ip", "link", "set", "lo", "up")
		return false
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes a network namespace")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), isolated+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	t.Logf("in its own network:\n%s", out)
	if err != nil {
		t.Fatalf("it failed there: %v", err)
	}
	if strings.Contains(string(out), "--- SKIP: "+t.Name()+" ") {
		t.Skip("skipped there, for the reason above")
	}
	return true
}

// A Peer is another network beside that of the test, with one device in it.
type Peer struct {
	pid    int
	Device string
}

// Veth makes a pair of devices: local here with the address (as 10.0.0.1/24),
// and another with the MAC in a new peer.
func Veth(t *testing.T, local, address, mac string) Peer {
	t.Helper()
	holder := exec.CommandContext(t.Context(), "sleep", "600")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = holder.Process.Kill(), holder.Wait() })
	p := Peer{pid: holder.Process.Pid, Device: local + "p"}
	Command(t, "ip", "link", "add", local, "type", "veth", "peer", "name", p.Device, "address", mac, "netns", fmt.Sprint(p.pid))
	Command(t, "ip", "addr", "add", address, "dev", local)
	Command(t, "ip", "link", "set", local, "up")
	p.Run(t, "ip", "link", "set", p.Device, "up")
	p.Run(t, "ip", "link", "set", "lo", "up")
	return p
}

// Take moves a device from here into the peer's network.
func (p Peer) Take(t *testing.T, device string) {
	t.Helper()
	Command(t, "ip", "link", "set", device, "netns", fmt.Sprint(p.pid))
}

// Inside calls f in the peer's network: sockets that it opens are there.
func (p Peer) Inside(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its network
		space, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.pid))
		if err == nil {
			err = unix.Setns(int(space.Fd()), unix.CLONE_NEWNET)
			err = errors.Join(err, space.Close())
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Settle waits until the device's link-local address may be used: the kernel looks
// for a second whether another has it (RFC 4862 section 5.4).
func (p Peer) Settle(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if out := p.Run(t, "ip", "-6", "addr", "show", "dev", p.Device, "scope", "link", "-tentative"); strings.Contains(out, "fe80") {
			return
		}
	}
	t.Fatal("no link-local address in 10 s")
}

// Beside is another device in the peer's network.
func (p Peer) Beside(device string) Peer { return Peer{p.pid, device} }

// Command makes a command that runs in the peer's network.
func (p Peer) Command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), "nsenter", append([]string{"-t", fmt.Sprint(p.pid), "-n", "--"}, args...)...)
}

// Run runs a command in the peer's network to its end.
func (p Peer) Run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.Command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// Command runs a command to its end.
func Command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}
