package builtin

import (
	"cmp"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp"
)

// A Delivery is where a reply goes.
type Delivery struct {
	To netip.AddrPort
	// Hardware is set where the client has no address yet and cannot be found
	// by ARP: a frame goes straight to it.
	Hardware net.HardwareAddr
}

// The ports of RFC 2131 section 4.1. A server that uses others translates.
const (
	serverPort = 67
	clientPort = 68
	bootPort   = 4011 // of boot servers: PXE 2.1
)

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// give makes the OFFER or ACK of a choice. For an INFORM the ACK has neither
// address nor times.
func (d *decision) give(kind dhcpv4.MessageType, c choice) Answer {
	inform := kind == dhcpv4.MessageTypeInform
	if inform {
		kind = dhcpv4.MessageTypeAck
	}
	p := d.reply(kind)
	if !inform {
		p.YourIPAddr = c.ip.AsSlice()
		d.putTimes(p.Options)
	}
	d.putNetwork(p.Options, c)
	boot := d.boot(c.subnet)
	d.putBoot(p, boot)
	set := d.putSettings(p, c, boot)
	reason := c.reason
	if boot.reason != "" {
		reason += "; " + boot.reason
	}
	verb := "gives "
	if kind == dhcpv4.MessageTypeOffer {
		verb = "offers "
	}
	if inform {
		return Answer{Reply: p, To: Delivery{To: netip.AddrPortFrom(d.client, clientPort)}, Key: d.key, Reason: "gives options: " + reason, Settings: set}
	}
	return Answer{Reply: p, To: d.deliver(c.ip), Key: d.key, Reason: verb + c.ip.String() + ": " + reason, Settings: set}
}

// nak refuses; option 56 says why (RFC 2132 section 9.9).
func (d *decision) nak(reason string) Answer {
	p := d.reply(dhcpv4.MessageTypeNak)
	p.ClientIPAddr = net.IPv4zero
	p.Options[optionMessage] = []byte(reason)
	to := Delivery{To: netip.AddrPortFrom(limitedBroadcast, clientPort)}
	if field(p.GatewayIPAddr).IsValid() {
		p.SetBroadcast() // so that the relay broadcasts it: RFC 2131 section 4.3.2
		to = d.toRelay()
	}
	return Answer{Reply: p, To: to, Key: d.key, Reason: "refuses: " + reason}
}

// reply is what every answer has: the header's echoes, the server, and the
// client's and the relay's own options back (RFC 6842, RFC 3046 section 2.2).
func (d *decision) reply(kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	q := d.r.Packet
	p := d.s.room
	if p == nil {
		p = &dhcpv4.DHCPv4{}
	}
	*p = dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: q.HWType, TransactionID: q.TransactionID, Flags: q.Flags,
		ClientIPAddr: q.ClientIPAddr, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: q.GatewayIPAddr,
		ClientHWAddr: q.ClientHWAddr, Options: emptied(p.Options),
	}
	if kind == dhcpv4.MessageTypeOffer {
		p.ClientIPAddr = net.IPv4zero // RFC 2131 table 3
	}
	p.Options[53] = []byte{byte(kind)}
	p.Options[54] = d.identifier().AsSlice()
	if v, ok := q.Options[61]; ok {
		p.Options[61] = v
	}
	if v, ok := q.Options[optionRelay]; ok {
		p.Options[optionRelay] = without(v, vssControl)
	}
	return p
}

// leaseTime is the site's, or less where the client wants less; a minute at
// the least, unless the site's is shorter.
func (d *decision) leaseTime() time.Duration {
	t := d.s.LeaseTime
	if raw := d.r.Packet.Options[51]; len(raw) == 4 {
		if want := time.Duration(binary.BigEndian.Uint32(raw)) * time.Second; want < t {
			return max(want, min(t, time.Minute))
		}
	}
	return t
}

// putTimes sets the lease's length, T1 and T2 (RFC 2131 section 4.4.5).
func (d *decision) putTimes(o dhcpv4.Options) {
	t := d.leaseTime()
	o[51] = seconds(t)
	o[58] = seconds(t / 2)
	o[59] = seconds(t * 7 / 8)
}

func seconds(t time.Duration) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(t/time.Second))
}

// wants tells whether the client asks for an option (55), or asks for nothing
// in particular.
func (d *decision) wants(code uint8) bool {
	list, ok := d.r.Packet.Options[55]
	return !ok || slices.Contains(list, code)
}

