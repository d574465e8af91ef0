package neighbour

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sprout/dhcp/dhcptest"
)

// TestOf has another network's kernel answer, and be silent, and has the table say
// what nobody on the link said.
func TestOf(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	const web01, thief = "52:54:00:00:00:01", "52:54:00:00:00:09"
	peer := dhcptest.Veth(t, "nbr", "10.20.0.1/24", web01)
	peer.Run(t, "ip", "addr", "add", "10.20.0.50/24", "dev", peer.Device)
	dhcptest.Command(t, "ip", "addr", "add", "fd00:20::1/64", "dev", "nbr", "nodad")
	peer.Run(t, "ip", "addr", "add", "fd00:20::50/64", "dev", peer.Device, "nodad")
	of := func(ip string) (string, error) { return Of(t.Context(), netip.MustParseAddr(ip)) }
	for _, ip := range []string{"10.20.0.50", "10.20.0.50", "::ffff:10.20.0.50", "fd00:20::50", "fd00:20::50"} {
		if mac, err := of(ip); mac != web01 || err != nil {
			t.Errorf("%s: %s, %v", ip, mac, err)
		}
	}
	peer.Run(t, "ip", "link", "set", peer.Device, "address", thief)
	dhcptest.Command(t, "ip", "neigh", "flush", "dev", "nbr")
	if mac, err := of("10.20.0.50"); mac != thief || err != nil {
		t.Errorf("after it moved: %s, %v", mac, err)
	}
	began := time.Now()
	if mac, err := of("10.20.0.51"); !errors.Is(err, errNobody) || time.Since(began) > 2*Takes {
		t.Errorf("of an address that nobody has: %s, %v after %s", mac, err, time.Since(began))
	}
	over, end := context.WithCancel(t.Context())
	end()
	if mac, err := Of(over, netip.MustParseAddr("10.20.0.52")); !errors.Is(err, errNobody) {
		t.Errorf("after the end: %s, %v", mac, err)
	}
	dhcptest.Command(t, "ip", "route", "add", "10.30.0.0/24", "via", "10.20.0.50")
	for _, ip := range []string{"10.30.0.7", "10.20.0.1", "127.0.0.1", "fd00:20::1"} {
		if mac, err := of(ip); mac != "" || err != nil {
			t.Errorf("%s is no neighbour: %s, %v", ip, mac, err)
		}
	}
	if _, err := of("192.0.2.7"); err == nil || !strings.Contains(err.Error(), "no route") {
		t.Errorf("of an address without a route: %v", err)
	}
}
