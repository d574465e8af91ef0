package dhcp

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sprout"
)

// Routes writes the IPv4 routes of a subnet's hosts as option 121 has them (RFC
// 3442): its static routes, of several to one prefix that of the lowest metric,
// and that by its gateway, as who takes the option looks at no other router. Nil
// where the subnet has no static routes.
func Routes(sub *sprout.Subnet) (data []byte) {
	var list []sprout.Route
	for _, r := range slices.SortedStableFunc(slices.Values(sub.Routes), func(a, b sprout.Route) int { return cmp.Compare(a.Metric, b.Metric) }) {
		known := slices.ContainsFunc(list, func(o sprout.Route) bool { return o.To == r.To })
		if r.To.IsValid() && r.To.Addr().Is4() && r.Via.Is4() && !known {
			list = append(list, r)
		}
	}
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if len(list) > 0 && sub.Gateway.Is4() && !slices.ContainsFunc(list, func(r sprout.Route) bool { return r.To == everything }) {
		list = append(list, sprout.Route{To: everything, Via: sub.Gateway})
	}
	for _, r := range list {
		data = appendRoute(data, r.To, r.Via)
	}
	return data
}

// appendRoute appends a route: as much of the prefix as counts.
func appendRoute(data []byte, to netip.Prefix, via netip.Addr) []byte {
	data = append(data, byte(to.Bits()))
	data = append(data, to.Masked().Addr().AsSlice()[:(to.Bits()+7)/8]...)
	return append(data, via.AsSlice()...)
}

func readRoute(text string) ([]byte, bool) {
	to, via, _ := strings.Cut(text, "=")
	p, err := netip.ParsePrefix(to)
	router, wrong := netip.ParseAddr(via)
	if err != nil || wrong != nil || !router.Is4() || !p.Addr().Is4() || p != p.Masked() {
		return nil, false
	}
	return appendRoute(nil, p, router), true
}

func showRoutes(data []byte) (string, bool) {
	var all []string
	for len(data) > 0 {
		bits := int(data[0])
		n := (bits + 7) / 8
		if bits > 32 || len(data) < 1+n+4 {
			return "", false
		}
		to := showAddress(append(append([]byte{}, data[1:1+n]...), make([]byte, 4-n)...))
		all = append(all, to+"/"+strconv.Itoa(bits)+"="+showAddress(data[1+n:1+n+4]))
		data = data[1+n+4:]
	}
	return strings.Join(all, ", "), len(all) > 0
}
