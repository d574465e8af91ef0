package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/sim"
)

// A BMC's session is kept while it is used, and given back when it is idle:
// service processors have few, and an agent has 10,000 of them.
func TestIdleSessionsAreGivenBack(t *testing.T) {
	rack := sim.NewRack("admin", "secret", nil)
	defer rack.Close()
	slot, err := rack.Plug(sim.Config{Spec: sim.Spec{Name: "m1", MACs: []string{testMAC}}})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b := newBMCs(newBoots(nil), func([]byte) (string, error) { return "secret", nil }, log)
	defer b.close()
	m := sprout.SiteMachine{ID: "mch_1", Name: "m1", BMC: &sprout.BMC{Driver: "redfish", URL: slot.URL, Username: "admin"}}
	ask := func() {
		t.Helper()
		p, err := b.of(m)
		if err != nil {
			t.Fatal(err)
		}
		if state, err := p.Status(t.Context()); err != nil || state != sprout.PowerOff {
			t.Fatalf("the power is %s: %v", state, err)
		}
	}
	ask()
	if idle := b.idle(time.Now().Add(-powerIdle)); len(idle) != 0 || slot.BMC.Sessions() != 1 {
		t.Fatalf("%d are idle, %d sessions", len(idle), slot.BMC.Sessions())
	}
	b.endIdle(time.Now().Add(time.Second))
	if len(b.open) != 0 || slot.BMC.Sessions() != 0 {
		t.Errorf("%d are kept, %d sessions", len(b.open), slot.BMC.Sessions())
	}
	ask() // and it is asked again as before
	if idle := b.idle(time.Now().Add(-powerIdle)); len(idle) != 0 {
		t.Error("a session in use was given back")
	}
}

// Ten of a hundred BMCs are dead: they take connections and say nothing. The
// others are asked meanwhile, and answer as fast as if there were none.
func TestDeadBMCsDelayNobody(t *testing.T) {
	rack := sim.NewRack("admin", "secret", nil)
	defer rack.Close()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close() //nolint:errcheck // nothing was said on it
	log := slog.New(slog.DiscardHandler)
	b := newBMCs(newBoots(nil), func([]byte) (string, error) { return "secret", nil }, log)
	ask := func(ctx context.Context, id int, url string) error {
		p, err := b.of(sprout.SiteMachine{
			ID: sprout.MachineID(fmt.Sprint("mch_", id)), Name: fmt.Sprint("m", id), BMC: &sprout.BMC{Driver: "redfish", URL: url, Username: "admin"},
		})
		if err == nil {
			_, err = p.Status(ctx)
		}
		return err
	}
	hung, end := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer end()
	for i := range 10 {
		waiting.Go(func() { _ = ask(hung, i, "http://"+dead.Addr().String()) })
	}
	for range 10 { // each of them has asked
		c, err := dead.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // as above
	}
	answers := make(chan error)
	for i := 10; i < 100; i++ {
		slot, err := rack.Plug(sim.Config{Spec: sim.Spec{Name: fmt.Sprint("m", i), MACs: []string{fmt.Sprintf("52:54:00:00:01:%02x", i)}}})
		if err != nil {
			t.Fatal(err)
		}
		go func() { answers <- ask(t.Context(), i, slot.URL) }()
	}
	for range 90 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	for i := range 10 {
		if d := b.open[sprout.MachineID(fmt.Sprint("mch_", i))]; d.Idle(time.Now().Add(time.Hour)) {
			t.Errorf("dead BMC %d was no longer waited for when the others had answered", i)
		}
	}
	end()
	waiting.Wait()
	b.close()
}

// The password is sealed anew whenever a machine is told of: the session and what
// is known of the BMC stay, until what is sealed is another.
func TestSealedAnewIsTheSameBMC(t *testing.T) {
	password := "secret"
	b := newBMCs(newBoots(nil), func([]byte) (string, error) { return password, nil }, slog.New(slog.DiscardHandler))
	m := sprout.SiteMachine{ID: "mch_1", Name: "m1", BMC: &sprout.BMC{Driver: "ipmi", URL: "ipmi://127.0.0.1:1"}, Secret: []byte("one")}
	of := func() power.Provider {
		t.Helper()
		p, err := b.of(m)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := of()
	if m.Secret = []byte("another"); of() != first {
		t.Error("the same password sealed anew made another BMC")
	}
	if password = "new"; of() == first {
		t.Error("a new password did not make another BMC")
	}
}
