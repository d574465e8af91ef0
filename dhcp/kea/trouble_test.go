package kea_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/dhcp/dhcptest"
	"sprout/dhcp/kea"
	"sprout/dhcp/kea/keatest"
)

const stranger = "52:54:00:00:0e:01"

// start runs a server beside a Kea that may not run yet.
func start(t *testing.T, c kea.Config) *kea.Server {
	t.Helper()
	s := open(t, c)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// reserve tells the ledger of one reservation more.
func reserve(w *dhcptest.Wire, mac, ip string) {
	w.Ledger.Change(func(s *dhcptest.Seed) {
		s.Reservations = append(slices.Clone(s.Reservations), sprout.Reservation{MAC: mac, IP: netip.MustParseAddr(ip), Subnet: "sub_a", Machine: "mch_8", Hostname: "new-02"})
	})
}

// TestKeaComesAndGoes: it is told when it comes, and again when it comes back
// with the file of before; what changed meanwhile is in effect, and no lease lost.
func TestKeaComesAndGoes(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	w, troubles := dhcptest.NewWire(t), newTroubles()
	d := keatest.New(t, keatest.Plain)
	s := start(t, config(w, d, troubles))
	if words := troubles.await(t, sprout.KeaUnreachable, is); !strings.Contains(words, "control socket is not there") || !strings.Contains(words, d.Socket) {
		t.Errorf("before Kea is there: %s", words)
	}
	d.Start(t)
	troubles.await(t, sprout.KeaUnreachable, no)
	<-s.Ready()
	leased := w.Lease(t, stranger)

	d.Stop(t)
	troubles.await(t, sprout.KeaUnreachable, is)
	reserve(w, "52:54:00:00:0e:02", "10.0.0.78")
	d.Write(t, keatest.Plain(d.Dir)) // as it was before Sprout told it anything
	d.Start(t)
	troubles.await(t, sprout.KeaUnreachable, no)
	if got := w.Lease(t, "52:54:00:00:0e:02"); got.String() != "10.0.0.78" {
		t.Errorf("what changed while Kea was away is not in effect: it got %s", got)
	}
	if again := w.Lease(t, stranger); again != leased {
		t.Errorf("it had %s and now has %s", leased, again)
	}
	if _, ok, err := s.Lease(t.Context(), leased); !ok || err != nil {
		t.Errorf("Lease(%s): %t, %v", leased, ok, err)
	}
	if l, ok, err := s.Lease(t.Context(), netip.MustParseAddr("10.0.0.199")); ok || err != nil {
		t.Errorf("Lease of a free address: %v, %t, %v", l, ok, err)
	}
}

// TestSomebodyElseChangesKea: what is Sprout's is put back, and it is said; what
// is not may be changed.
func TestSomebodyElseChangesKea(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	w, troubles := dhcptest.NewWire(t), newTroubles()
	d := keatest.New(t, keatest.Plain)
	d.Start(t)
	dhcptest.Serve(t, open(t, config(w, d, troubles)))
	d.AwaitReload(t, 4) // Kea says when it was told by the second
	whole := d.Ask(t, "config-get", nil).Arguments.Dhcp4
	whole["valid-lifetime"], whole["max-valid-lifetime"] = 77, 77
	whole["loggers"].([]any)[0].(object)["severity"] = "DEBUG"
	if got := d.Ask(t, "config-set", object{"Dhcp4": whole}); got.Result != 0 {
		t.Fatalf("Kea does not take its own configuration: %s", got.Text)
	}
	words := troubles.await(t, sprout.KeaChanged, is)
	if !strings.Contains(words, "different: max-valid-lifetime, valid-lifetime") {
		t.Errorf("it says %s", words)
	}
	whole = d.Ask(t, "config-get", nil).Arguments.Dhcp4
	if lasts := whole["valid-lifetime"]; lasts != 600.0 {
		t.Errorf("leases last %v s: it was not put back", lasts)
	}
	if severity := whole["loggers"].([]any)[0].(object)["severity"]; severity != "DEBUG" {
		t.Errorf("what is not Sprout's was put back too: severity %v", severity)
	}
}

// TestKeaOfSomebodyElse: a configuration that Sprout did not make is left alone,
// unless it may be taken over.
func TestKeaOfSomebodyElse(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	w, troubles := dhcptest.NewWire(t), newTroubles()
	d := keatest.New(t, func(dir string) object {
		config := keatest.Plain(dir)
		config["subnet4"] = []object{{"subnet": "192.0.2.0/24", "id": 1}}
		return config
	})
	d.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- open(t, config(w, d, troubles)).Serve(ctx) }()
	if words := troubles.await(t, sprout.KeaRefused, is); !strings.Contains(words, "takeOver") || !strings.Contains(words, "subnet4: 1") {
		t.Errorf("it says %s", words)
	}
	if list := d.Ask(t, "config-get", nil).Arguments.Dhcp4["subnet4"].([]any); len(list) != 1 || list[0].(object)["subnet"] != "192.0.2.0/24" {
		t.Errorf("what others configured became %v", list)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c := config(w, d, troubles)
	c.TakeOver = true
	dhcptest.Serve(t, open(t, c))
	troubles.await(t, sprout.KeaRefused, no)
	w.Lease(t, stranger)
}

// TestKeaRefuses: Kea's own words are said, it goes on as it was, and what it can
// take later is taken.
func TestKeaRefuses(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	w, troubles := dhcptest.NewWire(t), newTroubles()
	d := keatest.New(t, keatest.Plain)
	d.Start(t)
	hooks := t.TempDir() // with one library of the two
	from, _ := filepath.Glob("/usr/lib/*/kea/hooks/libdhcp_lease_cmds.so")
	if err := os.Symlink(from[0], filepath.Join(hooks, "libdhcp_lease_cmds.so")); err != nil {
		t.Fatal(err)
	}
	c := config(w, d, troubles)
	c.Hooks = hooks
	start(t, c)
	if words := troubles.await(t, sprout.KeaRefused, is); !strings.Contains(words, "libdhcp_flex_option.so") {
		t.Errorf("it says %s", words)
	}
	if err := os.Symlink(strings.ReplaceAll(from[0], "lease_cmds", "flex_option"), filepath.Join(hooks, "libdhcp_flex_option.so")); err != nil {
		t.Fatal(err)
	}
	reserve(w, "52:54:00:00:0e:02", "10.0.0.78")
	troubles.await(t, sprout.KeaRefused, no)
	leased := w.Lease(t, stranger)
	// A domain that is none: config-test refuses it, and Kea serves on.
	before := w.Ledger.Subnets()
	w.Ledger.Change(func(s *dhcptest.Seed) {
		s.Subnets = slices.Clone(s.Subnets)
		s.Subnets[0].Search = []string{"no..domain"}
	})
	if words := troubles.await(t, sprout.KeaRefused, is); !strings.Contains(words, "no..domain") {
		t.Errorf("it says %s", words)
	}
	if again := w.Lease(t, stranger); again != leased {
		t.Errorf("with its configuration refused Kea gives %s, not %s", again, leased)
	}
	w.Ledger.Change(func(s *dhcptest.Seed) { s.Subnets = before })
	troubles.await(t, sprout.KeaRefused, no)
}

// TestOldKea: a version that cannot do what is needed is told nothing.
func TestOldKea(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "control"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	asked := make(chan string, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			var q struct{ Command string }
			_ = json.NewDecoder(conn).Decode(&q)
			asked <- q.Command
			_, _ = conn.Write([]byte(`{"result": 0, "text": "1.8.2", "arguments": {"extended": "1.8.2\ntarball"}}`))
			_ = conn.Close()
		}
	}()
	troubles := newTroubles()
	start(t, kea.Config{Socket: listener.Addr().String(), Hooks: t.TempDir(), Address: netip.MustParseAddr("10.0.0.1"), Ledger: dhcptest.NewMemory(dhcptest.Seed{}), Trouble: troubles.set})
	if words := troubles.await(t, sprout.KeaRefused, is); !strings.Contains(words, "2.2 or later is needed") || !strings.Contains(words, "1.8.2") {
		t.Errorf("it says %s", words)
	}
	if first := <-asked; first != "version-get" || len(asked) > 0 {
		t.Errorf("it was given %s and %d commands more", first, len(asked))
	}
}

func TestNewRefuses(t *testing.T) {
	l := dhcptest.NewMemory(dhcptest.Seed{})
	for field, c := range map[string]kea.Config{
		"ledger":         {Address: netip.MustParseAddr("10.0.0.1")},
		"address":        {Ledger: l, Address: netip.MustParseAddr("2001:db8::1")},
		"dhcp.kea.hooks": {Ledger: l, Address: netip.MustParseAddr("10.0.0.1"), Hooks: "/nowhere"},
	} {
		_, err := kea.New(c)
		var wrong *sprout.Error
		if sprout.KindOf(err) != sprout.Invalid || !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
