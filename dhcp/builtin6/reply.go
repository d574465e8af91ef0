package builtin6

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"sprout"
)

// The ports of RFC 8415 section 7.2. A server that uses others translates.
const (
	serverPort = 547
	clientPort = 546
)

// reply makes the answer's message: the identifiers, the options so far, and
// the relays' messages around it.
func (d *decision) reply(kind dhcpv6.MessageType, reason string) Answer {
	q := d.r.Message
	m := &dhcpv6.Message{MessageType: kind, TransactionID: q.TransactionID}
	if id := q.GetOneOption(dhcpv6.OptionClientID); id != nil {
		m.AddOption(id)
	}
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: d.s.DUID})
	for _, o := range d.options {
		m.AddOption(o)
	}
	a := Answer{
		Reply: m, Holds: d.holds, Leases: d.leases, Forget: d.forget, MAC: d.id.mac, Key: d.id.show(), Reason: reason, Settings: d.settings,
		To: netip.AddrPortFrom(d.r.From.Addr(), clientPort),
	}
	if len(d.r.Relays) > 0 {
		a.Reply = d.relayed(m)
		a.To, a.From = d.toRelay()
	}
	return a
}

// relayed wraps the message for each relay that it came through, with what that
// wants back (RFC 8415 section 19.3).
func (d *decision) relayed(m dhcpv6.DHCPv6) dhcpv6.DHCPv6 {
	for i := len(d.r.Relays) - 1; i >= 0; i-- {
		q := d.r.Relays[i]
		wrap := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayReply, HopCount: q.HopCount, LinkAddr: q.LinkAddr, PeerAddr: q.PeerAddr}
		for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionInterfaceID, dhcpv6.OptionRelayPort, optionVSS} {
			if o := q.GetOneOption(code); o != nil {
				wrap.AddOption(o)
			}
		}
		wrap.AddOption(dhcpv6.OptRelayMessage(m))
		m = wrap
	}
	return m
}

// toRelay is where the nearest relay is answered, and from what: the address
// that it knows us by, and its port where it says that it wants that (RFC 8357).
func (d *decision) toRelay() (to netip.AddrPort, from netip.Addr) {
	port := uint16(serverPort)
	if d.r.Relays[0].GetOneOption(dhcpv6.OptionRelayPort) != nil {
		port = d.r.From.Port()
	}
	if from = d.r.To; !from.IsValid() || from.IsMulticast() {
		from = netip.Addr{}
	}
	return netip.AddrPortFrom(d.r.From.Addr(), port), from
}

// wants tells whether the client asks for an option (RFC 8415 section 21.7).
func (d *decision) wants(code dhcpv6.OptionCode) bool {
	return slices.Contains(d.r.Message.Options.RequestedOptions(), code)
}

// network adds what the client needs to use the network, of what it asks for.
func (d *decision) network() {
	sub := d.given.subnet
	if sub == nil {
		return
	}
	if d.wants(dhcpv6.OptionDNSRecursiveNameServer) {
		d.options = append(d.options, dhcpv6.OptDNS(d.nameServers(sub)...))
	}
	if search := d.search(sub); len(search) > 0 && d.wants(dhcpv6.OptionDomainSearchList) {
		d.options = append(d.options, dhcpv6.OptDomainSearchList(labels(search...)))
	}
	times := addresses(sub.NTP)
	if len(times) > 0 && d.wants(dhcpv6.OptionSNTPServerList) {
		d.options = append(d.options, dhcpv6.OptSNTP(times...))
	}
	if len(times) > 0 && d.wants(dhcpv6.OptionNTPServer) {
		ntp := &dhcpv6.OptNTPServer{}
		for _, ip := range times {
			server := dhcpv6.NTPSuboptionSrvAddr(ip)
			ntp.Suboptions.Add(&server)
		}
		d.options = append(d.options, ntp)
	}
	d.name()
	d.putSettings()
}

// name answers the client's option of its host name (RFC 4704 section 6): Sprout
// publishes the names of its machines, and no others.
func (d *decision) name() {
	const serverUpdates, overridden, nobody = 1, 2, 4
	asked, ok := d.r.Message.GetOneOption(dhcpv6.OptionFQDN).(*dhcpv6.OptFQDN)
	if !ok && !d.wants(dhcpv6.OptionFQDN) {
		return
	}
	name := d.hostname()
	if name == "" {
		if ok {
			d.options = append(d.options, &dhcpv6.OptFQDN{Flags: nobody, DomainName: asked.DomainName})
		}
		return
	}
	if d.s.Domain != "" && !strings.HasSuffix(name, "."+d.s.Domain) {
		name += "." + d.s.Domain
	}
	flags := uint8(serverUpdates)
	if !ok || asked.Flags&serverUpdates == 0 {
		flags |= overridden
	}
	d.options = append(d.options, &dhcpv6.OptFQDN{Flags: flags, DomainName: labels(name)})
}

// nameServers are the subnet's, or the agent.
func (d *decision) nameServers(sub *sprout.Subnet) []net.IP {
	if own := addresses(sub.DNS); len(own) > 0 {
		return own
	}
	return []net.IP{d.s.Address.AsSlice()}
}

// search are the domains that hosts of the subnet look names up in.
func (d *decision) search(sub *sprout.Subnet) []string {
	if domain := cmp.Or(sub.Domain, d.s.Domain); len(sub.Search) == 0 && domain != "" {
		return []string{domain}
	}
	return sub.Search
}

// addresses are the IPv6 ones.
func addresses(all []netip.Addr) (list []net.IP) {
	for _, ip := range all {
		if ip.Is6() {
			list = append(list, ip.AsSlice())
		}
	}
	return list
}

func labels(names ...string) *rfc1035label.Labels { return &rfc1035label.Labels{Labels: names} }
