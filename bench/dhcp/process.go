package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sprout"
)

// A server is a process under test.
type server struct {
	*exec.Cmd
	ended chan error
	said  string // file of what it said
}

// launch starts a server and waits until it answers.
func (b *bed) launch(name string, args ...string) (*server, error) {
	said, err := os.Create(filepath.Join(b.dir, "said"))
	if err != nil {
		return nil, err
	}
	defer said.Close() //nolint:errcheck // the process has its own
	s := &server{Cmd: exec.CommandContext(b.ctx, name, args...), ended: make(chan error, 1), said: said.Name()}
	s.Stdout, s.Stderr = said, said
	s.Env = append(os.Environ(), "KEA_LOCKFILE_DIR=none", "KEA_PIDFILE_DIR="+b.dir)
	s.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.Wait() }()
	for range 200 {
		if t, err := b.once(); err == nil && t.exchanges > 0 {
			return s, nil
		}
		select {
		case err := <-s.ended:
			return nil, fmt.Errorf("%s ended by itself: %w: %s", name, err, s.words())
		default:
		}
		if err := sprout.Pause(b.ctx, 100*time.Millisecond); err != nil {
			break
		}
	}
	return nil, errors.Join(fmt.Errorf("%s does not answer: %s", name, s.words()), s.stop())
}

// once is a few exchanges.
func (b *bed) once() (trial, error) {
	out, err := b.inGenerator("perfdhcp", "-4", "-l", relayIP, "-n", "5", "-r", "50", "-W", "100000", serverIP)
	if err != nil && !someLost(err) {
		return trial{}, err
	}
	return read(out)
}

func (b *bed) inGenerator(args ...string) ([]byte, error) {
	return exec.CommandContext(b.ctx, "nsenter", append([]string{"-t", strconv.Itoa(b.holder.Process.Pid), "-n", "--"}, args...)...).Output()
}

func (s *server) words() string {
	raw, _ := os.ReadFile(s.said)
	return string(raw)
}

// stop ends the server.
func (s *server) stop() error {
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return nil // Kea says that it was told to
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("%s did not end in 20 s", s.Path), s.Process.Kill())
	}
}

// cpu is the time that all its threads have used.
func (s *server) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(after)
	const user, system = 11, 12 // of proc(5), from the state on
	if len(fields) <= system {
		return 0, fmt.Errorf("cannot read the CPU time of %s: %s", s.Path, raw)
	}
	const tick = 10 * time.Millisecond
	var ticks int
	for _, field := range fields[user : system+1] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// fresh is a server of the kind, with nothing leased.
func (b *bed) fresh(kind string, reservations int) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if kind == kea {
		config, err := b.configureKea()
		if err != nil {
			return nil, err
		}
		return b.launch("kea-dhcp4", "-c", config)
	}
	args := []string{"--serve", kind, "--dir", filepath.Join(b.dir, "site"), "--clients", strconv.Itoa(b.clients), "--reservations", strconv.Itoa(reservations)}
	if b.profile != "" {
		args = append(args, "--profile", b.profile)
	}
	return b.launch(self, args...)
}

// during runs f beside a fresh server, and stops that.
func (b *bed) during(kind string, reservations int, f func(s *server) error) error {
	s, err := b.fresh(kind, reservations)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.stop())
}
