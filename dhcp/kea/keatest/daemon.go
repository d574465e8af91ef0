// Package keatest runs a real kea-dhcp4 for tests, in the network of the test.
package keatest

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// An Object is one of JSON.
type Object = map[string]any

// A Daemon is a real kea-dhcp4 in the test's network.
type Daemon struct {
	Dir, Socket string
	config      string
	process     *exec.Cmd
	ended       chan error
}

// Plain is what an operator configures by hand for Sprout.
func Plain(dir string) Object {
	return Object{
		"interfaces-config": Object{"interfaces": []string{}, "re-detect": true},
		"control-socket":    Object{"socket-type": "unix", "socket-name": filepath.Join(dir, "control")},
		"lease-database":    Object{"type": "memfile", "persist": true, "name": filepath.Join(dir, "leases.csv"), "lfc-interval": 0},
		"loggers":           []Object{{"name": "kea-dhcp4", "severity": "INFO", "output_options": []Object{{"output": filepath.Join(dir, "log"), "flush": true}}}},
	}
}

// New makes a Kea that Start starts.
func New(t *testing.T, config func(dir string) Object) *Daemon {
	t.Helper()
	if _, err := exec.LookPath("kea-dhcp4"); err != nil {
		t.Skip("kea-dhcp4 is missing: apt-get install kea-dhcp4-server")
	}
	dir := t.TempDir()
	d := &Daemon{Dir: dir, config: filepath.Join(dir, "kea.json"), Socket: filepath.Join(dir, "control")}
	d.Write(t, config(dir))
	t.Cleanup(func() {
		if d.process != nil {
			d.Stop(t)
		}
		if raw, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("Kea said:\n%s", raw[max(0, len(raw)-10000):])
		}
	})
	return d
}

// Write writes the file that Kea starts with.
func (d *Daemon) Write(t *testing.T, config Object) {
	t.Helper()
	raw, err := json.Marshal(Object{"Dhcp4": config})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start starts Kea and waits until it can be commanded.
func (d *Daemon) Start(t *testing.T) {
	t.Helper()
	cmd := exec.Command("kea-dhcp4", "-c", d.config)
	cmd.Env = append(os.Environ(), "KEA_LOCKFILE_DIR=none", "KEA_PIDFILE_DIR="+d.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	d.process, d.ended = cmd, ended
	for late := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", d.Socket)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("kea-dhcp4 ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(late) {
			t.Fatalf("kea-dhcp4 has no control socket after 30 s: %v", err)
		}
	}
}

// Stop kills Kea, as a crash does.
func (d *Daemon) Stop(t *testing.T) {
	t.Helper()
	if err := d.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	<-d.ended
	d.process = nil
	_ = os.Remove(d.Socket)
}

// Ask gives Kea a command past Sprout.
func (d *Daemon) Ask(t *testing.T, command string, arguments any) (answer struct {
	Result    int
	Text      string
	Arguments struct {
		Dhcp4  Object
		Reload int // s ago
	}
}) {
	t.Helper()
	conn, err := net.Dial("unix", d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the answer counts
	request := Object{"command": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// AwaitReload waits until so many seconds have passed since Kea was told.
func (d *Daemon) AwaitReload(t *testing.T, seconds int) {
	t.Helper()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for d.Ask(t, "status-get", nil).Arguments.Reload < seconds {
		<-again.C
	}
}
