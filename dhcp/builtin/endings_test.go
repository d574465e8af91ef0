package builtin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout/dhcp/builtin"
)

// TestDeclineAndRelease checks what is saved, or "" for nothing.
func TestDeclineAndRelease(t *testing.T) {
	const release, decline = dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline
	mine := bound("10.0.0.101", stranger)
	for name, c := range map[string]struct {
		say  say
		want string
		why  string
	}{
		"release":                   {say{kind: release, mac: stranger, ciaddr: "10.0.0.101", srv: "10.0.0.1", to: "10.0.0.1"}, "released", "given back"},
		"release of another's":      {say{kind: release, mac: other, ciaddr: "10.0.0.101", srv: "10.0.0.1", to: "10.0.0.1"}, "", "does not hold"},
		"release to another server": {say{kind: release, mac: stranger, ciaddr: "10.0.0.101", srv: "10.0.0.66", to: "10.0.0.1"}, "", "another server"},
		"release of nothing":        {say{kind: release, mac: stranger, srv: "10.0.0.1"}, "", "no address"},
		"decline":                   {say{kind: decline, mac: stranger, asks: "10.0.0.101", srv: "10.0.0.1"}, "declined", "in use by somebody else"},
		"decline of another's":      {say{kind: decline, mac: other, asks: "10.0.0.101", srv: "10.0.0.1"}, "", "was not given"},
		"decline of a free one":     {say{kind: decline, mac: other, asks: "10.0.0.102", srv: "10.0.0.1"}, "", "was not given"},
		"decline of elsewhere":      {say{kind: decline, mac: stranger, asks: "192.168.1.1", srv: "10.0.0.1"}, "", "not on its network"},
		"decline to another server": {say{kind: decline, mac: stranger, asks: "10.0.0.101", srv: "10.0.0.66"}, "", "another server"},
		"decline of nothing":        {say{kind: decline, mac: stranger, srv: "10.0.0.1"}, "", "no address"},
	} {
		t.Run(name, func(t *testing.T) {
			a := builtin.Decide(c.say.request(t), site(t, mine))
			got := ""
			if a.Lease != nil {
				got = a.Lease.State
			}
			if a.Reply != nil || got != c.want || !strings.Contains(a.Reason, c.why) {
				t.Errorf("saved %q, want %q; reply %v: %s", got, c.want, a.Reply != nil, a.Reason)
			}
		})
	}
}

// TestAfterADecline: the address is left alone for an hour, then it is free.
func TestAfterADecline(t *testing.T) {
	s := site(t, bound("10.0.0.101", stranger))
	a := builtin.Decide(say{kind: dhcpv4.MessageTypeDecline, mac: stranger, asks: "10.0.0.101", srv: "10.0.0.1"}.request(t), s)
	if err := s.Ledger.SaveLeases(t.Context(), *a.Lease); err != nil {
		t.Fatal(err)
	}
	again := say{kind: discover, mac: stranger, asks: "10.0.0.101"}
	if got := outcome(builtin.Decide(again.request(t), s)); got == "OFFER 10.0.0.101" || got == "" {
		t.Errorf("after its decline it gets %q", got)
	}
	s.Now = now.Add(time.Hour)
	if got := outcome(builtin.Decide(again.request(t), s)); got != "OFFER 10.0.0.101" {
		t.Errorf("an hour after its decline it gets %q", got)
	}
}

