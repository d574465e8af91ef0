package builtin

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"

	"sprout"
)

// Check says whether a network may be added to those that the site has: nil,
// or an error that names the field. Invalid: n is wrong in itself. Conflict: it
// is not, but the site has something there already.
func Check(existing []sprout.Network, n sprout.Network) error {
	if err := checkMTU("mtu", n.MTU); err != nil {
		return err
	}
	if n.VLAN < 0 || n.VLAN > 4094 {
		return sprout.InvalidField("vlan", "must be 0 (untagged) to 4094, not %d", n.VLAN)
	}
	for _, e := range existing {
		if e.ID == n.ID && n.ID != "" {
			continue // it is n as it was
		}
		if e.Name == n.Name {
			return conflict("name", "the site has a network %q already", n.Name)
		}
		if n.VLAN != 0 && e.VLAN == n.VLAN {
			return conflict("vlan", "VLAN %d is the network %s of the site", n.VLAN, e.Name)
		}
	}
	for i, sub := range n.Subnets {
		if err := CheckSubnet(fmt.Sprintf("subnets[%d].", i), existing, n, n.Subnets[:i], sub); err != nil {
			return err
		}
	}
	return nil
}

// CheckSubnet says whether a subnet of the network n may be as it is, beside
// others of n and those of the site's other networks. Fields have the prefix.
func CheckSubnet(prefix string, existing []sprout.Network, n sprout.Network, others []sprout.Subnet, sub sprout.Subnet) error {
	if err := CheckCIDR(prefix+"cidr", sub.CIDR); err != nil {
		return err
	}
	for _, check := range []func(string, sprout.Network, sprout.Subnet) error{checkMTUs, checkGateway, checkServers, checkNames, checkRoutes, checkAdvertise, checkDHCP} {
		if err := check(prefix, n, sub); err != nil {
			return err
		}
	}
	for i, r := range sub.Ranges {
		if err := CheckRange(fmt.Sprintf("%sranges[%d]", prefix, i), sub, sub.Ranges[:i], nil, r); err != nil {
			return err
		}
	}
	return checkOverlap(prefix, existing, n, others, sub)
}

// MTUs that Sprout takes, and the least that IPv6 works with (RFC 8200 section 5).
const (
	leastMTU, mostMTU = 576, 9216
	leastMTU6         = 1280
)

func checkMTU(field string, mtu int) error {
	if mtu != 0 && (mtu < leastMTU || mtu > mostMTU) {
		return sprout.InvalidField(field, "must be %d to %d, not %d", leastMTU, mostMTU, mtu)
	}
	return nil
}

func checkMTUs(prefix string, n sprout.Network, sub sprout.Subnet) error {
	if err := checkMTU(prefix+"mtu", sub.MTU); err != nil {
		return err
	}
	of, field := cmp.Or(n.MTU, 1500), "mtu"
	if sub.MTU > of {
		return sprout.InvalidField(prefix+"mtu", "%d is more than its network carries, %d", sub.MTU, of)
	}
	if sub.MTU != 0 {
		of, field = sub.MTU, prefix+"mtu"
	}
	if sub.CIDR.Addr().Is6() && of < leastMTU6 {
		return sprout.InvalidField(field, "must be at least %d where there is IPv6 (%s), not %d", leastMTU6, sub.CIDR, of)
	}
	return nil
}

func checkGateway(prefix string, _ sprout.Network, sub sprout.Subnet) error {
	if !sub.Gateway.IsValid() || sub.Gateway.Is6() && sub.CIDR.Addr().Is6() && sub.Gateway.IsLinkLocalUnicast() {
		return nil
	}
	return hostOf(prefix+"gateway", sub.CIDR, sub.Gateway)
}

func checkServers(prefix string, _ sprout.Network, sub sprout.Subnet) error {
	for _, list := range []struct {
		field   string
		servers []netip.Addr
	}{{"dns", sub.DNS}, {"ntp", sub.NTP}} {
		for _, ip := range list.servers {
			if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() {
				return sprout.InvalidField(prefix+list.field, "%s is the address of no server", ip)
			}
		}
	}
	return nil
}

var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// mostSearch is how many domains resolvers take (resolv.conf of old systems).
const mostSearch = 6