// putNetwork sets what the client needs to use the subnet (RFC 2132).
func (d *decision) putNetwork(o dhcpv4.Options, c choice) {
	sub := c.subnet
	o[1] = net.CIDRMask(sub.CIDR.Bits(), 32)
	if d.wants(28) && sub.CIDR.Bits() < 31 {
		o[28] = toAddr(toUint(sub.CIDR.Masked().Addr()) | (1<<(32-sub.CIDR.Bits()) - 1)).AsSlice()
	}
	if sub.Gateway.Is4() && d.wants(3) {
		o[3] = sub.Gateway.AsSlice()
	}
	if d.wants(6) {
		o[6] = d.nameServers(sub)
	}
	if d.wants(42) {
		put(o, 42, addresses(nil, sub.NTP))
	}
	if d.wants(12) {
		put(o, 12, []byte(c.hostname))
	}
	if d.wants(15) {
		put(o, 15, []byte(cmp.Or(sub.Domain, d.s.Domain)))
	}
	if len(sub.Search) > 0 && d.wants(optionSearch) {
		put(o, optionSearch, dhcp.Domains(sub.Search))
	}
	if len(sub.Routes) > 0 && d.wants(optionRoutes) {
		put(o, optionRoutes, dhcp.Routes(sub))
	}
	if sub.MTU >= 68 && sub.MTU <= 65535 && d.wants(optionMTU) {
		o[optionMTU] = binary.BigEndian.AppendUint16(nil, uint16(sub.MTU))
	}
}

// nameServers are the subnet's, or the agent.
func (d *decision) nameServers(sub *sprout.Subnet) []byte {
	if raw := addresses(nil, sub.DNS); len(raw) > 0 {
		return raw
	}
	return d.s.Address.AsSlice()
}

func addresses(raw []byte, all []netip.Addr) []byte {
	for _, ip := range all {
		if ip.Is4() {
			raw = append(raw, ip.AsSlice()...)
		}
	}
	return raw
}

// put sets an option that has a value.
func put(o dhcpv4.Options, code uint8, value []byte) {
	if len(value) > 0 {
		o[code] = value
	}
}

// putBoot sets what a firmware needs to load the file: in the header and, where
// it asks, as options 66 and 67; option 60 for UEFI HTTP boot; and for iPXE that
// no proxy DHCP is to be waited for, which saves 3 s.
func (d *decision) putBoot(p *dhcpv4.DHCPv4, b bootFile) {
	q := d.r.Packet.Options
	if _, ok := q[optionIPXE]; ok || isIPXE(q[77]) {
		p.Options[optionIPXE] = []byte{noPXEDHCP, 1, 1}
	}
	if b.name == "" {
		return
	}
	p.ServerIPAddr = d.s.Address.AsSlice()
	p.BootFileName = b.name
	if len(b.name) > 127 {
		p.BootFileName = "" // the header has no room: option 67 alone
	}
	if b.http || p.BootFileName == "" || d.wants(optionFileName) {
		p.Options[optionFileName] = []byte(b.name)
	}
	if b.http {
		p.Options[optionVendorClass] = []byte("HTTPClient")
	} else if d.wants(optionTFTPName) {
		p.Options[optionTFTPName] = []byte(d.s.Address.String())
	}
	put(p.Options, pxeClientUUID, q[pxeClientUUID])
}

// deliver says how an OFFER or ACK reaches the client (RFC 2131 section 4.1).
func (d *decision) deliver(ip netip.Addr) Delivery {
	q := d.r.Packet
	switch {
	case field(q.GatewayIPAddr).IsValid():
		return d.toRelay()
	case d.client.IsValid():
		return Delivery{To: netip.AddrPortFrom(d.client, clientPort)}
	case q.IsBroadcast() || d.mac == "":
		return Delivery{To: netip.AddrPortFrom(limitedBroadcast, clientPort)}
	}
	return Delivery{To: netip.AddrPortFrom(ip, clientPort), Hardware: q.ClientHWAddr}
}

// toRelay is the relay's address and port 67, or the port that it sent from
// where it says that it wants that (RFC 8357).
func (d *decision) toRelay() Delivery {
	port := uint16(serverPort)
	if _, ok := d.r.relay(relaySourcePort); ok {
		port = d.r.From.Port()
	}
	return Delivery{To: netip.AddrPortFrom(field(d.r.Packet.GatewayIPAddr), port)}
}
