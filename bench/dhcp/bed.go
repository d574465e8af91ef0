package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// insideEnv says that the process is already in a network of its own.
const insideEnv = "SPROUT_BENCH_INSIDE"

// The cable: the server's end, and the generator's, which is the clients' relay.
const (
	device    = "srv"
	serverIP  = "10.20.0.1"
	relayIP   = "10.20.0.2"
	prefix    = "10.20.0.0/15"
	poolFirst = "10.20.1.0"
	poolLast  = "10.21.127.255"
)

// A bed is where servers are measured.
type bed struct {
	ctx          context.Context
	dir          string
	clients      int
	reservations int
	rounds       int
	period       time.Duration
	profile      string
	holder       *exec.Cmd // keeps the generator's network
	made         string    // directory to be removed
}

// goInside runs this program again in a network namespace of its own, which
// goes with its last process, whatever happens.
func goInside(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd.Run()
}

// open lays the cable and makes the directory.
func (b *bed) open(ctx context.Context) error {
	b.ctx = ctx
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "sprout-bench-dhcp-")
		if err != nil {
			return err
		}
		b.dir, b.made = dir, dir
	}
	b.holder = exec.CommandContext(ctx, "sleep", "3600")
	b.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := b.holder.Start(); err != nil {
		return fmt.Errorf("cannot make a network namespace (that needs root): %w", err)
	}
	pid := fmt.Sprint(b.holder.Process.Pid)
	for _, line := range []string{
		"ip link set lo up",
		"ip addr add " + hostsRelay + "/32 dev lo",
		"ip link add " + device + " type veth peer name gen netns " + pid,
		"ip addr add " + serverIP + "/15 dev " + device,
		"ip link set " + device + " up",
		"nsenter -t " + pid + " -n ip addr add " + relayIP + "/15 dev gen",
		"nsenter -t " + pid + " -n ip link set gen up",
		"nsenter -t " + pid + " -n ip link set lo up",
	} {
		args := strings.Fields(line)
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot run %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// close removes what open made.
func (b *bed) close() error {
	if b.holder != nil && b.holder.Process != nil {
		_, _ = b.holder.Process.Kill(), b.holder.Wait() // it did nothing but sleep
	}
	if b.made == "" {
		return nil
	}
	return os.RemoveAll(b.made)
}
