package builtin

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// A Request is a client's packet and how it came.
type Request struct {
	Packet *dhcpv4.DHCPv4
	From   netip.AddrPort // who sent it: the client or its relay
	To     netip.Addr     // the address it was sent to; zero where not known
	Boot   bool           // it was sent to the port of boot servers, 4011
	mac    string         // of Parse, as MAC returns it
}

// Parse reads a client's packet, and points into it. Errors are Invalid: such
// packets are dropped.
func Parse(wire []byte, from netip.AddrPort, to netip.Addr) (Request, error) {
	return parseRequest(&dhcpv4.DHCPv4{}, datagram{wire, from, to})
}

// parseRequest is Parse, into a message that was used before.
func parseRequest(into *dhcpv4.DHCPv4, d datagram) (Request, error) {
	if err := parse(into, d.wire); err != nil {
		return Request{}, sprout.Errorf(sprout.Invalid, "cannot read packet from %s: %w", d.from, err)
	}
	if into.OpCode != dhcpv4.OpcodeBootRequest {
		return Request{}, sprout.Errorf(sprout.Invalid, "cannot use packet from %s: it is no request", d.from)
	}
	return Request{Packet: into, From: d.from, To: d.to, mac: macOf(into)}, nil
}

// MAC returns the client's hardware address in lower case with colons; empty
// where it has none of Ethernet's length.
func (r Request) MAC() string {
	if r.mac != "" {
		return r.mac
	}
	return macOf(r.Packet)
}

func macOf(p *dhcpv4.DHCPv4) string {
	if len(p.ClientHWAddr) != 6 {
		return ""
	}
	return p.ClientHWAddr.String()
}

// clientID returns the client identifier where it, and not the MAC, is to be
// the client's key; else nil.
//
// RFC 2131 section 4.2 wants it used whenever it is there. Two exceptions: an
// identifier that says the MAC again (RFC 2132 section 9.14, type 1), and
// whatever PXE or iPXE sends. Firmware, iPXE and the ramdisk of one machine name
// themselves differently (the first by its UUID); by MAC they keep one address.
func (r Request) clientID() []byte {
	id := r.Packet.Options.Get(dhcpv4.OptionClientIdentifier)
	mac := r.Packet.ClientHWAddr
	switch {
	case len(id) < 2:
		return nil
	case len(mac) == 6 && id[0] == 1 && bytes.Equal(id[1:], mac):
		return nil
	case len(mac) == 6 && firmwareOf(r.Packet).boots:
		return nil
	}
	return id
}

// key returns what the client's leases are found by, and the client
// identifier to store; an empty key: the client cannot be told from others.
func (r Request) key() (key, clientID string) {
	if id := r.clientID(); id != nil {
		clientID = hex.EncodeToString(id)
		return clientID, clientID
	}
	return r.MAC(), ""
}

// keyOf returns the key that a lease is found by.
func keyOf(l sprout.Lease) string {
	if l.ClientID != "" {
		return l.ClientID
	}
	return l.MAC
}

// address reads an option that holds one IPv4 address; the zero Addr where it
// is missing or of another length.
func (r Request) address(code dhcpv4.OptionCode) netip.Addr {
	return addressOf(r.Packet.Options.Get(code))
}

func addressOf(raw []byte) netip.Addr {
	if len(raw) != 4 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(raw))
}

// field reads a header field that holds one IPv4 address; the zero Addr for
// 0.0.0.0.
func field(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if a = a.Unmap(); !ok || !a.Is4() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// Options and sub-options by number, where the codec has no name for them.
const (
	linkSelection     = 5   // RFC 3527
	serverIDOverride  = 11  // RFC 5107
	relaySourcePort   = 19  // RFC 8357
	virtualSubnet     = 151 // RFC 6607
	vssControl        = 152 // RFC 6607: the server strikes it out where it did as 151 says
	noPXEDHCP         = 176 // of option 175
	ipxeHTTP          = 19  // of option 175
	optionIPXE        = 175
	optionMTU         = 26
	optionSearch      = 119
	optionRoutes      = 121
	optionMessage     = 56
	pxeClientUUID     = 97
	optionFileName    = 67
	optionTFTPName    = 66
	optionVendorClass = 60
	optionVendor      = 43
)

// suboption finds a sub-option in the value of an encapsulated option; ok also
// where it is empty.
func suboption(raw []byte, code byte) (value []byte, ok bool) {
	for len(raw) >= 2 {
		n := int(raw[1])
		if len(raw) < 2+n {
			return nil, false
		}
		if raw[0] == code {
			return raw[2 : 2+n], true
		}
		raw = raw[2+n:]
	}
	return nil, false
}

// relay reads a sub-option of option 82.
func (r Request) relay(code byte) ([]byte, bool) {
	return suboption(r.Packet.Options.Get(dhcpv4.OptionRelayAgentInformation), code)
}

// without is the value of an encapsulated option but for a sub-option; itself
// where that is not there.
func without(raw []byte, code byte) []byte {
	if _, ok := suboption(raw, code); !ok {
		return raw
	}
	kept := make([]byte, 0, len(raw))
	for len(raw) >= 2 && len(raw) >= 2+int(raw[1]) {
		n := 2 + int(raw[1])
		if raw[0] != code {
			kept = append(kept, raw[:n]...)
		}
		raw = raw[n:]
	}
	return kept
}