// TestClientIdentifier: what the key of a client is.
func TestClientIdentifier(t *testing.T) {
	pxe := dhcpv4.Options{93: {0, 7}, 61: {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}
	for name, c := range map[string]struct {
		options dhcpv4.Options
		key     string
	}{
		"none":               {nil, stranger},
		"its MAC again":      {dhcpv4.Options{61: {1, 0x52, 0x54, 0, 0, 0, 9}}, stranger},
		"a DUID":             {dhcpv4.Options{61: {0xff, 0, 1, 2, 3}}, "ff00010203"},
		"another's MAC":      {dhcpv4.Options{61: {1, 0x52, 0x54, 0, 0, 0, 1}}, "01525400000001"},
		"firmware's UUID":    {pxe, stranger},
		"iPXE's UUID":        {dhcpv4.Options{77: []byte("iPXE"), 61: {0xff, 1, 2, 3}}, stranger},
		"too short to be it": {dhcpv4.Options{61: {7}}, stranger},
	} {
		t.Run(name, func(t *testing.T) {
			a := builtin.Decide(say{kind: discover, mac: stranger, options: c.options}.request(t), site(t))
			if a.Key != c.key {
				t.Errorf("key %q, want %q", a.Key, c.key)
			}
		})
	}
}

// TestOneMachineManyPrograms: the system that a machine boots may have its
// reserved address though its firmware was just given it under another name.
func TestOneMachineManyPrograms(t *testing.T) {
	s := site(t)
	first := builtin.Decide(say{kind: discover, mac: web01}.request(t), s)
	if !s.Offers.Claim(first.Subnet, first.Hold, first.Holder, now) {
		t.Fatal("cannot claim")
	}
	second := builtin.Decide(say{kind: discover, mac: web01, options: dhcpv4.Options{61: {0xff, 1, 2, 3}}}.request(t), s)
	if outcome(second) != "OFFER 10.0.0.5" || !s.Offers.Claim(second.Subnet, second.Hold, second.Holder, now) {
		t.Errorf("the system of the same machine gets %q: %s", outcome(second), second.Reason)
	}
}

// TestOffersAreRemembered: four clients, four addresses, and none for a fifth
// until an offer is forgotten.
func TestOffersAreRemembered(t *testing.T) {
	s := site(t)
	seen := map[string]bool{}
	for i := range 4 {
		a := builtin.Decide(say{kind: discover, mac: "52:54:00:00:02:0" + string(rune('0'+i))}.request(t), s)
		if a.Reply == nil || seen[outcome(a)] {
			t.Fatalf("client %d: %q: %s", i, outcome(a), a.Reason)
		}
		seen[outcome(a)] = true
		if !s.Offers.Claim(a.Subnet, a.Hold, a.Holder, s.Now) {
			t.Fatalf("client %d: cannot claim %s", i, a.Hold)
		}
	}
	fifth := say{kind: discover, mac: stranger}
	if a := builtin.Decide(fifth.request(t), s); a.Reply != nil {
		t.Errorf("a fifth client gets %q", outcome(a))
	}
	again := builtin.Decide(say{kind: discover, mac: "52:54:00:00:02:00"}.request(t), s)
	if !seen[outcome(again)] {
		t.Errorf("a client that asks again gets %q: %s", outcome(again), again.Reason)
	}
	s.Now = now.Add(31 * time.Second)
	if a := builtin.Decide(fifth.request(t), s); a.Reply == nil {
		t.Errorf("offers are not forgotten: %s", a.Reason)
	}
}

// TestClaimIsForOne: of all that want an address one gets it.
func TestClaimIsForOne(t *testing.T) {
	o := &builtin.Offers{}
	if !o.Claim("", ip("10.0.0.100"), "a", now) || o.Claim("", ip("10.0.0.100"), "b", now) || !o.Claim("", ip("10.0.0.100"), "a", now) {
		t.Error("a claim does not keep others out, or its owner")
	}
	o.Drop("", ip("10.0.0.100"), "b")
	if _, ok := o.Holder("", ip("10.0.0.100"), now); !ok {
		t.Error("another's drop took the claim")
	}
	o.Drop("", ip("10.0.0.100"), "a")
	if !o.Claim("", ip("10.0.0.100"), "b", now) {
		t.Error("a dropped claim keeps others out")
	}
	if o.Claim("", ip("10.0.0.100"), "a", now.Add(29*time.Second)) || !o.Claim("", ip("10.0.0.100"), "a", now.Add(30*time.Second)) {
		t.Error("a claim does not last 30 s")
	}
}
