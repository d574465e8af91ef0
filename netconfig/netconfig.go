// Package netconfig decides how the system that is installed on a machine
// configures its network: it holds what an operator asks for against the model
// of the site, says which addresses that needs, and writes cloud-init's
// network-config. It must not know who stores a configuration, or who gives out
// addresses.
package netconfig

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sprout"
)

// A Model is what a configuration is held against.
type Model struct {
	Machine  sprout.Machine   // its interfaces and the name of its site
	Networks []sprout.Network // of its site
	Held     []sprout.Address // that are given out at the site, of those that are asked for by themselves
}

// Check holds a configuration against the model, and returns it as it is kept:
// ports with their MACs, members by name, and subnets by id. Its errors are
// Invalid, of the field that has to change, or Conflict for an address that
// somebody else has.
func Check(c sprout.NetworkConfig, m Model) (sprout.NetworkConfig, error) {
	p := &plan{model: m, named: map[string]*link{}}
	for i, f := range c.Interfaces {
		p.links = append(p.links, &link{InterfaceConfig: f, at: fmt.Sprintf("interfaces[%d]", i)})
	}
	for _, r := range rules {
		if err := r.check(p); err != nil {
			return c, err
		}
	}
	return p.kept(), nil
}

// A plan is a configuration as far as the rules have understood it.
type plan struct {
	model Model
	links []*link
	named map[string]*link
}

// A link is one interface of a plan.
type link struct {
	sprout.InterfaceConfig
	at      string  // its field, for errors
	members []*link // of a bond or a bridge
	parent  *link   // of a VLAN
	master  *link   // the bond or bridge that it is a member of
	wants   []want
}

// A want is one static address, understood.
type want struct {
	net sprout.Network
	sub sprout.Subnet
	ip  netip.Addr // zero: any
}

func (l *link) port() bool { return l.Bond == nil && l.VLAN == nil && l.Bridge == nil }

// under lists what the link lies on.
func (l *link) under() []*link {
	if l.parent != nil {
		return []*link{l.parent}
	}
	return l.members
}

// base is the port whose MAC the link has.
func (l *link) base() *link {
	for !l.port() {
		l = l.under()[0]
	}
	return l
}

// memberNames are the members as they were written, and the field of the list.
func (l *link) memberNames() (names []string, field string) {
	switch {
	case l.Bond != nil:
		return l.Bond.Members, l.at + ".bond.members"
	case l.Bridge != nil:
		return l.Bridge.Members, l.at + ".bridge.members"
	}
	return nil, ""
}

// kept writes the plan down. What it was made from is left as it was.
func (p *plan) kept() (c sprout.NetworkConfig) {
	for _, l := range p.links {
		f := l.InterfaceConfig
		var members []string
		for _, m := range l.members {
			members = append(members, m.Name)
		}
		if f.Bond != nil {
			b := *f.Bond
			if b.Primary != "" {
				b.Primary = p.find(b.Primary).Name
			}
			b.Members, f.Bond = members, &b
		}
		if f.Bridge != nil {
			b := *f.Bridge
			b.Members, f.Bridge = members, &b
		}
		f.Addresses = slices.Clone(f.Addresses)
		for i, w := range l.wants {
			f.Addresses[i].Subnet = string(w.sub.ID)
			if w.ip.IsValid() {
				f.Addresses[i].IP = w.ip.String()
			}
		}
		c.Interfaces = append(c.Interfaces, f)
	}
	return c
}

// find finds a link by its name, or a port by its MAC.
func (p *plan) find(ref string) *link {
	if l := p.named[ref]; l != nil {
		return l
	}
	for _, l := range p.links {
		if l.port() && strings.EqualFold(l.MAC, ref) {
			return l
		}
	}
	return nil
}

// portOf finds a port of the machine by MAC or by name.
func (p *plan) portOf(ref string) (sprout.Interface, bool) {
	for _, i := range p.model.Machine.Interfaces {
		if ref != "" && (strings.EqualFold(i.MAC, ref) || i.Name == ref) {
			return i, true
		}
	}
	return sprout.Interface{}, false
}

// portsInWords lists the ports of the machine.
func (p *plan) portsInWords() string {
	var all []string
	for _, i := range p.model.Machine.Interfaces {
		all = append(all, strings.TrimSpace(i.Name+" "+i.MAC))
	}
	if len(all) == 0 {
		return "no ports"
	}
	return strings.Join(all, ", ")
}

// A Want is one address that a configuration needs.
type Want struct {
	Interface string
	Subnet    sprout.SubnetID
	MAC       string     // of the port that the interface has its own from
	IP        netip.Addr // zero: any that is free
}

// Wanted lists the addresses that a kept configuration needs, in order.
func Wanted(c sprout.NetworkConfig) []Want {
	var all []Want
	for _, f := range c.Interfaces {
		for _, a := range f.Addresses {
			ip, _ := netip.ParseAddr(a.IP) // empty: none
			all = append(all, Want{Interface: f.Name, Subnet: sprout.SubnetID(a.Subnet), MAC: macOf(c, f), IP: ip})
		}
	}
	return all
}

// macOf is the MAC of an interface of a kept configuration.
func macOf(c sprout.NetworkConfig, f sprout.InterfaceConfig) string {
	for range c.Interfaces { // nothing lies deeper than there are interfaces
		on := ""
		switch {
		case f.Bond != nil:
			on = f.Bond.Members[0]
		case f.Bridge != nil:
			on = f.Bridge.Members[0]
		case f.VLAN != nil:
			on = f.VLAN.Parent
		default:
			return f.MAC
		}
		if i := slices.IndexFunc(c.Interfaces, func(o sprout.InterfaceConfig) bool { return o.Name == on }); i >= 0 {
			f = c.Interfaces[i]
		}
	}
	return f.MAC
}

// Names gives each address that is wanted the name that is published for it;
// is4 tells their families. host, fully qualified, goes to the first of each
// family, and the interface's name, a dot and host to the first of each family on
// any other. The rest has none.
func Names(host string, wants []Want, is4 []bool) []string {
	type key struct {
		name string
		is4  bool
	}
	names, taken := make([]string, len(wants)), map[key]bool{}
	for i, w := range wants {
		for _, name := range []string{host, label(w.Interface) + "." + host} {
			if k := (key{name, is4[i]}); !taken[k] {
				names[i], taken[k] = name, true
				break
			}
		}
	}
	return names
}

// label makes a DNS label of an interface's name.
func label(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r == '.' || r == '_' {
			return '-'
		}
		return r
	}, strings.ToLower(name)), "-")
}
