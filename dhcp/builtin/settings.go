package builtin

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// Settings are the options of a reply that operators set: those that it has, by
// number, and those that it has no room for.
type Settings struct {
	Put     map[uint8]sprout.SiteDHCPOption
	Omitted []sprout.SiteDHCPOption
}

// leastMessage is how long a message may be without the client's word: 576 bytes
// of datagram (RFC 2131 section 2) without the headers of IP and UDP.
const (
	leastMessage = 576 - headers
	headers      = 28
)

// putSettings puts what operators set for the client in place of what was
// computed, but for what it boots, as far as it asks for it or it is always sent
// (RFC 2131 section 4.3.1), and as far as the message has room.
func (d *decision) putSettings(p *dhcpv4.DHCPv4, c choice, boot bootFile) (s Settings) {
	known, _ := d.s.Ledger.Known(d.mac)
	all := d.s.Ledger.DHCPOptions(c.subnet.ID, known.ID)
	if all.None() {
		return s
	}
	chosen := map[uint8]sprout.SiteDHCPOption{}
	all.For(4, d.who, func(o sprout.SiteDHCPOption) { chosen[uint8(o.Code)] = o })
	room := max(leastMessage, d.mayTake()) - sizeOf(p)
	for _, code := range slices.SortedFunc(maps.Keys(chosen), byRank(chosen)) {
		o := chosen[code]
		if !o.Always && !d.wants(code) || boot.name != "" && (code == optionFileName || code == optionTFTPName) {
			continue
		}
		old, had := p.Options[code]
		more := spaceOf(o.Data)
		if had {
			more -= spaceOf(old)
		}
		if more > room {
			s.Omitted = append(s.Omitted, o)
			continue
		}
		if s.Put == nil {
			s.Put = map[uint8]sprout.SiteDHCPOption{}
		}
		room -= more
		p.Options[code], s.Put[code] = o.Data, o
	}
	return s
}

// byRank sorts numbers of options: what is set for fewer comes first, and so
// finds room.
func byRank(chosen map[uint8]sprout.SiteDHCPOption) func(a, b uint8) int {
	rank := func(o sprout.SiteDHCPOption) int {
		switch {
		case o.Machine != "":
			return 0
		case o.Class != "":
			return 1
		case o.Subnet != "":
			return 2
		}
		return 3
	}
	return func(a, b uint8) int {
		return cmp.Or(cmp.Compare(rank(chosen[a]), rank(chosen[b])), cmp.Compare(a, b))
	}
}

// mayTake is how long a message the client takes, as it says by option 57 (RFC
// 2132 section 9.10): it counts the datagram. More than fits a frame is not sent.
func (d *decision) mayTake() int {
	const mostOfFrame = 1500
	raw := d.r.Packet.Options[57]
	if len(raw) != 2 {
		return 0
	}
	return min(int(binary.BigEndian.Uint16(raw)), mostOfFrame) - headers
}

// sizeOf is how long the message is.
func sizeOf(p *dhcpv4.DHCPv4) int {
	n := atOptions + 1
	for _, v := range p.Options {
		n += spaceOf(v)
	}
	return n
}

// spaceOf is what a value takes, in its parts (RFC 3396).
func spaceOf(v []byte) int { return len(v) + 2*max(1, (len(v)+254)/255) }

// who is what the client says of itself.
func (d *decision) who() sprout.DHCPClient {
	o := d.r.Packet.Options
	c := sprout.DHCPClient{Users: userClasses(o[77]), Arches: firmwareOf(d.r.Packet).arches, MAC: d.mac}
	if v, ok := o[optionVendorClass]; ok {
		c.Vendors = []string{string(v)}
	}
	return c
}

// userClasses reads option 77 as RFC 3004 has it, each with its length, and also
// as the one bare class that many clients send.
func userClasses(raw []byte) (all []string) {
	if len(raw) == 0 {
		return nil
	}
	all = []string{string(raw)}
	for rest := raw; len(rest) > 0; rest = rest[1+rest[0]:] {
		if rest[0] == 0 || len(rest) < 1+int(rest[0]) {
			return all[:1]
		}
		all = append(all, string(rest[1:1+rest[0]]))
	}
	return all
}
