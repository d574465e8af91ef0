package dhcptest

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp/builtin"
)

// Run checks a ledger. Fresh makes one that knows the seed and has no leases.
func Run(t *testing.T, fresh func(t *testing.T, s Seed) builtin.Ledger) {
	t.Run("it knows what the centre told", func(t *testing.T) { told(t, fresh(t, seed())) })
	t.Run("options are those of the site, the subnet, classes and the machine", func(t *testing.T) { options(t, fresh(t, seed())) })
	t.Run("a saved lease is found", func(t *testing.T) { found(t, fresh(t, seed())) })
	t.Run("the newest lease of a client counts", func(t *testing.T) { newest(t, fresh(t, seed())) })
	t.Run("an address that went to another", func(t *testing.T) { moved(t, fresh(t, seed())) })
	t.Run("a client identifier is the key", func(t *testing.T) { identifier(t, fresh(t, seed())) })
	t.Run("a client has a lease in each subnet", func(t *testing.T) { subnets(t, fresh(t, seed())) })
	t.Run("many save at once", func(t *testing.T) { many(t, fresh(t, seed())) })
}

func seed() Seed {
	return Seed{
		Subnets: []sprout.Subnet{
			{ID: "sub_a", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Discover: true},
			{ID: "sub_b", Site: "sit_1", Network: "net_2", CIDR: netip.MustParsePrefix("10.0.1.0/24")},
		},
		Reservations: []sprout.Reservation{{MAC: "52:54:00:00:00:01", IP: netip.MustParseAddr("10.0.0.5"), Machine: "mch_1", Hostname: "web-01"}},
		Machines:     []sprout.SiteMachine{{ID: "mch_1", Name: "web-01", MACs: []string{"52:54:00:00:00:01", "52:54:00:00:00:02"}}},
		Options: []sprout.SiteDHCPOption{
			setting("opt_site", func(*sprout.DHCPSetting) {}),
			setting("opt_sub", func(s *sprout.DHCPSetting) { s.Subnet = "sub_a" }),
			setting("opt_uefi", func(s *sprout.DHCPSetting) { s.Class = "arch=7" }),
			setting("opt_pxe", func(s *sprout.DHCPSetting) { s.Class = "arch=7,vendor=PXEClient" }),
			setting("opt_mch", func(s *sprout.DHCPSetting) { s.Machine = "mch_1" }),
		},
	}
}

// options checks whose are given, and that the narrower class counts.
func options(t *testing.T, l builtin.Ledger) {
	uefi := func() sprout.DHCPClient {
		return sprout.DHCPClient{Vendors: []string{"PXEClient:Arch:00007"}, Arches: []uint16{7}}
	}
	system := func() sprout.DHCPClient { return sprout.DHCPClient{} }
	for _, c := range []struct {
		subnet  sprout.SubnetID
		machine sprout.MachineID
		who     func() sprout.DHCPClient
		want    string
	}{
		{"sub_a", "mch_1", uefi, "opt_site opt_sub opt_uefi opt_pxe opt_mch"},
		{"sub_a", "", uefi, "opt_site opt_sub opt_uefi opt_pxe"},
		{"sub_b", "mch_2", system, "opt_site"},
	} {
		var got []string
		l.DHCPOptions(c.subnet, c.machine).For(4, c.who, func(o sprout.SiteDHCPOption) { got = append(got, string(o.ID)) })
		if strings.Join(got, " ") != c.want {
			t.Errorf("in %s for %q: %v, want %s", c.subnet, c.machine, got, c.want)
		}
		l.DHCPOptions(c.subnet, c.machine).For(6, c.who, func(o sprout.SiteDHCPOption) { t.Errorf("%s is not of DHCPv6", o.ID) })
	}
}

// setting is an option set for whom the scope names.
func setting(id string, scope func(*sprout.DHCPSetting)) sprout.SiteDHCPOption {
	o := sprout.SiteDHCPOption{DHCPSetting: sprout.DHCPSetting{ID: sprout.OptionID(id), Site: "sit_1", Version: 4, Code: 42, Name: "ntp-servers", Value: "10.0.0.3"}, Data: []byte{10, 0, 0, 3}}
	scope(&o.DHCPSetting)
	return o
}

// lease is one of sub_a, bound for ten minutes.
func lease(ip, mac string) sprout.Lease {
	return sprout.Lease{
		Site: "sit_1", Subnet: "sub_a", IP: netip.MustParseAddr(ip), MAC: mac, State: "bound",
		ExpiresAt: time.Now().Add(10 * time.Minute).UTC().Truncate(time.Millisecond),
	}
}

func told(t *testing.T, l builtin.Ledger) {
	if got := l.Subnets(); len(got) != 2 {
		t.Errorf("Subnets: %v", got)
	}
	if r, ok := l.Reservation("52:54:00:00:00:01"); !ok || r.IP != netip.MustParseAddr("10.0.0.5") || r.Hostname != "web-01" {
		t.Errorf("Reservation: %v, %v", r, ok)
	}
	if r, ok := l.Reservation("52:54:00:00:00:02"); ok {
		t.Errorf("Reservation of a MAC without one: %v", r)
	}
	for _, mac := range []string{"52:54:00:00:00:01", "52:54:00:00:00:02"} {
		if m, ok := l.Known(mac); !ok || m.Name != "web-01" {
			t.Errorf("Known(%s): %v, %v", mac, m, ok)
		}
	}
	if m, ok := l.Known("52:54:00:00:00:03"); ok {
		t.Errorf("Known of a stranger: %v", m)
	}
	if all := l.Leases(); len(all) != 0 {
		t.Errorf("Leases of a fresh ledger: %v", all)
	}
}