func checkNames(prefix string, _ sprout.Network, sub sprout.Subnet) error {
	if sub.Domain != "" && (len(sub.Domain) > 253 || !domain.MatchString(sub.Domain)) {
		return sprout.InvalidField(prefix+"domain", "%q is no domain such as lon1.example", sub.Domain)
	}
	if len(sub.Search) > mostSearch {
		return sprout.InvalidField(prefix+"search", "at most %d domains are looked through, not %d", mostSearch, len(sub.Search))
	}
	for _, name := range sub.Search {
		if len(name) > 253 || !domain.MatchString(name) {
			return sprout.InvalidField(prefix+"search", "%q is no domain such as lon1.example", name)
		}
	}
	return nil
}

func checkRoutes(prefix string, _ sprout.Network, sub sprout.Subnet) error {
	for i, r := range sub.Routes {
		field := fmt.Sprintf("%sroutes[%d]", prefix, i)
		switch {
		case !r.To.IsValid():
			return sprout.InvalidField(field+".to", "must be a prefix such as 10.30.0.0/16")
		case r.To != r.To.Masked():
			return sprout.InvalidField(field+".to", "%s has host bits set: the prefix is %s", r.To, r.To.Masked())
		case r.To.Addr().Is4() != sub.CIDR.Addr().Is4():
			return sprout.InvalidField(field+".to", "%s is of another family than %s", r.To, sub.CIDR)
		case r.Metric < 0:
			return sprout.InvalidField(field+".metric", "must not be negative")
		case r.Via.Is6() && r.Via.IsLinkLocalUnicast():
			continue
		}
		if err := hostOf(field+".via", sub.CIDR, r.Via); err != nil {
			return err
		}
		for _, o := range sub.Routes[:i] {
			if o.To == r.To && o.Metric == r.Metric {
				return sprout.InvalidField(field+".to", "there are two routes to %s of the same metric", r.To)
			}
		}
	}
	return nil
}

func checkAdvertise(prefix string, _ sprout.Network, sub sprout.Subnet) error {
	field := prefix + "advertise"
	switch sub.Advertise {
	case "":
		return nil
	case sprout.NoAdvertisement, sprout.SLAAC, sprout.Stateless, sprout.Managed:
	default:
		return sprout.InvalidField(field, "must be one of none, slaac, stateless, managed, not %q", sub.Advertise)
	}
	if sub.CIDR.Addr().Is4() {
		return sprout.InvalidField(field, "%s is IPv4: routers advertise IPv6", sub.CIDR)
	}
	if sub.CIDR.Bits() != 64 && (sub.Advertise == sprout.SLAAC || sub.Advertise == sprout.Stateless) {
		return sprout.InvalidField(field, "hosts make their own addresses in a prefix of 64 bits only, not in %s", sub.CIDR)
	}
	return nil
}

func checkDHCP(prefix string, _ sprout.Network, sub sprout.Subnet) error {
	switch sub.DHCP {
	case "", sprout.DHCPServer, sprout.DHCPOff:
	case sprout.DHCPProxy:
		if sub.CIDR.Addr().Is6() {
			return sprout.InvalidField(prefix+"dhcp", "%s is IPv6: there is no proxy of DHCPv6", sub.CIDR)
		}
	default:
		return sprout.InvalidField(prefix+"dhcp", "must be one of server, proxy, off, not %q", sub.DHCP)
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

// checkOverlap looks for the same addresses elsewhere in the VRF.
func checkOverlap(prefix string, existing []sprout.Network, n sprout.Network, others []sprout.Subnet, sub sprout.Subnet) error {
	for _, o := range others {
		if (sub.ID == "" || o.ID != sub.ID) && o.CIDR.Overlaps(sub.CIDR) {
			return sprout.InvalidField(prefix+"cidr", "%s overlaps %s of the same network", sub.CIDR, o.CIDR)
		}
	}
	for _, e := range existing {
		if e.VRF != n.VRF || e.ID == n.ID && n.ID != "" {
			continue
		}
		for _, o := range e.Subnets {
			if o.CIDR.Overlaps(sub.CIDR) {
				return conflict(prefix+"cidr", "%s overlaps %s of the network %s of the site", sub.CIDR, o.CIDR, e.Name)
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
