package builtin

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"sprout"
	"sprout/dhcp"
)

// Explain says what the machine would be offered if it asked now, and why:
// Decide's answer to the packet that it would send, but for what of its own words
// comes back (options 61 and 97). It changes nothing.
func (s *Server) Explain(q dhcp.Question) (dhcp.Explanation, error) {
	mac, err := net.ParseMAC(q.MAC)
	if err != nil || len(mac) != 6 {
		return dhcp.Explanation{}, sprout.InvalidField("mac", "cannot explain %q: a MAC address like 52:54:00:12:34:56 is needed", q.MAC)
	}
	p := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootRequest, HWType: iana.HWTypeEthernet, ClientHWAddr: mac,
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
	}
	site, at := s.site(), s.config.Address
	machine, _ := site.Ledger.Known(mac.String())
	if p.Options, p.Flags, err = asked(q.Firmware, mac, machine.BootMode); err != nil {
		return dhcp.Explanation{}, err
	}
	if q.Subnet != "" {
		sub, err := s.subnet(q.Subnet)
		if err != nil {
			return dhcp.Explanation{}, err
		}
		at = sub.CIDR.Masked().Addr().Next() // from there its relay would ask
		p.GatewayIPAddr = at.AsSlice()
		if sub.VRF != site.VRF {
			p.Options[optionRelay] = append([]byte{virtualSubnet, byte(1 + len(sub.VRF))}, FormatVSS(sub.VRF)...)
		}
	}
	r := Request{Packet: p}
	a := Decide(r, site)
	e := dhcp.Explanation{Reason: a.Reason}
	if a.Reply == nil {
		return e, nil
	}
	e.IP, e.BootFile, e.To = field(a.Reply.YourIPAddr), bootFileOf(a.Reply), a.To.String()
	sub := within(site.link(r.vss(), at), e.IP)
	if sub != nil {
		e.Subnet = sub.CIDR
	}
	e.Options = optionsOf(a.Reply.Options)
	for i := range e.Options {
		o := &e.Options[i]
		if o.Code == 6 && o.Value == site.Address.String() {
			o.From = "builtin" // the agent, as the subnet names none
		}
		if o.Code == 15 && sub != nil && sub.Domain != "" {
			o.From = "subnet"
		}
		if set, ok := a.Settings.Put[uint8(o.Code)]; ok {
			o.From, o.Setting = set.Scope(), set.ID
		}
	}
	for _, set := range a.Settings.Omitted {
		e.Omitted = append(e.Omitted, sprout.DHCPOption{Code: set.Code, Name: set.Name, Value: set.Value, From: set.Scope(), Setting: set.ID})
	}
	return e, nil
}

// String says where a reply goes.
func (d Delivery) String() string {
	if d.Hardware != nil {
		return fmt.Sprintf("%s in a frame to %s, as it has no address yet", d.To, d.Hardware)
	}
	return d.To.String()
}

// origins say what an option of an answer comes from; the others are builtin.
var origins = map[uint8]string{
	1: "subnet", 3: "subnet", 6: "subnet", 26: "subnet", 28: "subnet", 42: "subnet", 12: "machine", 15: "site", optionSearch: "subnet", optionRoutes: "subnet",
	optionVendorClass: "boot", optionTFTPName: "boot", optionFileName: "boot", optionIPXE: "boot", 61: "client", pxeClientUUID: "client", optionRelay: "relay",
}

// optionsOf lists the options of an answer by number.
func optionsOf(o dhcpv4.Options) (list []sprout.DHCPOption) {
	for _, code := range slices.Sorted(maps.Keys(o)) {
		list = append(list, sprout.DHCPOption{
			Code: int(code), Name: dhcp.OptionName(4, int(code)), Value: dhcp.OptionValue(4, int(code), o[code]), From: cmp.Or(origins[code], "builtin"),
		})
	}
	return list
}

// subnet finds one that somebody asks about.
func (s *Server) subnet(id sprout.SubnetID) (sprout.Subnet, error) {
	for _, sub := range s.config.Ledger.Subnets() {
		if (sub.ID == id || sub.CIDR.String() == string(id)) && sub.CIDR.Addr().Is4() {
			return sub, nil
		}
	}
	return sprout.Subnet{}, sprout.Errorf(sprout.NotFound, "cannot explain subnet %s: this site has no such IPv4 subnet", id)
}

// bootFileOf is the name or URL of a reply.
func bootFileOf(p *dhcpv4.DHCPv4) string {
	if p.BootFileName != "" {
		return p.BootFileName
	}
	return string(p.Options[optionFileName])
}
