// Package networktest is the contract of network.Provider.
package networktest

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"sprout"
	"sprout/network"
)

// A Site is what a provider under test works on: two sites without networks;
// Use, which takes the next free address of a subnet of Site; and Lease, which
// has an address of one leased for the next hour.
type Site struct {
	Provider    network.Provider
	Site, Other sprout.SiteID
	Use         func(t *testing.T, subnet sprout.SubnetID)
	Lease       func(t *testing.T, subnet sprout.SubnetID, ip netip.Addr)
}

// Run holds a provider to the contract. Open makes a fresh site.
func Run(t *testing.T, open func(t *testing.T) Site) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Site)
	}{
		{"what is created is listed", listed},
		{"what is wrong is refused by field", refused},
		{"sites are apart", apart},
		{"overlaps at once: one wins", race},
		{"VRFs are apart", vrfs},
		{"only what is unused is deleted", remove},
		{"a network is changed", updateNetwork},
		{"a subnet is added, changed and deleted", updateSubnet},
		{"ranges come, change and go", ranges},
		{"the next free prefix is found", nextFree},
		{"a gateway is found in it", nextGateway},
		{"next prefixes at once are different", nextRace},
		{"what is allocated is kept", keepsUsed},
		{"what is leased is kept", leased},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Good is a network that every provider takes.
func Good(site sprout.SiteID) sprout.Network {
	return sprout.Network{Site: site, Name: "prov", MTU: 1500, Subnets: []sprout.Subnet{{
		CIDR: netip.MustParsePrefix("10.20.0.0/24"), Gateway: netip.MustParseAddr("10.20.0.1"), Discover: true,
		Ranges: []sprout.Range{span(sprout.Dynamic, "10.20.0.100", "10.20.0.199"), span(sprout.ReservedRange, "10.20.0.1", "10.20.0.9")},
	}}}
}

func span(kind sprout.RangeKind, first, last string) sprout.Range {
	return sprout.Range{Kind: kind, First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}
}

func create(t *testing.T, s Site, n sprout.Network) sprout.Network {
	t.Helper()
	made, err := s.Provider.Create(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func listed(t *testing.T, s Site) {
	made := create(t, s, Good(s.Site))
	list, err := s.Provider.Networks(t.Context(), s.Site)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	got := list[0]
	if got.ID != made.ID || got.Name != "prov" || len(got.Subnets) != 1 || len(got.Subnets[0].Ranges) != 2 {
		t.Fatalf("got %+v", got)
	}
	if sub := got.Subnets[0]; sub.CIDR.String() != "10.20.0.0/24" || sub.Gateway.String() != "10.20.0.1" || !sub.Discover || sub.MTU != 1500 || sub.ID == "" {
		t.Errorf("subnet %+v", sub)
	}
}

// bad are changes to Good, each with the field and the words of its refusal.
var bad = []struct {
	name   string
	change func(n *sprout.Network)
	kind   sprout.Kind
	field  string
	words  string
}{
	{"host bits", func(n *sprout.Network) { n.Subnets[0].CIDR = netip.MustParsePrefix("10.20.0.7/24") }, sprout.Invalid, "subnets[0].cidr", "10.20.0.0/24"},
	{"no prefix", func(n *sprout.Network) { n.Subnets[0].CIDR = netip.Prefix{} }, sprout.Invalid, "subnets[0].cidr", "10.20.0.0/24"},
	{"multicast", func(n *sprout.Network) { n.Subnets[0].CIDR = netip.MustParsePrefix("224.0.0.0/24") }, sprout.Invalid, "subnets[0].cidr", "not for hosts"},
	{"gateway outside", func(n *sprout.Network) { n.Subnets[0].Gateway = netip.MustParseAddr("10.21.0.1") }, sprout.Invalid, "subnets[0].gateway", "outside the subnet 10.20.0.0/24"},
	{"gateway is broadcast", func(n *sprout.Network) { n.Subnets[0].Gateway = netip.MustParseAddr("10.20.0.255") }, sprout.Invalid, "subnets[0].gateway", "broadcast"},
	{"range outside", func(n *sprout.Network) { n.Subnets[0].Ranges[0].Last = netip.MustParseAddr("10.20.1.9") }, sprout.Invalid, "subnets[0].ranges[0].last", "outside the subnet"},
	{"range backwards", func(n *sprout.Network) { n.Subnets[0].Ranges[0].Last = netip.MustParseAddr("10.20.0.99") }, sprout.Invalid, "subnets[0].ranges[0].last", "before"},
	{"range kind", func(n *sprout.Network) { n.Subnets[0].Ranges[0].Kind = "static" }, sprout.Invalid, "subnets[0].ranges[0].kind", "dynamic or reserved"},
	{"range over range", func(n *sprout.Network) { n.Subnets[0].Ranges[1].Last = netip.MustParseAddr("10.20.0.100") }, sprout.Conflict, "subnets[0].ranges[1]", "10.20.0.100-10.20.0.199"},
	{"gateway leased", func(n *sprout.Network) {
		n.Subnets[0].Ranges = []sprout.Range{span(sprout.Dynamic, "10.20.0.1", "10.20.0.9")}
	}, sprout.Invalid, "subnets[0].ranges[0]", "gateway"},
	{"two subnets", func(n *sprout.Network) {
		n.Subnets = append(n.Subnets, sprout.Subnet{CIDR: netip.MustParsePrefix("10.20.0.128/25")})
	}, sprout.Invalid, "subnets[1].cidr", "overlaps 10.20.0.0/24"},
	{"VLAN", func(n *sprout.Network) { n.VLAN = 4095 }, sprout.Invalid, "vlan", "4094"},
	{"MTU", func(n *sprout.Network) { n.MTU = 100 }, sprout.Invalid, "mtu", "576"},
	{"MTU of IPv6", func(n *sprout.Network) {
		n.MTU, n.Subnets = 1279, []sprout.Subnet{{CIDR: netip.MustParsePrefix("2001:db8::/64")}}
	}, sprout.Invalid, "mtu", "1280"},
	{"MTU above the network's", func(n *sprout.Network) { n.Subnets[0].MTU = 9000 }, sprout.Invalid, "subnets[0].mtu", "1500"},
	{"DNS", func(n *sprout.Network) { n.Subnets[0].DNS = []netip.Addr{netip.MustParseAddr("224.0.0.1")} }, sprout.Invalid, "subnets[0].dns", "no server"},
	{"NTP", func(n *sprout.Network) { n.Subnets[0].NTP = []netip.Addr{{}} }, sprout.Invalid, "subnets[0].ntp", "no server"},
	{"domain", func(n *sprout.Network) { n.Subnets[0].Domain = "a_b" }, sprout.Invalid, "subnets[0].domain", "no domain"},
	{"search", func(n *sprout.Network) { n.Subnets[0].Search = []string{"a..b"} }, sprout.Invalid, "subnets[0].search", "no domain"},
	{"route from elsewhere", func(n *sprout.Network) {
		n.Subnets[0].Routes = []sprout.Route{{To: netip.MustParsePrefix("10.30.0.0/16"), Via: netip.MustParseAddr("10.21.0.1")}}
	}, sprout.Invalid, "subnets[0].routes[0].via", "outside the subnet"},
	{"route with host bits", func(n *sprout.Network) {
		n.Subnets[0].Routes = []sprout.Route{{To: netip.MustParsePrefix("10.30.0.1/16"), Via: netip.MustParseAddr("10.20.0.1")}}
	}, sprout.Invalid, "subnets[0].routes[0].to", "10.30.0.0/16"},
	{"advertised IPv4", func(n *sprout.Network) { n.Subnets[0].Advertise = sprout.SLAAC }, sprout.Invalid, "subnets[0].advertise", "IPv4"},
	{"SLAAC of a long prefix", func(n *sprout.Network) {
		n.Subnets = []sprout.Subnet{{CIDR: netip.MustParsePrefix("2001:db8::/80"), Advertise: sprout.SLAAC}}
	}, sprout.Invalid, "subnets[0].advertise", "64 bits"},
}

func refused(t *testing.T, s Site) {
	for _, c := range bad {
		n := Good(s.Site)
		c.change(&n)
		_, err := s.Provider.Create(t.Context(), n)
		wantError(t, c.name, err, c.kind, c.field, c.words)
	}
	if list, err := s.Provider.Networks(t.Context(), s.Site); err != nil || len(list) != 0 {
		t.Errorf("what was refused left %v, %v", list, err)
	}
}

func wantError(t *testing.T, name string, err error, kind sprout.Kind, field, words string) {
	t.Helper()
	if sprout.KindOf(err) != kind || !strings.HasPrefix(err.Error(), field+": ") || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: want %s of field %s with %q, got %v", name, kind, field, words, err)
	}
}

func apart(t *testing.T, s Site) {
	create(t, s, Good(s.Site))
	create(t, s, Good(s.Other))
	_, err := s.Provider.Create(t.Context(), Good(s.Site))
	wantError(t, "the same again", err, sprout.Conflict, "name", "prov")
	n := Good(s.Site)
	n.Name, n.Subnets[0].CIDR = "wide", netip.MustParsePrefix("10.0.0.0/8")
	_, err = s.Provider.Create(t.Context(), n)
	wantError(t, "overlap in the site", err, sprout.Conflict, "subnets[0].cidr", "10.20.0.0/24 of the network prov")
}

func vrfs(t *testing.T, s Site) {
	create(t, s, Good(s.Site))
	n := Good(s.Site)
	n.Name, n.VRF, n.VLAN = "tenant", "red", 7
	if made := create(t, s, n); made.VRF != "red" || made.Subnets[0].VRF != "red" {
		t.Errorf("got %+v", made)
	}
	n.Name, n.VLAN = "again", 8
	_, err := s.Provider.Create(t.Context(), n)
	wantError(t, "overlap in the VRF", err, sprout.Conflict, "subnets[0].cidr", "10.20.0.0/24 of the network tenant")
	n.VRF, n.VLAN = "blue", 7
	_, err = s.Provider.Create(t.Context(), n)
	wantError(t, "a VLAN twice", err, sprout.Conflict, "vlan", "the network tenant")
}

func race(t *testing.T, s Site) {
	const racers = 6
	errs := make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			n := Good(s.Site)
			n.Name += string(rune('a' + i))
			_, errs[i] = s.Provider.Create(t.Context(), n)
		})
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if sprout.KindOf(err) != sprout.Conflict {
			t.Errorf("want a conflict, got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

func remove(t *testing.T, s Site) {
	made := create(t, s, Good(s.Site))
	spare := Good(s.Site)
	spare.Name, spare.Subnets = "spare", nil
	unused := create(t, s, spare)
	s.Use(t, made.Subnets[0].ID)
	if err := s.Provider.Delete(context.WithoutCancel(t.Context()), made.ID); sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "1 of its addresses in use") {
		t.Errorf("want a conflict that says what uses it, got %v", err)
	}
	if err := s.Provider.Delete(t.Context(), unused.ID); err != nil {
		t.Error(err)
	}
	if err := s.Provider.Delete(t.Context(), unused.ID); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("want not found, got %v", err)
	}
}

// change reads the only network of the site and changes its subnet.
func change(t *testing.T, s Site, do func(sub *sprout.Subnet)) (sprout.Subnet, error) {
	t.Helper()
	list, err := s.Provider.Networks(t.Context(), s.Site)
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	sub := list[0].Subnets[0]
	do(&sub)
	return s.Provider.UpdateSubnet(t.Context(), sub)
}

func updateNetwork(t *testing.T, s Site) {
	n := create(t, s, Good(s.Site))
	n.Name, n.VLAN, n.MTU = "renamed", 9, 9000
	got, err := s.Provider.Update(t.Context(), n)
	if err != nil || got.Name != "renamed" || got.VLAN != 9 || got.MTU != 9000 || got.Subnets[0].MTU != 9000 {
		t.Fatalf("got %+v, %v", got, err)
	}
	n.MTU = 1400
	if got, err = s.Provider.Update(t.Context(), n); err != nil || got.Subnets[0].MTU != 1400 {
		t.Errorf("got %+v, %v", got, err)
	}
	other := Good(s.Site)
	other.Name, other.VRF, other.VLAN = "other", "red", 10
	other = create(t, s, other)
	other.VLAN = 9
	_, err = s.Provider.Update(t.Context(), other)
	wantError(t, "a VLAN twice", err, sprout.Conflict, "vlan", "the network renamed")
	other.VLAN, other.VRF = 10, ""
	_, err = s.Provider.Update(t.Context(), other)
	wantError(t, "into a VRF where it overlaps", err, sprout.Conflict, "subnets[0].cidr", "10.20.0.0/24 of the network renamed")
	s.Use(t, got.Subnets[0].ID)
	n.VRF = "blue"
	_, err = s.Provider.Update(t.Context(), n)
	wantError(t, "out of the VRF while in use", err, sprout.Conflict, "vrf", "1 of its addresses in use")
}

func updateSubnet(t *testing.T, s Site) {
	made := create(t, s, Good(s.Site)).Subnets[0]
	sub, err := s.Provider.CreateSubnet(t.Context(), sprout.Subnet{Site: s.Site, Network: made.Network, CIDR: netip.MustParsePrefix("fd00:20::/64"), Advertise: sprout.Managed})
	if err != nil || sub.MTU != 1500 || sub.Advertise != sprout.Managed {
		t.Fatalf("got %+v, %v", sub, err)
	}
	_, err = s.Provider.CreateSubnet(t.Context(), sprout.Subnet{Site: s.Site, Network: made.Network, CIDR: netip.MustParsePrefix("10.20.0.128/25")})
	wantError(t, "overlap", err, sprout.Invalid, "cidr", "10.20.0.0/24")
	got, err := change(t, s, func(sub *sprout.Subnet) {
		sub.CIDR, sub.Domain, sub.DNS = netip.MustParsePrefix("10.20.0.0/23"), "x.example", []netip.Addr{netip.MustParseAddr("10.20.1.9")}
	})
	if err != nil || got.CIDR.Bits() != 23 || got.Domain != "x.example" || len(got.DNS) != 1 || len(got.Ranges) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	_, err = change(t, s, func(sub *sprout.Subnet) { sub.Gateway = netip.MustParseAddr("10.22.0.1") })
	wantError(t, "gateway outside", err, sprout.Invalid, "gateway", "outside the subnet")
	_, err = change(t, s, func(sub *sprout.Subnet) { sub.Gateway = netip.MustParseAddr("10.20.0.150") })
	wantError(t, "gateway in a dynamic range", err, sprout.Invalid, "gateway", "10.20.0.100-10.20.0.199")
	_, err = change(t, s, func(sub *sprout.Subnet) { sub.CIDR = netip.MustParsePrefix("10.20.0.0/25") })
	wantError(t, "a range outside", err, sprout.Conflict, "cidr", "1 of its ranges left outside: dynamic 10.20.0.100-10.20.0.199")
	if err := s.Provider.DeleteSubnet(t.Context(), sub.ID); err != nil {
		t.Error(err)
	}
	if err := s.Provider.DeleteSubnet(t.Context(), sub.ID); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("want not found, got %v", err)
	}
}

