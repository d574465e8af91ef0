package builtin6_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// TestVRF leases in the VRF that a relay names (RFC 6607 section 3.2), where the
// same prefix is in two; what the relay said comes back to it. A machine with an
// address of each version and VRF gets the one of where it is.
func TestVRF(t *testing.T) {
	const vss = dhcpv6.OptionCode(68)
	seed := seed()
	blue := seed.Subnets[1]
	blue.ID, blue.Network, blue.VRF = "sub_blue", "net_blue", "blue"
	blue.Ranges = []sprout.Range{{Kind: sprout.Dynamic, First: ip("fd00:20::200"), Last: ip("fd00:20::203")}}
	seed.Subnets = append(seed.Subnets, blue)
	seed.Reservations = append(seed.Reservations, sprout.Reservation{MAC: db01, IP: ip("10.0.0.6"), Subnet: "sub_4", More: []sprout.Reservation{
		{MAC: db01, IP: ip("fd00:20::6"), Subnet: "sub_a"}, {MAC: db01, IP: ip("fd00:20::206"), Subnet: "sub_blue"}}})
	explainer, err := builtin6.New(builtin6.Config{Address: ip("fd00:20::1"), DUID: server, Ledger: dhcptest.NewMemory(seed)})
	if err != nil {
		t.Fatal(err)
	}
	for sub, want := range map[sprout.SubnetID]string{"sub_blue": "fd00:20::200/126", "sub_a": "fd00:20::100/126"} {
		if e, err := explainer.Explain(dhcp.Question{MAC: stranger, Subnet: sub}); err != nil || !netip.MustParsePrefix(want).Contains(e.IP) {
			t.Errorf("explained in %s: %+v, %v; want one of %s", sub, e, err, want)
		}
	}
	taken := bound("fd00:20::200", other) // of the agent's VRF: the same address is free in the other
	for _, c := range []struct {
		name, mac string
		says      []byte
		want      string
	}{
		{"none is named: the agent's", stranger, nil, "fd00:20::100/126"},
		{"the global one is the agent's", stranger, []byte{255}, "fd00:20::100/126"},
		{"blue", stranger, []byte("\x00blue"), "fd00:20::200/126"},
		{"one that nobody knows", stranger, []byte("\x00red"), ""},
		{"reserved in the agent's", db01, nil, "fd00:20::6/128"},
		{"reserved in blue", db01, []byte("\x00blue"), "fd00:20::206/128"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := site(t)
			ledger := dhcptest.NewMemory(seed)
			if err := ledger.SaveLease(t.Context(), taken); err != nil {
				t.Fatal(err)
			}
			s.Ledger = ledger
			r := say{kind: solicit, mac: c.mac, relays: []string{"fd00:20::fffe"}, seen: true}.request(t)
			if c.says != nil {
				r.Relays[0].AddOption(&dhcpv6.OptionGeneric{OptionCode: vss, OptionData: c.says})
			}
			a := builtin6.Decide(r, s)
			if c.want == "" {
				if a.Reply != nil {
					t.Errorf("answers: %s", a.Reason)
				}
				return
			}
			if !netip.MustParsePrefix(c.want).Contains(a.IP) {
				t.Errorf("gives %s, want one of %s: %s", a.IP, c.want, a.Reason)
			}
			relay, ok := a.Reply.(*dhcpv6.RelayMessage)
			if !ok {
				t.Fatalf("no answer to a relay: %v", a.Reply)
			}
			if o := relay.GetOneOption(vss); (o == nil) != (c.says == nil) || o != nil && !bytes.Equal(o.ToBytes(), c.says) {
				t.Errorf("the relay's VRF came back as %v", o)
			}
		})
	}
}
