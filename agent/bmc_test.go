package agent

import (
	"log/slog"
	"testing"
	"time"

	"sprout"
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
	b := &bmcs{log: log, boots: newBoots(nil), open: map[sprout.MachineID]*bmc{}, unseal: func([]byte) (string, error) { return "secret", nil }}
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
	held := b.open[m.ID]
	<-held.turn // an operation is under way
	if idle := b.idle(time.Now().Add(time.Second)); len(idle) != 0 {
		t.Error("a session in use was given back")
	}
	held.turn <- struct{}{}
}
