package netconfig

import (
	"fmt"
	"net/netip"

	"sprout"
	"sprout/ipam"
)

func (p *plan) checkAddresses() error {
	ports := map[string]string{} // MAC and subnet: the interface that has an address of it
	ips := map[netip.Addr]bool{}
	for _, l := range p.links {
		for i, a := range l.Addresses {
			field := fmt.Sprintf("%s.addresses[%d].", l.at, i)
			w, err := p.wanted(field, a)
			if err != nil {
				return err
			}
			if w.sub.CIDR.Addr().Is4() && l.DHCP4 || !w.sub.CIDR.Addr().Is4() && l.DHCP6 {
				return sprout.InvalidField(field+"subnet", "%s asks for such an address by DHCP: leave out one of the two", l.Name)
			}
			key := l.base().MAC + " " + string(w.sub.ID)
			if other := ports[key]; other != "" {
				return sprout.InvalidField(field+"subnet", "%s has an address of %s by the same port already: a port has one of each subnet", other, w.sub.CIDR)
			}
			if ips[w.ip] {
				return sprout.InvalidField(field+"ip", "%s is there twice", w.ip)
			}
			ports[key], ips[w.ip] = l.Name, w.ip.IsValid()
			l.wants = append(l.wants, w)
		}
	}
	return nil
}

// wanted finds the subnet of an address, and says whether the machine may have it.
func (p *plan) wanted(field string, a sprout.StaticAddress) (w want, err error) {
	if w, err = p.subnet(field+"subnet", a.Subnet); err != nil || a.IP == "" {
		return w, err
	}
	if w.ip, err = netip.ParseAddr(a.IP); err != nil || w.ip.Zone() != "" {
		return w, sprout.InvalidField(field+"ip", "%q is no IP address", a.IP)
	}
	if err := ipam.Fits(w.sub, w.ip); err != nil {
		return w, sprout.InvalidField(field+"ip", "%s", err.Error())
	}
	for _, h := range p.model.Held {
		if h.IP == w.ip && h.VRF == w.sub.VRF && h.Machine != p.model.Machine.ID {
			e := sprout.Errorf(sprout.Conflict, "%s is taken: %s", w.ip, holder(h))
			e.Field = field + "ip"
			return w, e.WithRemedy("sprout address show %s", w.ip)
		}
	}
	return w, nil
}

func holder(a sprout.Address) string {
	words := "it is given out as " + a.Kind
	if a.Name != "" {
		words += " to " + a.Name
	}
	return words
}

// subnet finds a subnet of the site by id or prefix, or by the name of a network
// that has just one.
func (p *plan) subnet(field, ref string) (w want, err error) {
	var found []want
	for _, n := range p.model.Networks {
		for _, s := range n.Subnets {
			if ref == string(s.ID) || ref == s.CIDR.String() || ref == n.Name || ref == string(n.ID) {
				found = append(found, want{net: n, sub: s})
			}
		}
	}
	site := p.model.Machine.SiteName
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return w, sprout.InvalidField(field, "site %s, where machine %s is, has no subnet %q", site, p.model.Machine.Name, ref).WithRemedy("sprout subnet list --site %s", site)
	}
	return w, sprout.InvalidField(field, "%q is %s or %s: name it by prefix or id", ref, say(found[0].sub), say(found[1].sub))
}

func say(s sprout.Subnet) string { return fmt.Sprintf("%s (%s)", s.CIDR, s.ID) }

func (p *plan) checkSegments() error {
	var first *want
	for _, l := range p.links {
		for i := range l.wants {
			w, field := &l.wants[i], fmt.Sprintf("%s.addresses[%d].subnet", l.at, i)
			if l.VLAN != nil {
				if n, _ := p.tagged(l.VLAN.ID); n.ID != w.net.ID {
					return sprout.InvalidField(field, "%s is VLAN %d, which is network %s: %s is of network %s", l.Name, l.VLAN.ID, n.Name, w.sub.CIDR, w.net.Name)
				}
			}
			if w.net.ID != l.wants[0].net.ID {
				return sprout.InvalidField(field, "%s is of network %s, but %s is in network %s by its first address", w.sub.CIDR, w.net.Name, l.Name, l.wants[0].net.Name)
			}
			if first == nil {
				first = w
			}
			if w.sub.VRF != first.sub.VRF {
				return sprout.InvalidField(field, "%s is in %s, but %s is in %s: an installed system has one routing table", w.sub.CIDR, vrf(w.sub), first.sub.CIDR, vrf(first.sub))
			}
		}
	}
	return nil
}

