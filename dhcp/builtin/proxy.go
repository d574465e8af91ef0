package builtin

import (
	"bytes"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// The classes of firmware that takes what to boot from a proxy (PXE 2.1, section
// 2.2: ProxyDHCP; UEFI 2.10, section 24.7 for HTTP boot).
const (
	classPXE  = "PXEClient"
	classHTTP = "HTTPClient"
)

// bootClass is which of them the client is; empty: none.
func bootClass(p *dhcpv4.DHCPv4) string {
	for _, class := range []string{classPXE, classHTTP} {
		if bytes.HasPrefix(p.Options[optionVendorClass], []byte(class)) {
			return class
		}
	}
	return ""
}

// proxied answers in a subnet where another server gives the addresses: it says
// what to boot, to firmware only, in an offer without an address, and once more
// to who asks at the port of boot servers. Of who takes which address from the
// other server it keeps a record: what a machine fetches is known by that.
func (d *decision) proxied() Answer {
	kind, class := d.r.Packet.MessageType(), bootClass(d.r.Packet)
	switch {
	case d.r.Boot && class != "" && (kind == dhcpv4.MessageTypeRequest || kind == dhcpv4.MessageTypeInform):
		return d.proxy(dhcpv4.MessageTypeAck, class)
	case d.r.Boot:
		return d.silence("only firmware asks a boot server")
	case kind == dhcpv4.MessageTypeDiscover && class != "":
		return d.proxy(dhcpv4.MessageTypeOffer, class)
	case kind == dhcpv4.MessageTypeRequest:
		return d.overheard()
	}
	return d.silence("%s has another DHCP server, and only firmware is told what to boot", d.link[0].CIDR)
}

// useFile is option 43 that says: load the file that is named here, and look for
// no boot server (PXE 2.1, table 2-1: PXE_DISCOVERY_CONTROL, bit 3).
var useFile = []byte{6, 1, 8, 255}

// proxy makes the offer, or the acknowledgement at the port of boot servers, that
// says what to boot and gives no address.
func (d *decision) proxy(kind dhcpv4.MessageType, class string) Answer {
	boot := d.boot(&d.link[0])
	if boot.name == "" {
		return d.silence("%s", boot.reason)
	}
	p := d.reply(kind)
	d.putBoot(p, boot)
	delete(p.Options, optionIPXE) // that no proxy is to be waited for: here it is
	p.Options[optionVendorClass] = []byte(class)
	if class == classPXE {
		p.Options[optionVendor] = useFile
	}
	a := Answer{Reply: p, Key: d.key, What: sprout.SawOffer, Reason: "offers no address, as another server does: " + boot.reason}
	switch {
	case d.r.Boot:
		a.To, a.What = Delivery{To: d.r.From}, sprout.SawAck
		a.Reason = "says what to boot: " + boot.reason
	case field(p.GatewayIPAddr).IsValid():
		a.To = d.toRelay()
	default:
		a.To = Delivery{To: netip.AddrPortFrom(limitedBroadcast, clientPort)}
	}
	return a
}

// overheard keeps a record of the address that the client takes from the other
// server.
func (d *decision) overheard() Answer {
	sub := within(d.link, d.requested)
	if sub == nil || d.mac == "" {
		return d.silence("%s has another DHCP server", d.link[0].CIDR)
	}
	a := d.silence("it takes %s from %s, beside which this agent only says what to boot", d.requested, show(d.server))
	a.What, a.Other = sprout.SawAck, d.server
	a.Lease = d.lease(sub, d.requested, stateBound, d.s.LeaseTime)
	return a
}
