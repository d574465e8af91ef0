package kea_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/dhcptest"
	"sprout/dhcp/kea"
)

var _ dhcp.Provider = (*kea.Server)(nil)

type object = map[string]any

// A daemon is a real kea-dhcp4 in the test's network.
type daemon struct {
	dir, config, socket string
	process             *exec.Cmd
	ended               chan error
}

// plain is what an operator configures by hand for Sprout.
func plain(dir string) object {
	return object{
		"interfaces-config": object{"interfaces": []string{}, "re-detect": true},
		"control-socket":    object{"socket-type": "unix", "socket-name": filepath.Join(dir, "control")},
		"lease-database":    object{"type": "memfile", "persist": true, "name": filepath.Join(dir, "leases.csv"), "lfc-interval": 0},
		"loggers":           []object{{"name": "kea-dhcp4", "severity": "INFO", "output_options": []object{{"output": filepath.Join(dir, "log"), "flush": true}}}},
	}
}

// newDaemon makes a Kea that start starts.
func newDaemon(t *testing.T, config func(dir string) object) *daemon {
	t.Helper()
	if _, err := exec.LookPath("kea-dhcp4"); err != nil {
		t.Skip("kea-dhcp4 is missing: apt-get install kea-dhcp4-server")
	}
	dir := t.TempDir()
	d := &daemon{dir: dir, config: filepath.Join(dir, "kea.json"), socket: filepath.Join(dir, "control")}
	d.write(t, config(dir))
	t.Cleanup(func() {
		if d.process != nil {
			d.stop(t)
		}
		if raw, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("Kea said:\n%s", raw[max(0, len(raw)-10000):])
		}
	})
	return d
}

// write writes the file that Kea starts with.
func (d *daemon) write(t *testing.T, config object) {
	t.Helper()
	raw, err := json.Marshal(object{"Dhcp4": config})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// start starts Kea and waits until it can be commanded.
func (d *daemon) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command("kea-dhcp4", "-c", d.config)
	cmd.Env = append(os.Environ(), "KEA_LOCKFILE_DIR=none", "KEA_PIDFILE_DIR="+d.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	d.process, d.ended = cmd, ended
	for late := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", d.socket)
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

// stop kills Kea, as a crash does.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	if err := d.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	<-d.ended
	d.process = nil
	_ = os.Remove(d.socket)
}

// troubles are what a server told, by code.
type troubles struct {
	mu    sync.Mutex
	now   map[sprout.Code]string
	moved chan struct{}
}

func newTroubles() *troubles {
	return &troubles{now: map[sprout.Code]string{}, moved: make(chan struct{})}
}

func (s *troubles) set(code sprout.Code, reason, evidence string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.now, code)
	if reason != "" {
		s.now[code] = reason + ": " + evidence
	}
	close(s.moved)
	s.moved = make(chan struct{})
}

// await waits until so is true of what is wrong with the code, and returns that.
func (s *troubles) await(t *testing.T, code sprout.Code, so func(words string) bool) string {
	t.Helper()
	late := time.After(60 * time.Second)
	for {
		s.mu.Lock()
		words, moved := s.now[code], s.moved
		s.mu.Unlock()
		if so(words) {
			return words
		}
		select {
		case <-moved:
		case <-late:
			t.Fatalf("after a minute %s is %q", code, words)
		}
	}
}

func is(words string) bool { return words != "" }
func no(words string) bool { return words == "" }

func config(w *dhcptest.Wire, d *daemon, s *troubles) kea.Config {
	return kea.Config{
		Socket: d.socket, Interface: w.Device, Address: w.Address, Ledger: w.Ledger, Trouble: s.set,
		Domain: func() string { return dhcptest.Domain }, LeaseTime: dhcptest.LeaseTime,
	}
}

func open(t *testing.T, c kea.Config) *kea.Server {
	t.Helper()
	s, err := kea.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	s := newTroubles()
	dhcptest.Provider(t, func(t *testing.T, w *dhcptest.Wire) dhcp.Provider {
		d := newDaemon(t, plain)
		d.start(t)
		return open(t, config(w, d, s))
	})
	for code, words := range s.now {
		t.Errorf("%s: %s", code, words)
	}
}
