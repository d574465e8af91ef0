package builtin

import (
	"fmt"
	"net/netip"

	"sprout"
)

// Check says whether a network may be added to those that the site has: nil,
// or an error that names the field. Invalid: n is wrong in itself. Conflict: it
// is not, but the site has something there already.
func Check(existing []sprout.Network, n sprout.Network) error {
	if n.MTU != 0 && (n.MTU < 576 || n.MTU > 9216) {
		return sprout.InvalidField("mtu", "must be 576 to 9216, not %d", n.MTU)
	}
	if n.VLAN < 0 || n.VLAN > 4094 {
		return sprout.InvalidField("vlan", "must be 0 (untagged) to 4094, not %d", n.VLAN)
	}
	for _, e := range existing {
		if e.Name == n.Name {
			return conflict("name", "the site has a network %q already", n.Name)
		}
		if n.VLAN != 0 && e.VLAN == n.VLAN {
			return conflict("vlan", "VLAN %d is the network %s of the site", n.VLAN, e.Name)
		}
	}
	for i, sub := range n.Subnets {
		field := fmt.Sprintf("subnets[%d]", i)
		if err := checkSubnet(field, sub); err != nil {
			return err
		}
		if err := checkOverlap(field, existing, n.Subnets[:i], sub.CIDR); err != nil {
			return err
		}
	}
	return nil
}

// checkSubnet looks at one subnet by itself.
func checkSubnet(field string, sub sprout.Subnet) error {
	if err := CheckCIDR(field+".cidr", sub.CIDR); err != nil {
		return err
	}
	if sub.MTU != 0 && (sub.MTU < 576 || sub.MTU > 9216) {
		return sprout.InvalidField(field+".mtu", "must be 576 to 9216, not %d", sub.MTU)
	}
	if sub.Gateway.IsValid() {
		if err := hostOf(field+".gateway", sub.CIDR, sub.Gateway); err != nil {
			return err
		}
	}
	for i, r := range sub.Ranges {
		if err := CheckRange(fmt.Sprintf("%s.ranges[%d]", field, i), sub, sub.Ranges[:i], nil, r); err != nil {
			return err
		}
	}
	return nil
}

// CheckCIDR wants a prefix without host bits.
func CheckCIDR(field string, p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return sprout.InvalidField(field, "must be a prefix such as 10.20.0.0/24")
	case p != p.Masked():
		return sprout.InvalidField(field, "%s has host bits set: the prefix is %s", p, p.Masked())
	case p.Bits() == 0:
		return sprout.InvalidField(field, "%s is everything: no subnet is that large", p)
	case p.Addr().IsMulticast(): // loopback is allowed: the networks of simulated machines are there
		return sprout.InvalidField(field, "%s is not for hosts", p)
	}
	return nil
}

// CheckRange wants a range in the subnet, apart from its others and from the
// addresses in use.
func CheckRange(field string, sub sprout.Subnet, others []sprout.Range, used []sprout.Address, r sprout.Range) error {
	if r.Kind != sprout.Dynamic && r.Kind != sprout.ReservedRange {
		return sprout.InvalidField(field+".kind", "must be %s or %s, not %q", sprout.Dynamic, sprout.ReservedRange, r.Kind)
	}
	if err := inSubnet(field+".first", sub.CIDR, r.First); err != nil {
		return err
	}
	if err := inSubnet(field+".last", sub.CIDR, r.Last); err != nil {
		return err
	}
	if r.Last.Less(r.First) {
		return sprout.InvalidField(field+".last", "%s is before the first, %s", r.Last, r.First)
	}
	if r.Kind == sprout.Dynamic {
		if err := leasable(field, sub, r); err != nil {
			return err
		}
	}
	for _, o := range others {
		if !r.Last.Less(o.First) && !o.Last.Less(r.First) {
			return conflict(field, "%s-%s overlaps the %s range %s-%s", r.First, r.Last, o.Kind, o.First, o.Last)
		}
	}
	for _, a := range used {
		if r.Contains(a.IP) {
			return conflict(field, "%s-%s lies over %s, which is in use by %s", r.First, r.Last, a.IP, holder(a))
		}
	}
	return nil
}

// leasable wants a dynamic range of addresses that clients can have.
func leasable(field string, sub sprout.Subnet, r sprout.Range) error {
	if sub.Gateway.IsValid() && r.Contains(sub.Gateway) {
		return sprout.InvalidField(field, "%s-%s holds the gateway %s, which cannot be leased", r.First, r.Last, sub.Gateway)
	}
	if err := hostOf(field+".first", sub.CIDR, r.First); err != nil {
		return err
	}
	return hostOf(field+".last", sub.CIDR, r.Last)
}

func inSubnet(field string, p netip.Prefix, ip netip.Addr) error {
	if !ip.IsValid() {
		return sprout.InvalidField(field, "must be an address in %s", p)
	}
	if !p.Contains(ip) {
		return sprout.InvalidField(field, "%s is outside the subnet %s", ip, p)
	}
	return nil
}

// hostOf wants an address of the subnet that a host may have (RFC 3021 for
// prefixes of 31 bits).
func hostOf(field string, p netip.Prefix, ip netip.Addr) error {
	if err := inSubnet(field, p, ip); err != nil {
		return err
	}
	if ip.BitLen()-p.Bits() <= 1 || ip.Is6() {
		return nil
	}
	if ip == p.Addr() || !p.Contains(ip.Next()) {
		return sprout.InvalidField(field, "%s is the network or broadcast address of %s", ip, p)
	}
	return nil
}

func checkOverlap(field string, existing []sprout.Network, before []sprout.Subnet, p netip.Prefix) error {
	for _, sub := range before {
		if sub.CIDR.Overlaps(p) {
			return sprout.InvalidField(field+".cidr", "%s overlaps %s of the same network", p, sub.CIDR)
		}
	}
	for _, n := range existing {
		for _, sub := range n.Subnets {
			if sub.CIDR.Overlaps(p) {
				return conflict(field+".cidr", "%s overlaps %s of the network %s of the site", p, sub.CIDR, n.Name)
			}
		}
	}
	return nil
}

func holder(a sprout.Address) string {
	for _, name := range []string{a.Name, string(a.Machine)} {
		if name != "" {
			return name
		}
	}
	return a.Kind
}

func conflict(field, format string, args ...any) error {
	e := sprout.Errorf(sprout.Conflict, format, args...)
	e.Field = field
	return e
}
