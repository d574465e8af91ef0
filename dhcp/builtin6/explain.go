package builtin6

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin"
)

// Explain says what the machine would be offered if it asked now, and why:
// Decide's answer to the SOLICIT that it would send, but for its own identifier,
// which comes back. It changes nothing.
func (s *Server) Explain(q dhcp.Question) (dhcp.Explanation, error) {
	mac, err := net.ParseMAC(q.MAC)
	if err != nil || len(mac) != 6 {
		return dhcp.Explanation{}, sprout.InvalidField("mac", "cannot explain %q: a MAC address like 52:54:00:12:34:56 is needed", q.MAC)
	}
	site, at := s.site(), s.config.Address
	machine, _ := site.Ledger.Known(mac.String())
	asks, err := solicit(mac, q.Firmware, machine.BootMode)
	if err != nil {
		return dhcp.Explanation{}, err
	}
	r := Request{Message: asks, From: netip.AddrPortFrom(toEUI64(mac), clientPort), Frame: mac.String()}
	if q.Subnet != "" {
		sub, err := s.subnet(q.Subnet)
		if err != nil {
			return dhcp.Explanation{}, err
		}
		at = sub.CIDR.Masked().Addr().Next()
		r.Relays = []*dhcpv6.RelayMessage{relayIn(sub, at, mac, site.VRF)}
	}
	a := Decide(r, site)
	e := dhcp.Explanation{IP: a.IP, BootFile: a.BootFile, Reason: a.Reason}
	if a.Reply == nil {
		return e, nil
	}
	if e.To = a.To.Addr().String(); a.To.Port() != 0 {
		e.To = a.To.String()
	}
	if sub := within(site.link(r.vss(), at), e.IP); sub != nil {
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

// subnet finds one that somebody asks about.
func (s *Server) subnet(id sprout.SubnetID) (sprout.Subnet, error) {
	for _, sub := range s.config.Ledger.Subnets() {
		if (sub.ID == id || sub.CIDR.String() == string(id)) && sub.CIDR.Addr().Is6() {
			return sub, nil
		}
	}
	return sprout.Subnet{}, sprout.Errorf(sprout.NotFound, "cannot explain subnet %s: this site has no such IPv6 subnet", id)
}

// relayIn is what a relay in the subnet would forward.
func relayIn(sub sprout.Subnet, at netip.Addr, mac net.HardwareAddr, own string) *dhcpv6.RelayMessage {
	relay := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward, LinkAddr: at.AsSlice(), PeerAddr: toEUI64(mac).AsSlice()}
	relay.AddOption(dhcpv6.OptClientLinkLayerAddress(iana.HWTypeEthernet, mac))
	if sub.VRF != own {
		relay.AddOption(&dhcpv6.OptionGeneric{OptionCode: optionVSS, OptionData: builtin.FormatVSS(sub.VRF)})
	}
	return relay
}

// What each program asks for (option 6): firmware and iPXE as their messages in
// testdata/captures have it. An operating system is taken to want whatever there is,
// as each asks for something else.
var (
	firmwareAsks = []dhcpv6.OptionCode{dhcpv6.OptionBootfileURL, dhcpv6.OptionBootfileParam, dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionVendorClass}
	ipxeAsks     = []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionBootfileURL, dhcpv6.OptionBootfileParam}
	systemAsks   = []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionNTPServer, dhcpv6.OptionFQDN, dhcpv6.OptionBootfileURL}
)

// solicit is what each firmware asks, on a machine of the mode where that is known.
func solicit(mac net.HardwareAddr, f dhcp.Firmware, mode sprout.BootMode) (*dhcpv6.Message, error) {
	m := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeSolicit}
	m.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac}))
	m.AddOption(&dhcpv6.OptIANA{})
	if f == dhcp.NoBoot {
		m.AddOption(dhcpv6.OptRequestedOption(systemAsks...))
		return m, nil
	}
	arch, http, err := builtin.ArchitectureIn(f, mode)
	if err != nil {
		return nil, err
	}
	wants, class, undi := firmwareAsks, "PXEClient", "003000"
	switch {
	case f == dhcp.IPXE:
		wants, undi = ipxeAsks, "003010"
		m.AddOption(&dhcpv6.OptUserClass{UserClasses: [][]byte{[]byte("iPXE")}})
	case http:
		class = httpClient
	}
	m.AddOption(dhcpv6.OptRequestedOption(wants...))
	m.AddOption(dhcpv6.OptClientArchType(iana.Arch(arch)))
	m.AddOption(&dhcpv6.OptVendorClass{EnterpriseNumber: intel, Data: [][]byte{fmt.Appendf(nil, "%s:Arch:%05d:UNDI:%s", class, arch, undi)}})
	return m, nil
}