func found(t *testing.T, l builtin.Ledger) {
	want := lease("10.0.0.100", "52:54:00:00:00:09")
	want.Hostname = "web-09"
	save(t, l, want)
	byIP(t, l, "10.0.0.100", &want)
	byClient(t, l, "sub_a", want.MAC, &want)
	byIP(t, l, "10.0.0.101", nil)
	byClient(t, l, "sub_a", "52:54:00:00:00:08", nil)
	want.State, want.ExpiresAt = "released", want.ExpiresAt.Add(-time.Hour)
	save(t, l, want)
	byIP(t, l, "10.0.0.100", &want)
	byClient(t, l, "sub_a", want.MAC, &want)
	if all := l.Leases(); len(all) != 1 || !same(all[0], want) {
		t.Errorf("Leases: %v, want only %v", all, want)
	}
}

func newest(t *testing.T, l builtin.Ledger) {
	first, second := lease("10.0.0.100", "52:54:00:00:00:09"), lease("10.0.0.101", "52:54:00:00:00:09")
	save(t, l, first)
	save(t, l, second)
	byClient(t, l, "sub_a", first.MAC, &second)
	byIP(t, l, "10.0.0.100", &first)
	save(t, l, first)
	byClient(t, l, "sub_a", first.MAC, &first)
}

func moved(t *testing.T, l builtin.Ledger) {
	first, second := lease("10.0.0.100", "52:54:00:00:00:08"), lease("10.0.0.100", "52:54:00:00:00:09")
	save(t, l, first)
	save(t, l, second)
	byIP(t, l, "10.0.0.100", &second)
	byClient(t, l, "sub_a", second.MAC, &second)
	byClient(t, l, "sub_a", first.MAC, nil)
}

func identifier(t *testing.T, l builtin.Ledger) {
	one, two := lease("10.0.0.100", "52:54:00:00:00:09"), lease("10.0.0.101", "52:54:00:00:00:09")
	one.ClientID = "ff00112233"
	save(t, l, one)
	save(t, l, two)
	byClient(t, l, "sub_a", "ff00112233", &one)
	byClient(t, l, "sub_a", two.MAC, &two)
}

func subnets(t *testing.T, l builtin.Ledger) {
	a, b := lease("10.0.0.100", "52:54:00:00:00:09"), lease("10.0.1.100", "52:54:00:00:00:09")
	b.Subnet = "sub_b"
	save(t, l, a)
	save(t, l, b)
	byClient(t, l, "sub_a", a.MAC, &a)
	byClient(t, l, "sub_b", a.MAC, &b)
}

func many(t *testing.T, l builtin.Ledger) {
	const n = 100
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			one := lease(fmt.Sprintf("10.0.0.%d", 100+i), fmt.Sprintf("52:54:00:00:01:%02x", i))
			if err := l.SaveLeases(t.Context(), one); err != nil {
				t.Errorf("SaveLease: %v", err)
			}
			if got, ok := l.LeaseByIP(one.IP); !ok || !same(got, one) {
				t.Errorf("a lease is not found once it is saved: %v, %v", got, ok)
			}
		})
	}
	wait.Wait()
	if all := l.Leases(); len(all) != n {
		t.Errorf("%d leases, want %d", len(all), n)
	}
}

func save(t *testing.T, l builtin.Ledger, one sprout.Lease) {
	t.Helper()
	if err := l.SaveLeases(t.Context(), one); err != nil {
		t.Fatalf("SaveLeases(%v): %v", one.IP, err)
	}
}

// byIP checks LeaseByIP; want nil: there is none.
func byIP(t *testing.T, l builtin.Ledger, ip string, want *sprout.Lease) {
	t.Helper()
	got, ok := l.LeaseByIP(netip.MustParseAddr(ip))
	check(t, "LeaseByIP("+ip+")", got, ok, want)
}

// byClient checks LeaseByClient; want nil: there is none.
func byClient(t *testing.T, l builtin.Ledger, subnet sprout.SubnetID, key string, want *sprout.Lease) {
	t.Helper()
	got, ok := l.LeaseByClient(subnet, key)
	check(t, fmt.Sprintf("LeaseByClient(%s, %s)", subnet, key), got, ok, want)
}

func check(t *testing.T, call string, got sprout.Lease, ok bool, want *sprout.Lease) {
	t.Helper()
	if want == nil && ok || want != nil && (!ok || !same(got, *want)) {
		t.Errorf("%s = %v, %v; want %v", call, got, ok, want)
	}
}

func same(a, b sprout.Lease) bool {
	at, bt := a.ExpiresAt, b.ExpiresAt
	a.ExpiresAt, b.ExpiresAt = time.Time{}, time.Time{}
	return a == b && at.Equal(bt)
}
