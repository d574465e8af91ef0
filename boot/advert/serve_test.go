package advert_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sprout/boot/advert"
	"sprout/dhcp/dhcptest"
)

// TestServe has the kernel of another network hear what is said: it learns the prefix and for how long there is a router, makes
// itself no address of a prefix that is not for that, and asks when its device
// comes up.
func TestServe(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	peer := dhcptest.Veth(t, "adv", "fd00:20::1/64", "52:54:00:00:00:09")
	asked := make(chan bool, 100)
	say := func(one bool) advert.Word {
		select {
		case asked <- one:
		default:
		}
		return advert.Word{
			Stateful: true, Router: time.Minute, Low: true, MTU: 1400, DNS: []netip.Addr{netip.MustParseAddr("fd00:20::1")},
			Prefixes: []advert.Prefix{{Prefix: netip.MustParsePrefix("fd00:20::/64")}, {Prefix: netip.MustParsePrefix("fd00:21::/64"), Autonomous: true}},
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- advert.Serve(ctx, advert.Config{Interface: "adv", Say: say, Log: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var routes, addresses string
	heard := func() bool {
		routes = peer.Run(t, "ip", "-6", "route", "show", "dev", peer.Device)
		addresses = peer.Run(t, "ip", "-6", "addr", "show", "dev", peer.Device)
		for _, want := range []string{"fd00:20::/64", "fd00:21::/64", "default via fe80", "pref low"} {
			if !strings.Contains(routes, want) {
				return false
			}
		}
		return strings.Contains(addresses, "fd00:21::5054:ff:fe00:9/64")
	}
	for until := time.Now().Add(20 * time.Second); !heard(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("after 20 s:\n%s\n%s", routes, addresses)
		}
	}
	if strings.Contains(addresses, "fd00:20::5054") {
		t.Errorf("an address was made of a prefix of DHCPv6:\n%s", addresses)
	}
	// A device that comes up again asks.
	peer.Run(t, "ip", "link", "set", peer.Device, "down")
	peer.Run(t, "ip", "link", "set", peer.Device, "up")
	deadline := time.After(20 * time.Second)
	for {
		select {
		case one := <-asked:
			if one {
				return
			}
		case <-deadline:
			t.Fatal("not asked in 20 s")
		}
	}
}
