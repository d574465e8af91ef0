package builtin

import (
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"sprout"
	"sprout/dhcp"
)

// Explain says what the machine would be offered if it asked now, and why:
// Decide's answer to the packet that it would send. It changes nothing.
func (s *Server) Explain(q dhcp.Question) (dhcp.Explanation, error) {
	mac, err := net.ParseMAC(q.MAC)
	if err != nil || len(mac) != 6 {
		return dhcp.Explanation{}, sprout.InvalidField("mac", "cannot explain %q: a MAC address like 52:54:00:12:34:56 is needed", q.MAC)
	}
	p := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootRequest, HWType: iana.HWTypeEthernet, ClientHWAddr: mac,
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
		Options: asked(q.Firmware),
	}
	if q.Subnet != "" {
		relay, err := s.relayOf(q.Subnet)
		if err != nil {
			return dhcp.Explanation{}, err
		}
		p.GatewayIPAddr = relay.AsSlice()
	}
	a := Decide(Request{Packet: p}, s.site())
	e := dhcp.Explanation{Reason: a.Reason}
	if a.Reply != nil {
		e.IP, e.BootFile = field(a.Reply.YourIPAddr), bootFileOf(a.Reply)
	}
	return e, nil
}

// relayOf is an address in the subnet from which a relay would ask.
func (s *Server) relayOf(id sprout.SubnetID) (netip.Addr, error) {
	for _, sub := range s.config.Ledger.Subnets() {
		if sub.ID == id && sub.CIDR.Addr().Is4() {
			return sub.CIDR.Masked().Addr().Next(), nil
		}
	}
	return netip.Addr{}, sprout.Errorf(sprout.NotFound, "cannot explain subnet %s: this site has no such IPv4 subnet", id)
}

// asked is what each firmware says of itself in a DISCOVER.
func asked(f dhcp.Firmware) dhcpv4.Options {
	o := dhcpv4.Options{53: {byte(dhcpv4.MessageTypeDiscover)}}
	switch f {
	case dhcp.BIOS:
		o[60], o[93] = []byte("PXEClient:Arch:00000:UNDI:002001"), []byte{0, 0}
	case dhcp.UEFI:
		o[60], o[93] = []byte("PXEClient:Arch:00007:UNDI:003016"), []byte{0, 7}
	case dhcp.UEFIHTTP:
		o[60], o[93] = []byte("HTTPClient:Arch:00016:UNDI:003001"), []byte{0, 16}
	case dhcp.IPXE:
		o[77] = []byte("iPXE")
	case dhcp.NoBoot:
	}
	return o
}

// bootFileOf is the name or URL of a reply.
func bootFileOf(p *dhcpv4.DHCPv4) string {
	if p.BootFileName != "" {
		return p.BootFileName
	}
	return string(p.Options[optionFileName])
}