func vrf(s sprout.Subnet) string {
	if s.VRF == "" {
		return "the usual VRF"
	}
	return "VRF " + s.VRF
}

// families are the two, as they are told by Addr.Is4.
var families = []struct {
	is4  bool
	name string
	dhcp func(sprout.InterfaceConfig) bool
}{
	{true, "IPv4", func(f sprout.InterfaceConfig) bool { return f.DHCP4 }},
	{false, "IPv6", func(f sprout.InterfaceConfig) bool { return f.DHCP6 }},
}

func (p *plan) checkGateways() error {
	for _, family := range families {
		by := ""
		for _, l := range p.links {
			for i, a := range l.Addresses {
				w, field := l.wants[i], fmt.Sprintf("%s.addresses[%d].gateway", l.at, i)
				switch {
				case !a.Gateway || w.sub.CIDR.Addr().Is4() != family.is4:
				case !w.sub.Gateway.IsValid():
					return sprout.InvalidField(field, "%s has no gateway", w.sub.CIDR).WithRemedy("sprout subnet update %s --gateway ADDRESS", w.sub.CIDR)
				case by != "":
					return sprout.InvalidField(field, "%s has the default route of %s already: a family has one", by, family.name)
				default:
					by = l.Name
				}
			}
		}
		for _, l := range p.links {
			if by != "" && family.dhcp(l.InterfaceConfig) {
				return sprout.InvalidField(l.at, "%s gets a default route of %s by DHCP, and %s has one by gateway: leave gateway out, or give %s a static address", l.Name, family.name, by, l.Name)
			}
		}
	}
	return nil
}

// checkMTUs compares what is said. What is not said follows from it, see mtus.
func (p *plan) checkMTUs() error {
	for _, l := range p.links {
		field := l.at + ".mtu"
		if l.MTU == 0 {
			continue
		}
		least := 576 // RFC 791
		for _, w := range l.wants {
			if l.MTU > w.net.MTU {
				return sprout.InvalidField(field, "%d does not fit into network %s, whose MTU is %d", l.MTU, w.net.Name, w.net.MTU).
					WithRemedy("sprout network update %s --mtu %d", w.net.Name, l.MTU)
			}
			if !w.sub.CIDR.Addr().Is4() {
				least = 1280 // RFC 8200 section 5
			}
		}
		if l.MTU < least {
			return sprout.InvalidField(field, "%d is too small: at least %d", l.MTU, least)
		}
	}
	sizes := mtus(p.kept(), p.subnets())
	for _, l := range p.links {
		for _, u := range l.under() {
			if u.MTU != 0 && sizes[l.Name] > u.MTU {
				return sprout.InvalidField(u.at+".mtu", "%s, with an MTU of %d, lies on %s, which has %d: raise the one or lower the other", l.Name, sizes[l.Name], u.Name, u.MTU)
			}
		}
	}
	return nil
}

// subnets are those that addresses are of.
func (p *plan) subnets() map[sprout.SubnetID]sprout.Subnet {
	all := map[sprout.SubnetID]sprout.Subnet{}
	for _, l := range p.links {
		for _, w := range l.wants {
			all[w.sub.ID] = w.sub
		}
	}
	return all
}

func (p *plan) checkReachable() error {
	for _, l := range p.links {
		if len(l.wants) > 0 || l.DHCP4 || l.DHCP6 {
			return nil
		}
	}
	return sprout.InvalidField("interfaces", "no interface has an address: the installed system could not say that it runs; give one addresses or dhcp4")
}
