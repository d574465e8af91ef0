package kea_test

import (
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp/dhcptest"
	"sprout/dhcp/kea/keatest"
)

// A witness collects boot events, and tells when each came.
type witness struct {
	mu   sync.Mutex
	all  []sprout.BootEvent
	more chan struct{}
}

func (w *witness) see(e sprout.BootEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, e)
	close(w.more)
	w.more = make(chan struct{})
}

// await waits for an event of the MAC.
func (w *witness) await(t *testing.T, mac, what string) sprout.BootEvent {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		more := w.more
		for _, e := range w.all {
			if e.MAC == mac && e.What == what {
				w.mu.Unlock()
				return e
			}
		}
		w.mu.Unlock()
		select {
		case <-more:
		case <-late:
			t.Fatalf("no %s of %s in 30 s; there were %v", what, mac, w.all)
		}
	}
}

// TestUdhcpc gets a lease of Kea by broadcast, and what it does is seen.
func TestUdhcpc(t *testing.T) {
	if _, err := exec.LookPath("udhcpc"); err != nil {
		t.Skip("udhcpc is missing: apt-get install udhcpc")
	}
	if dhcptest.Isolate(t) {
		return
	}
	const mac = "52:54:00:00:0a:01" // of the wire's other end
	w, d, seen := dhcptest.NewWire(t), keatest.New(t, keatest.Plain), &witness{more: make(chan struct{})}
	d.Start(t)
	c := config(w, d, newTroubles())
	c.Events = seen.see
	dhcptest.Serve(t, open(t, c))
	w.Peer.Run(t, "udhcpc", "-f", "-q", "-n", "-i", w.Peer.Device, "-s", "/bin/true", "-T", "2", "-t", "5")
	given := seen.await(t, mac, sprout.SawAck)
	l := w.AwaitLease(t, mac, "bound")
	if given.IP != l.IP || given.Client != "system" || !strings.Contains(given.Detail, "Kea gives "+l.IP.String()) {
		t.Errorf("it was seen to get %+v, and has %s", given, l.IP)
	}
	for _, what := range []string{sprout.SawDiscover, sprout.SawOffer, sprout.SawRequest} {
		seen.await(t, mac, what)
	}
}
