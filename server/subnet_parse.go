package server

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"sprout"
	"sprout/api"
)

// subnetOf reads a subnet of a request; what its addresses must be to each other
// the network provider checks.
func subnetOf(b api.NewSubnet) (sub sprout.Subnet, err error) {
	cidr, err := parseCIDR("cidr", b.CIDR)
	if err != nil {
		return sub, err
	}
	if sub, err = describedBy(b); err != nil {
		return sub, err
	}
	sub.CIDR = cidr
	for _, list := range []struct {
		field  string
		kind   sprout.RangeKind
		ranges []string
	}{{"dynamic", sprout.Dynamic, b.Dynamic}, {"reserved", sprout.ReservedRange, b.Reserved}} {
		for _, text := range list.ranges {
			r, err := parseRange(list.field, text)
			if err != nil {
				return sub, err
			}
			if !sub.CIDR.Contains(r.First) || !sub.CIDR.Contains(r.Last) {
				return sub, sprout.InvalidField(list.field, "%s lies outside the subnet %s", text, sub.CIDR)
			}
			r.Kind = list.kind
			sub.Ranges = append(sub.Ranges, r)
		}
	}
	return sub, nil
}

// nextOf reads where a prefix is to be found.
func nextOf(from string, bits int) (next sprout.NextPrefix, err error) {
	next.Bits = bits
	next.From, err = parseCIDR("from", from)
	return next, err
}

// describedBy reads what a request says of a subnet, but for its prefix and ranges.
func describedBy(b api.NewSubnet) (sub sprout.Subnet, err error) {
	if sub.Gateway, err = parseGateway(b.Gateway); err != nil {
		return sub, err
	}
	if sub.Routes, err = parseRoutes(b.Routes); err != nil {
		return sub, err
	}
	if sub.DNS, err = parseAddresses("dns", b.DNS); err != nil {
		return sub, err
	}
	if sub.NTP, err = parseAddresses("ntp", b.NTP); err != nil {
		return sub, err
	}
	if sub.DHCPServers, err = parseServers(b.DHCPServers); err != nil {
		return sub, err
	}
	sub.Domain, sub.Search, sub.Advertise, sub.Discover, sub.DHCP = b.Domain, b.Search, b.Advertise, b.Discover, b.DHCP
	return sub, nil
}

func parseCIDR(field, text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, sprout.InvalidField(field, "%q is no prefix such as 10.20.0.0/24", text)
	}
	if masked := p.Masked(); masked != p {
		return p, sprout.InvalidField(field, "%s has host bits set", text).WithRemedy("--%s %s", field, masked)
	}
	return p, nil
}

// parseGateway reads an address; "": none.
func parseGateway(text string) (ip netip.Addr, err error) {
	if text == "" {
		return ip, nil
	}
	if ip, err = netip.ParseAddr(text); err != nil || ip.Zone() != "" {
		return netip.Addr{}, sprout.InvalidField("gateway", "%q is no IP address", text)
	}
	return ip, nil
}

func parseRoutes(asked []api.NewRoute) (list []sprout.Route, err error) {
	for i, r := range asked {
		route := sprout.Route{Metric: r.Metric}
		if route.To, err = netip.ParsePrefix(r.To); err != nil {
			return nil, sprout.InvalidField(fmt.Sprintf("routes[%d].to", i), "%q is no prefix such as 10.30.0.0/16", r.To)
		}
		if route.Via, err = netip.ParseAddr(r.Via); err != nil || route.Via.Zone() != "" {
			return nil, sprout.InvalidField(fmt.Sprintf("routes[%d].via", i), "%q is no IP address", r.Via)
		}
		list = append(list, route)
	}
	return list, nil
}

func parseAddresses(field string, texts []string) ([]netip.Addr, error) {
	list := []netip.Addr{}
	for _, text := range texts {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return nil, sprout.InvalidField(field, "%q is no IP address", text)
		}
		list = append(list, ip)
	}
	return list, nil
}

// parseServers reads IP and MAC addresses, and writes each in its usual form.
func parseServers(texts []string) (list []string, err error) {
	for _, text := range texts {
		ip, err := netip.ParseAddr(text)
		mac, wrong := net.ParseMAC(text)
		switch {
		case err == nil:
			list = append(list, ip.WithZone("").String())
		case wrong == nil && len(mac) == 6:
			list = append(list, mac.String())
		default:
			return nil, sprout.InvalidField("dhcpServers", "%q is neither an IP address nor a MAC address", text)
		}
	}
	return list, nil
}

// parseRange reads FIRST-LAST, or one address.
func parseRange(field, text string) (sprout.Range, error) {
	first, last, two := strings.Cut(text, "-")
	if !two {
		last = first
	}
	from, err1 := netip.ParseAddr(strings.TrimSpace(first))
	to, err2 := netip.ParseAddr(strings.TrimSpace(last))
	if err1 != nil || err2 != nil {
		return sprout.Range{}, sprout.InvalidField(field, "%q is no range such as 10.20.0.100-10.20.0.199", text)
	}
	if to.Less(from) {
		return sprout.Range{}, sprout.InvalidField(field, "%q ends before it begins", text).WithRemedy("--%s %s-%s", field, to, from)
	}
	return sprout.Range{First: from, Last: to}, nil
}
