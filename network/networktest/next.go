package networktest

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"sprout"
)

// within asks for a prefix of so many bits, as "10.20.0.0/16 26".
func within(t *testing.T, from string, bits int) sprout.NextPrefix {
	t.Helper()
	p, err := netip.ParsePrefix(from)
	if err != nil {
		t.Fatal(err)
	}
	return sprout.NextPrefix{From: p, Bits: bits}
}

// nextFree wants the lowest prefix that nothing of the VRF has a part of, the same
// when it is shown and when it is created.
func nextFree(t *testing.T, s Site) {
	n := create(t, s, Good(s.Site)) // 10.20.0.0/24
	create(t, s, sprout.Network{Site: s.Site, Name: "other", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.20.1.64/26")}}})
	create(t, s, sprout.Network{Site: s.Site, Name: "tenant", VRF: "red", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.20.0.0/16")}}})
	create(t, s, sprout.Network{Site: s.Other, Name: "prov", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.20.0.0/16")}}})
	for _, c := range []struct {
		from string
		bits int
		want string
	}{
		{"10.20.0.0/16", 26, "10.20.1.0/26"},
		{"10.20.0.0/16", 26, "10.20.1.128/26"}, // 64 is of the other network
		{"10.20.0.0/16", 24, "10.20.2.0/24"},
		{"10.20.0.0/16", 26, "10.20.1.192/26"}, // what was too small for a /24 is not lost
		{"10.20.1.0/24", 32, ""},
		{"10.20.0.0/16", 26, "10.20.3.0/26"},
		{"10.20.0.128/25", 30, ""}, // within a subnet
		{"10.0.0.0/8", 8, ""},
		{"255.255.255.0/24", 24, "255.255.255.0/24"},
		{"fd00:1::/48", 64, "fd00:1::/64"},
		{"fd00:1::/48", 64, "fd00:1:0:1::/64"},
		{"fd00:1::/48", 56, "fd00:1:0:100::/56"},
		{"fd00:1::/48", 127, "fd00:1:0:2::/127"},
	} {
		sub := sprout.Subnet{Site: s.Site, Network: n.ID}
		shown, err := s.Provider.NextSubnet(t.Context(), sub, within(t, c.from, c.bits))
		if c.want == "" {
			if sprout.KindOf(err) != sprout.Conflict || !strings.HasPrefix(err.Error(), "from: ") || !strings.Contains(err.Error(), "full of 10.20.") {
				t.Errorf("a /%d of %s: want a conflict that says what is there, got %s, %v", c.bits, c.from, shown.CIDR, err)
			}
			continue
		}
		if err != nil || shown.CIDR.String() != c.want {
			t.Errorf("a /%d of %s: shown %s, want %s: %v", c.bits, c.from, shown.CIDR, c.want, err)
		}
		made, err := s.Provider.CreateNextSubnet(t.Context(), sub, within(t, c.from, c.bits))
		if err != nil || made.CIDR.String() != c.want || made.ID == "" {
			t.Errorf("a /%d of %s: got %s %q, want %s: %v", c.bits, c.from, made.CIDR, made.ID, c.want, err)
		}
	}
	for _, c := range []struct {
		from  string
		bits  int
		field string
	}{{"10.20.0.0/16", 15, "prefix"}, {"10.20.0.0/16", 33, "prefix"}, {"fd00::/48", 129, "prefix"}, {"10.20.0.1/16", 24, "from"}, {"224.0.0.0/8", 24, "from"}} {
		_, err := s.Provider.NextSubnet(t.Context(), sprout.Subnet{Site: s.Site, Network: n.ID}, within(t, c.from, c.bits))
		wantError(t, c.from, err, sprout.Invalid, c.field, "")
	}
	if _, err := s.Provider.CreateNextSubnet(t.Context(), sprout.Subnet{Site: s.Other, Network: n.ID}, within(t, "10.0.0.0/8", 24)); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("a network of another site: %v", err)
	}
}

func nextGateway(t *testing.T, s Site) {
	n := create(t, s, Good(s.Site))
	for _, c := range []struct {
		from, gateway string
		bits          int
		want          string
	}{
		{"10.30.0.0/24", "first", 26, "10.30.0.1"}, {"10.30.0.0/24", "last", 26, "10.30.0.126"}, {"10.31.0.0/24", "first", 31, "10.31.0.0"},
		{"10.32.0.0/24", "last", 32, "10.32.0.0"}, {"fd00:1::/48", "first", 64, "fd00:1::1"}, {"fd00:1::/48", "last", 64, "fd00:1:0:1:ffff:ffff:ffff:ffff"},
	} {
		next := within(t, c.from, c.bits)
		next.Gateway = c.gateway
		made, err := s.Provider.CreateNextSubnet(t.Context(), sprout.Subnet{Site: s.Site, Network: n.ID}, next)
		if err != nil || made.Gateway.String() != c.want {
			t.Errorf("%s of a /%d: got %s in %s, want %s: %v", c.gateway, c.bits, made.Gateway, made.CIDR, c.want, err)
		}
	}
	sub := sprout.Subnet{Site: s.Site, Network: n.ID, Gateway: netip.MustParseAddr("10.40.0.1")}
	_, err := s.Provider.CreateNextSubnet(t.Context(), sub, within(t, "10.50.0.0/24", 26))
	wantError(t, "a gateway elsewhere", err, sprout.Invalid, "gateway", "outside the subnet")
}

// nextRace has as many ask at once as there is room for, and one more.
func nextRace(t *testing.T, s Site) {
	const racers = 9
	n := create(t, s, Good(s.Site))
	next := within(t, "10.60.0.0/21", 24)
	made, errs := make([]sprout.Subnet, racers), make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			made[i], errs[i] = s.Provider.CreateNextSubnet(t.Context(), sprout.Subnet{Site: s.Site, Network: n.ID}, next)
		})
	}
	all.Wait()
	var got []string
	for i, err := range errs {
		if err == nil {
			got = append(got, made[i].CIDR.String())
		} else {
			wantError(t, "one too many", err, sprout.Conflict, "from", "no /24 is free in 10.60.0.0/21")
		}
	}
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != racers-1 {
		t.Errorf("got %v", got)
	}
}
