package netconfig

import (
	"fmt"
	"slices"
	"strings"

	"sprout"
)

// modes are the modes of a bond, and which settings each has (Linux,
// Documentation/networking/bonding.rst).
var modes = map[string]struct{ lacp, hash, primary bool }{
	"balance-rr":    {},
	"active-backup": {primary: true},
	"balance-xor":   {hash: true},
	"broadcast":     {},
	"802.3ad":       {lacp: true, hash: true},
	"balance-tlb":   {hash: true, primary: true},
	"balance-alb":   {primary: true},
}

// defaultMode needs nothing of the switch.
const defaultMode = "active-backup"

func (p *plan) checkBonds() error {
	for _, l := range p.links {
		if l.Bond == nil {
			continue
		}
		b := *l.Bond
		if b.Mode == "" {
			b.Mode = defaultMode
		}
		mode, ok := modes[b.Mode]
		field := l.at + ".bond."
		switch {
		case !ok:
			return sprout.InvalidField(field+"mode", "%q is no mode of a bond", b.Mode)
		case b.LACPRate != "" && !mode.lacp:
			return sprout.InvalidField(field+"lacpRate", "a bond of mode %s has no lacpRate: 802.3ad has", b.Mode)
		case b.XmitHashPolicy != "" && !mode.hash:
			return sprout.InvalidField(field+"xmitHashPolicy", "a bond of mode %s has no xmitHashPolicy: 802.3ad, balance-xor and balance-tlb have", b.Mode)
		case b.Primary != "" && !mode.primary:
			return sprout.InvalidField(field+"primary", "a bond of mode %s has no primary: active-backup, balance-tlb and balance-alb have", b.Mode)
		case b.Primary != "" && !slices.Contains(l.members, p.find(b.Primary)):
			return sprout.InvalidField(field+"primary", "%s is no member of %s", b.Primary, l.Name)
		}
		l.Bond = &b
	}
	return nil
}

func (p *plan) checkBridges() error {
	for _, l := range p.links {
		if l.Bridge == nil {
			continue
		}
		switch b := *l.Bridge; {
		case b.STP && b.ForwardDelay != 0 && b.ForwardDelay < 2:
			return sprout.InvalidField(l.at+".bridge.forwardDelay", "with stp a port waits 2 to 30 seconds")
		case !b.STP && b.ForwardDelay != 0:
			return sprout.InvalidField(l.at+".bridge.forwardDelay", "without stp a port does not wait: leave forwardDelay out, or set stp")
		}
	}
	return nil
}

func (p *plan) checkVLANs() error {
	seen := map[string]string{}
	for _, l := range p.links {
		if l.VLAN == nil {
			continue
		}
		field := l.at + ".vlan.id"
		if _, ok := p.tagged(l.VLAN.ID); !ok {
			return sprout.InvalidField(field, "site %s has no network with VLAN %d%s", p.model.Machine.SiteName, l.VLAN.ID, p.vlansInWords()).
				WithRemedy("sprout network create NAME --site %s --vlan %d --cidr PREFIX", p.model.Machine.SiteName, l.VLAN.ID)
		}
		if l.parent.VLAN != nil {
			return sprout.InvalidField(l.at+".vlan.parent", "%s is a VLAN itself: make both VLANs of %s", l.parent.Name, l.parent.parent.Name)
		}
		key := fmt.Sprint(l.parent.Name, " ", l.VLAN.ID)
		if other := seen[key]; other != "" {
			return sprout.InvalidField(field, "%s is VLAN %d of %s already", other, l.VLAN.ID, l.parent.Name)
		}
		seen[key] = l.Name
	}
	return nil
}

// tagged finds the network of a VLAN.
func (p *plan) tagged(id int) (sprout.Network, bool) {
	for _, n := range p.model.Networks {
		if n.VLAN == id {
			return n, true
		}
	}
	return sprout.Network{}, false
}

func (p *plan) vlansInWords() string {
	var all []string
	for _, n := range p.model.Networks {
		if n.VLAN != 0 {
			all = append(all, fmt.Sprintf("%d (%s)", n.VLAN, n.Name))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return ": it has " + strings.Join(all, ", ")
}
