package kea_test

import (
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/dhcptest"
	"sprout/dhcp/kea"
	"sprout/dhcp/kea/keatest"
)

var _ dhcp.Provider = (*kea.Server)(nil)

type object = keatest.Object

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

func config(w *dhcptest.Wire, d *keatest.Daemon, s *troubles) kea.Config {
	return kea.Config{
		Socket: d.Socket, Interface: w.Device, Address: w.Address, Ledger: w.Ledger, Trouble: s.set,
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
		d := keatest.New(t, keatest.Plain)
		d.Start(t)
		return open(t, config(w, d, s))
	})
	for code, words := range s.now {
		t.Errorf("%s: %s", code, words)
	}
}
