package builtin6

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"sprout"
	"sprout/dhcp"
)

// Explain says what the machine would be offered if it asked now, and why:
// Decide's answer to the SOLICIT that it would send. It changes nothing.
func (s *Server) Explain(q dhcp.Question) (dhcp.Explanation, error) {
	mac, err := net.ParseMAC(q.MAC)
	if err != nil || len(mac) != 6 {
		return dhcp.Explanation{}, sprout.InvalidField("mac", "cannot explain %q: a MAC address like 52:54:00:12:34:56 is needed", q.MAC)
	}
	r := Request{Message: solicit(mac, q.Firmware), From: netip.AddrPortFrom(toEUI64(mac), clientPort), Frame: mac.String()}
	if q.Subnet != "" {
		relay, err := s.relayOf(q.Subnet, mac)
		if err != nil {
			return dhcp.Explanation{}, err
		}
		r.Relays = []*dhcpv6.RelayMessage{relay}
	}
	site := s.site()
	a := Decide(r, site)
	e := dhcp.Explanation{IP: a.IP, BootFile: a.BootFile, Reason: a.Reason}
	if a.Reply == nil {
		return e, nil
	}
	if e.To = a.To.Addr().String(); a.To.Port() != 0 {
		e.To = a.To.String()
	}
	if sub := within(site.Ledger.Subnets(), e.IP); sub != nil {
		e.Subnet = sub.CIDR
	}
	e.Options = site.optionsOf(a)
	return e, nil
}

// origins say what an option of an answer comes from; the others are builtin.
var origins = map[dhcpv6.OptionCode]string{
	dhcpv6.OptionClientID: "client", dhcpv6.OptionDNSRecursiveNameServer: "subnet", dhcpv6.OptionDomainSearchList: "site", dhcpv6.OptionSNTPServerList: "subnet",
	dhcpv6.OptionNTPServer: "subnet", dhcpv6.OptionFQDN: "machine", dhcpv6.OptionBootfileURL: "boot", dhcpv6.OptionVendorClass: "boot",
}

// optionsOf lists the options of an answer by number.
func (s *Site) optionsOf(a Answer) (list []sprout.DHCPOption) {
	m, err := a.Reply.GetInnerMessage()
	if err != nil {
		return nil
	}
	for _, o := range m.Options.Options {
		code, data := int(o.Code()), o.ToBytes()
		one := sprout.DHCPOption{Code: code, Name: dhcp.OptionName(6, code), Value: dhcp.OptionValue(6, code, data), From: cmp.Or(origins[o.Code()], "builtin")}
		if o.Code() == dhcpv6.OptionDNSRecursiveNameServer && one.Value == s.Address.String() {
			one.From = "builtin" // the agent, as the subnet names none
		}
		if set, ok := a.Settings[code]; ok {
			one.From, one.Setting = set.Scope(), set.ID
		}
		list = append(list, one)
	}
	slices.SortStableFunc(list, func(a, b sprout.DHCPOption) int { return cmp.Compare(a.Code, b.Code) })
	return list
}

// relayOf is what a relay in the subnet would forward.
func (s *Server) relayOf(id sprout.SubnetID, mac net.HardwareAddr) (*dhcpv6.RelayMessage, error) {
	for _, sub := range s.config.Ledger.Subnets() {
		if (sub.ID == id || sub.CIDR.String() == string(id)) && sub.CIDR.Addr().Is6() {
			relay := &dhcpv6.RelayMessage{
				MessageType: dhcpv6.MessageTypeRelayForward, LinkAddr: sub.CIDR.Masked().Addr().Next().AsSlice(), PeerAddr: toEUI64(mac).AsSlice(),
			}
			relay.AddOption(dhcpv6.OptClientLinkLayerAddress(iana.HWTypeEthernet, mac))
			return relay, nil
		}
	}
	return nil, sprout.Errorf(sprout.NotFound, "cannot explain subnet %s: this site has no such IPv6 subnet", id)
}

// solicit is what each firmware asks.
func solicit(mac net.HardwareAddr, f dhcp.Firmware) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeSolicit}
	m.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac}))
	m.AddOption(&dhcpv6.OptIANA{})
	m.AddOption(dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionNTPServer, dhcpv6.OptionFQDN, dhcpv6.OptionBootfileURL))
	switch f {
	case dhcp.BIOS:
		m.AddOption(dhcpv6.OptClientArchType(iana.INTEL_X86PC))
	case dhcp.UEFI:
		m.AddOption(dhcpv6.OptClientArchType(iana.EFI_X86_64))
	case dhcp.UEFIHTTP:
		m.AddOption(dhcpv6.OptClientArchType(iana.EFI_X86_64_HTTP))
		m.AddOption(&dhcpv6.OptVendorClass{EnterpriseNumber: intel, Data: [][]byte{[]byte(httpClient)}})
	case dhcp.IPXE:
		m.AddOption(&dhcpv6.OptUserClass{UserClasses: [][]byte{[]byte("iPXE")}})
	case dhcp.NoBoot:
	}
	return m
}