func keepsUsed(t *testing.T, s Site) {
	sub := create(t, s, Good(s.Site)).Subnets[0]
	s.Use(t, sub.ID) // the first free one: 10.20.0.10
	err := s.Provider.DeleteSubnet(t.Context(), sub.ID)
	if sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "1 of its addresses in use: 10.20.0.10 (") {
		t.Errorf("want a conflict that says what uses it, got %v", err)
	}
	for _, cidr := range []string{"10.20.0.0/28", "10.30.0.0/24"} {
		_, err := change(t, s, func(sub *sprout.Subnet) {
			sub.CIDR, sub.Gateway = netip.MustParsePrefix(cidr), netip.Addr{}
		})
		if sprout.KindOf(err) != sprout.Conflict {
			t.Errorf("to %s: got %v", cidr, err)
		}
	}
	spare := create(t, s, sprout.Network{Site: s.Site, Name: "spare", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.21.0.0/24")}}}).Subnets[0]
	s.Use(t, spare.ID) // it has no range: the address alone, 10.21.0.1, is in the way
	spare.CIDR = netip.MustParsePrefix("10.21.0.128/25")
	_, err = s.Provider.UpdateSubnet(t.Context(), spare)
	wantError(t, "a prefix that leaves an address out", err, sprout.Conflict, "cidr", "10.21.0.1 (")
	_, err = change(t, s, func(sub *sprout.Subnet) { sub.Gateway = netip.MustParseAddr("10.20.0.10") })
	wantError(t, "gateway in use", err, sprout.Conflict, "gateway", "10.20.0.10 (")
	_, err = s.Provider.CreateRange(t.Context(), sub.ID, span(sprout.Dynamic, "10.20.0.10", "10.20.0.20"))
	wantError(t, "a range over an address in use", err, sprout.Conflict, "ranges", "10.20.0.10 (")
}

func ranges(t *testing.T, s Site) {
	sub := create(t, s, Good(s.Site)).Subnets[0]
	got, err := s.Provider.CreateRange(t.Context(), sub.ID, span(sprout.ReservedRange, "10.20.0.200", "10.20.0.209"))
	if err != nil || len(got.Ranges) != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	_, err = s.Provider.CreateRange(t.Context(), sub.ID, span(sprout.Dynamic, "10.20.0.205", "10.20.0.220"))
	wantError(t, "overlap", err, sprout.Conflict, "range", "10.20.0.200-10.20.0.209")
	_, err = s.Provider.CreateRange(t.Context(), sub.ID, span(sprout.Dynamic, "10.21.0.1", "10.21.0.2"))
	wantError(t, "outside", err, sprout.Invalid, "range.first", "outside the subnet")
	last := got.Ranges[2]
	last.Last = netip.MustParseAddr("10.20.0.220")
	if got, err = s.Provider.UpdateRange(t.Context(), sub.ID, last); err != nil || got.Ranges[2].Last != last.Last {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = s.Provider.DeleteRange(t.Context(), sub.ID, last.ID); err != nil || len(got.Ranges) != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err = s.Provider.DeleteRange(t.Context(), sub.ID, last.ID); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("want not found, got %v", err)
	}
}

func leased(t *testing.T, s Site) {
	sub := create(t, s, Good(s.Site)).Subnets[0]
	s.Lease(t, sub.ID, netip.MustParseAddr("10.20.0.150"))
	r := sub.Ranges[1]
	if r.Kind != sprout.Dynamic {
		t.Fatalf("ranges %v", sub.Ranges)
	}
	_, err := s.Provider.DeleteRange(t.Context(), sub.ID, r.ID)
	wantError(t, "delete", err, sprout.Conflict, "range", "10.20.0.150 (leased to ")
	r.Last = netip.MustParseAddr("10.20.0.149")
	_, err = s.Provider.UpdateRange(t.Context(), sub.ID, r)
	wantError(t, "shrink", err, sprout.Conflict, "range", "10.20.0.150 (leased to ")
	r.Last = netip.MustParseAddr("10.20.0.150")
	if _, err = s.Provider.UpdateRange(t.Context(), sub.ID, r); err != nil {
		t.Error(err)
	}
	if err := s.Provider.DeleteSubnet(t.Context(), sub.ID); sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "leased to") {
		t.Errorf("want a conflict, got %v", err)
	}
}
