package kea_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp/dhcptest"
	"sprout/dhcp/kea/keatest"
)

// TestAChangeAmongMany: from a change to the first answer with it, at a site of
// SPROUT_KEA_HOSTS hosts (500), each with a lease. Every host is still served.
func TestAChangeAmongMany(t *testing.T) {
	hosts, err := strconv.Atoi(cmp.Or(os.Getenv("SPROUT_KEA_HOSTS"), "500"))
	if err != nil {
		t.Fatal(err)
	}
	if dhcptest.Isolate(t) {
		return
	}
	w, d := dhcptest.NewWire(t), keatest.New(t, keatest.Plain)
	at := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 64, byte(n >> 8), byte(n)}) }
	w.Ledger.Change(func(s *dhcptest.Seed) {
		s.Subnets = append(slices.Clone(s.Subnets), sprout.Subnet{ID: "sub_many", Site: "sit_1", CIDR: netip.MustParsePrefix("10.64.0.0/16")})
		for n := 1; n <= hosts; n++ {
			mac := fmt.Sprintf("52:54:01:00:%02x:%02x", n>>8, n&255)
			id := sprout.MachineID(fmt.Sprintf("mch_many%05d", n))
			s.Machines = append(s.Machines, sprout.SiteMachine{ID: id, Name: fmt.Sprintf("host-%05d", n), MACs: []string{mac}})
			s.Reservations = append(s.Reservations, sprout.Reservation{MAC: mac, IP: at(n), Subnet: "sub_many", Machine: id, Hostname: fmt.Sprintf("host-%05d", n)})
		}
	})
	d.Start(t)
	began := time.Now()
	dhcptest.Serve(t, open(t, config(w, d, newTroubles())))
	t.Logf("%d hosts: told after %s", hosts, time.Since(began).Round(time.Millisecond))
	for n := range hosts {
		if got := d.Ask(t, "lease4-add", object{"ip-address": at(n + 1).String(), "hw-address": fmt.Sprintf("52:54:01:00:%02x:%02x", (n+1)>>8, (n+1)&255)}); got.Result != 0 {
			t.Fatalf("no lease for host %d: %s", n+1, got.Text)
		}
	}
	const mac, ip = "52:54:00:00:0e:03", "10.0.0.79"
	w.Offer(t, mac) // an address of the range
	reserve(w, mac, ip)
	began = time.Now()
	var slowest time.Duration
	for late := began.Add(time.Minute); ; {
		asked := time.Now()
		offer := w.Offer(t, mac)
		slowest = max(slowest, time.Since(asked))
		if offer.String() == ip {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("after a minute it is offered %s", offer)
		}
	}
	t.Logf("%d hosts: a change is in effect after %s; the slowest answer meanwhile took %s", hosts, time.Since(began).Round(time.Millisecond), slowest.Round(time.Millisecond))
	began = time.Now()
	w.Until(t, "every lease is read", func() bool { return w.Offer(t, mac).String() == ip && len(w.Ledger.Leases()) >= hosts })
	t.Logf("%d hosts: their leases were read after %s", hosts, time.Since(began).Round(time.Millisecond))
}
