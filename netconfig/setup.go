package netconfig

import (
	"net/netip"
	"slices"

	"sprout"
)

// Surroundings are what a setup takes from the site.
type Surroundings struct {
	Subnets  map[sprout.SubnetID]sprout.Subnet // at least those of the configuration
	Resolver netip.Addr                        // name server where a subnet names none; zero: none
	Domain   string                            // of the site
}

// Setup is a kept configuration with the addresses that were given for what it
// wants, in that order. What an interface lies on comes before it.
func Setup(c sprout.NetworkConfig, given []sprout.Address, around Surroundings) []sprout.LinkSetup {
	sizes, by := mtus(c, around.Subnets), defaults(c, around.Subnets)
	links := make([]sprout.LinkSetup, len(c.Interfaces))
	n := 0
	for i, f := range c.Interfaces {
		l := sprout.LinkSetup{Name: f.Name, MAC: macOf(c, f), DHCP4: f.DHCP4, DHCP6: f.DHCP6, MTU: sizes[f.Name], Bond: f.Bond, VLAN: f.VLAN, Bridge: f.Bridge}
		for range f.Addresses {
			sub := around.Subnets[given[n].Subnet]
			l.Addresses = append(l.Addresses, netip.PrefixFrom(given[n].IP, sub.CIDR.Bits()))
			if by[sub.CIDR.Addr().Is4()] == n {
				l.Routes = append(l.Routes, Default(sub.Gateway))
			}
			l.Routes = append(l.Routes, sub.Routes...)
			l.DNS = union(l.DNS, servers(sub, around.Resolver))
			l.Search = union(l.Search, domains(sub, around.Domain))
			l.NTP = union(l.NTP, sub.NTP)
			n++
		}
		links[i] = l
	}
	return ordered(links)
}

// Default is the route to everything else. It is written as a prefix: cloud-init
// (22.4, net/network_state.py) does not take "default".
func Default(gateway netip.Addr) sprout.Route {
	if gateway.Is4() {
		return sprout.Route{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: gateway}
	}
	return sprout.Route{To: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Via: gateway}
}

func servers(s sprout.Subnet, resolver netip.Addr) []netip.Addr {
	if len(s.DNS) == 0 && resolver.IsValid() && resolver.Is4() == s.CIDR.Addr().Is4() {
		return []netip.Addr{resolver}
	}
	return s.DNS
}

func domains(s sprout.Subnet, site string) []string {
	switch {
	case len(s.Search) > 0:
		return s.Search
	case s.Domain != "":
		return []string{s.Domain}
	case site != "":
		return []string{site}
	}
	return nil
}

func union[T comparable](all, more []T) []T {
	for _, v := range more {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// defaults says by which address, counted over the whole configuration, the
// default route of a family goes; -1: by none. One that says so has it, else the
// first whose subnet has a gateway; where an interface uses DHCP, that brings it.
func defaults(c sprout.NetworkConfig, subnets map[sprout.SubnetID]sprout.Subnet) map[bool]int {
	by := map[bool]int{true: -1, false: -1}
	for _, family := range families {
		said, dhcp, n := false, false, 0
		for _, f := range c.Interfaces {
			dhcp = dhcp || family.dhcp(f)
			for _, a := range f.Addresses {
				sub := subnets[sprout.SubnetID(a.Subnet)]
				if sub.CIDR.Addr().Is4() == family.is4 && sub.Gateway.IsValid() && (a.Gateway && !said || by[family.is4] < 0) {
					by[family.is4], said = n, a.Gateway
				}
				n++
			}
		}
		if dhcp && !said {
			by[family.is4] = -1
		}
	}
	return by
}

// mtus says the MTU of each interface by name, 0: the driver's own. What is said
// holds; else it is the least of its subnets', and not less than what lies on it.
func mtus(c sprout.NetworkConfig, subnets map[sprout.SubnetID]sprout.Subnet) map[string]int {
	sizes := map[string]int{}
	for _, f := range c.Interfaces {
		for _, a := range f.Addresses {
			if mtu := subnets[sprout.SubnetID(a.Subnet)].MTU; mtu > 0 && (sizes[f.Name] == 0 || mtu < sizes[f.Name]) {
				sizes[f.Name] = mtu
			}
		}
		if f.MTU != 0 {
			sizes[f.Name] = f.MTU
		}
	}
	for range c.Interfaces { // as often as they can lie on each other
		for _, f := range c.Interfaces {
			for _, under := range lower(f.Bond, f.VLAN, f.Bridge) {
				i := slices.IndexFunc(c.Interfaces, func(o sprout.InterfaceConfig) bool { return o.Name == under })
				if i >= 0 && c.Interfaces[i].MTU == 0 {
					sizes[under] = max(sizes[under], sizes[f.Name])
				}
			}
		}
	}
	return sizes
}

// lower names what an interface lies on.
func lower(b *sprout.Bond, v *sprout.VLANInterface, br *sprout.BridgeInterface) []string {
	switch {
	case b != nil:
		return b.Members
	case v != nil:
		return []string{v.Parent}
	case br != nil:
		return br.Members
	}
	return nil
}

// ordered puts what an interface lies on before it, and leaves the rest as it is.
func ordered(links []sprout.LinkSetup) []sprout.LinkSetup {
	out := make([]sprout.LinkSetup, 0, len(links))
	var add func(l sprout.LinkSetup)
	add = func(l sprout.LinkSetup) {
		if slices.ContainsFunc(out, func(o sprout.LinkSetup) bool { return o.Name == l.Name }) {
			return
		}
		for _, name := range lower(l.Bond, l.VLAN, l.Bridge) {
			if i := slices.IndexFunc(links, func(o sprout.LinkSetup) bool { return o.Name == name }); i >= 0 {
				add(links[i])
			}
		}
		out = append(out, l)
	}
	for _, l := range links {
		add(l)
	}
	return out
}
