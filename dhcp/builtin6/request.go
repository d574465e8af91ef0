package builtin6

import (
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
	"sprout/dhcp/builtin"
)

// A Request is a client's message and how it came.
type Request struct {
	Message *dhcpv6.Message
	Relays  []*dhcpv6.RelayMessage // that it came through, the nearest to us first
	From    netip.AddrPort         // who sent it: the client or its relay
	To      netip.Addr             // the address it was sent to; zero where not known
	Frame   string                 // MAC of who sent it, empty where not known
}

// maxRelays is HOP_COUNT_LIMIT of RFC 8415 section 7.6.
const maxRelays = 8

// Parse reads a message of a client. Errors are Invalid: such are dropped.
func Parse(wire []byte, from netip.AddrPort, to netip.Addr) (Request, error) {
	r := Request{From: from, To: to}
	drop := func(why string) (Request, error) {
		return Request{}, sprout.Errorf(sprout.Invalid, "cannot use message from %s: %s", from, why)
	}
	m, err := dhcpv6.FromBytes(wire)
	if err != nil {
		return drop(err.Error())
	}
	for m.IsRelay() {
		relay := m.(*dhcpv6.RelayMessage)
		if relay.MessageType != dhcpv6.MessageTypeRelayForward {
			return drop("it is the answer of a relay")
		}
		r.Relays = append(r.Relays, relay)
		switch m = relay.Options.RelayMessage(); {
		case m == nil:
			return drop("its relay forwards nothing")
		case len(r.Relays) > maxRelays:
			return drop("it came through too many relays")
		}
	}
	r.Message = m.(*dhcpv6.Message)
	return r, nil
}

// nearest is the relay that heard the client itself; nil: none did.
func (r Request) nearest() *dhcpv6.RelayMessage {
	if len(r.Relays) == 0 {
		return nil
	}
	return r.Relays[len(r.Relays)-1]
}

// client is the address that the client spoke from.
func (r Request) client() netip.Addr {
	if relay := r.nearest(); relay != nil {
		return address(relay.PeerAddr)
	}
	return r.From.Addr().WithZone("")
}

// selected is the address by which the relays say what link the client is on:
// the link-address nearest to it that is set (RFC 8415 section 13.1). Zero: they
// do not say, as relays within the link.
func (r Request) selected() netip.Addr {
	for i := len(r.Relays) - 1; i >= 0; i-- {
		at := address(r.Relays[i].LinkAddr)
		if at.IsValid() && !at.IsUnspecified() && !at.IsLinkLocalUnicast() {
			return at
		}
	}
	return netip.Addr{}
}

func address(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To16())
	return a
}

// vss is the VRF that a relay says the client is in, the one nearest to it (RFC
// 6607 section 3.2).
func (r Request) vss() builtin.VSS {
	for i := len(r.Relays) - 1; i >= 0; i-- {
		if o := r.Relays[i].GetOneOption(optionVSS); o != nil {
			return builtin.ParseVSS(o.ToBytes())
		}
	}
	return builtin.VSS{}
}

// optionVSS is OPTION_VSS.
const optionVSS dhcpv6.OptionCode = 68
