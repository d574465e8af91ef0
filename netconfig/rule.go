package netconfig

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"sprout"
)

// rules are what a configuration must meet, in the order in which they are
// asked: each may rely on those before it.
var rules = []struct {
	says  string
	check func(*plan) error
}{
	{"an interface has a name that Linux allows, and no other has it", (*plan).checkNames},
	{"an interface is a port, a bond, a VLAN or a bridge", (*plan).checkKinds},
	{"a port is one of the machine's, and has one name", (*plan).checkPorts},
	{"what an interface lies on exists", (*plan).checkUnder},
	{"a member belongs to one bond or bridge, and has no address or VLAN of its own", (*plan).checkMembers},
	{"nothing lies on itself", (*plan).checkLoops},
	{"a bond's settings are those of its mode", (*plan).checkBonds},
	{"a bridge learns for as long as the standard allows", (*plan).checkBridges},
	{"a VLAN is one of the site's, and once on its parent", (*plan).checkVLANs},
	{"an address is one that a machine of the site may have", (*plan).checkAddresses},
	{"an interface is in one network, and a machine in one VRF", (*plan).checkSegments},
	{"a family has one default route", (*plan).checkGateways},
	{"what lies on an interface fits into its frames", (*plan).checkMTUs},
	{"something has an address", (*plan).checkReachable},
}

// ifName is what Linux takes as the name of an interface (dev_valid_name), but
// for what shells and configuration files stumble over.
var ifName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,14}$`)

func (p *plan) checkNames() error {
	for _, l := range p.links {
		switch {
		case !ifName.MatchString(l.Name) || l.Name == "lo" || l.Name == "all" || l.Name == "default":
			return sprout.InvalidField(l.at+".name", "%q is no name for an interface: at most 15 letters, digits, dots, hyphens and underscores, a letter first", l.Name)
		case p.named[l.Name] != nil:
			return sprout.InvalidField(l.at+".name", "%s is there twice", l.Name)
		}
		p.named[l.Name] = l
	}
	return nil
}

func (p *plan) checkKinds() error {
	for _, l := range p.links {
		n := 0
		for _, is := range []bool{l.Bond != nil, l.VLAN != nil, l.Bridge != nil} {
			if is {
				n++
			}
		}
		switch {
		case n > 1:
			return sprout.InvalidField(l.at, "%s is one of a bond, a VLAN and a bridge: make an interface of each", l.Name)
		case n == 1 && l.MAC != "":
			return sprout.InvalidField(l.at+".mac", "%s has the MAC of what it lies on: leave mac out", l.Name)
		}
	}
	return nil
}

// checkPorts finds the port of each interface that is one, and adds those that
// are only members.
func (p *plan) checkPorts() error {
	for _, l := range p.links {
		if !l.port() {
			continue
		}
		ref, field := l.MAC, l.at+".mac"
		if ref == "" {
			ref, field = l.Name, l.at+".name"
		}
		if err := p.bind(l, ref, field); err != nil {
			return err
		}
	}
	for _, l := range slices.Clone(p.links) {
		names, field := l.memberNames()
		if l.VLAN != nil {
			names, field = []string{l.VLAN.Parent}, l.at+".vlan.parent"
		}
		for _, ref := range names {
			if p.find(ref) != nil {
				continue
			}
			port, ok := p.portOf(ref)
			if !ok {
				return p.unknown(field, ref)
			}
			if port.Name == "" {
				return sprout.InvalidField(field, "%s has no name yet: add it to interfaces with a name and its mac", port.MAC)
			}
			added := &link{InterfaceConfig: sprout.InterfaceConfig{Name: port.Name}, at: field}
			if p.named[port.Name] != nil {
				return sprout.InvalidField(field, "%s would be called %s, as another interface is: add it to interfaces with another name", port.MAC, port.Name)
			}
			if err := p.bind(added, port.MAC, field); err != nil {
				return err
			}
			p.links, p.named[port.Name] = append(p.links, added), added
		}
	}
	return nil
}

// bind makes the link the port that ref names.
func (p *plan) bind(l *link, ref, field string) error {
	port, ok := p.portOf(ref)
	if !ok {
		return p.unknown(field, ref)
	}
	for _, o := range p.links {
		if o == l {
			break // those after it are told themselves
		}
		if o.port() && strings.EqualFold(o.MAC, port.MAC) {
			return sprout.InvalidField(field, "%s is the port %s already", port.MAC, o.Name)
		}
	}
	l.MAC = strings.ToLower(port.MAC)
	return nil
}

func (p *plan) unknown(field, ref string) error {
	words := "has no interface %s: it has %s"
	if _, err := net.ParseMAC(ref); err == nil {
		words = "has no port with the MAC %s: it has %s"
	}
	m := p.model.Machine
	return sprout.InvalidField(field, "machine %s "+words, m.Name, ref, p.portsInWords()).WithRemedy("sprout machine show %s", m.Name)
}

func (p *plan) checkUnder() error {
	for _, l := range p.links {
		names, field := l.memberNames()
		if (l.Bond != nil || l.Bridge != nil) && len(names) == 0 {
			return sprout.InvalidField(field, "%s needs at least one member", l.Name)
		}
		for _, ref := range names {
			l.members = append(l.members, p.find(ref))
		}
		if l.VLAN != nil {
			l.parent = p.find(l.VLAN.Parent)
			v := *l.VLAN
			v.Parent, l.VLAN = l.parent.Name, &v
		}
	}
	return nil
}

func (p *plan) checkMembers() error {
	for _, l := range p.links {
		_, field := l.memberNames()
		for i, m := range l.members {
			at := fmt.Sprintf("%s[%d]", field, i)
			switch {
			case m.master == l:
				return sprout.InvalidField(at, "%s is a member of %s twice", m.Name, l.Name)
			case m.master != nil:
				return sprout.InvalidField(at, "%s is a member of %s already: an interface can be in one bond or bridge", m.Name, m.master.Name)
			case l.Bond != nil && !m.port():
				return sprout.InvalidField(at, "%s is no port of the machine: a bond is made of ports", m.Name)
			case m.Bridge != nil:
				return sprout.InvalidField(at, "%s is a bridge: a bridge cannot be a member", m.Name)
			case len(m.Addresses) > 0 || m.DHCP4 || m.DHCP6:
				return sprout.InvalidField(at, "%s has an address of its own: give it to %s", m.Name, l.Name)
			}
			m.master = l
		}
	}
	for _, l := range p.links {
		if l.parent != nil && l.parent.master != nil {
			return sprout.InvalidField(l.at+".vlan.parent", "%s is a member of %s: make the VLAN one of %s", l.parent.Name, l.parent.master.Name, l.parent.master.Name)
		}
	}
	return nil
}

// checkLoops follows what each interface lies on, down to ports.
func (p *plan) checkLoops() error {
	done := map[*link]bool{}
	var walk func(l *link, above []*link) error
	walk = func(l *link, above []*link) error {
		if slices.Contains(above, l) {
			return sprout.InvalidField(l.at, "%s lies on itself: %s", l.Name, chain(append(above, l)))
		}
		if done[l] {
			return nil
		}
		for _, u := range l.under() {
			if err := walk(u, append(above, l)); err != nil {
				return err
			}
		}
		done[l] = true
		return nil
	}
	for _, l := range p.links {
		if err := walk(l, nil); err != nil {
			return err
		}
	}
	return nil
}

func chain(links []*link) string {
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	return strings.Join(names, " on ")
}
