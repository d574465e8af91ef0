package kea

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sprout"
	"sprout/dhcp"
)

// networks are the subnets by themselves, and those that share a segment.
func (n *intent) networks() (alone, shared []object) {
	alone, shared = []object{}, []object{}
	numbers := n.numbers()
	by := map[sprout.NetworkID][]sprout.Subnet{}
	var order []sprout.NetworkID
	for _, sub := range n.served() {
		if sub.Network == "" {
			alone = append(alone, n.subnet(sub, numbers[sub.ID]))
			continue
		}
		if by[sub.Network] == nil {
			order = append(order, sub.Network)
		}
		by[sub.Network] = append(by[sub.Network], sub)
	}
	for _, network := range order {
		here := by[network]
		list := make([]object, 0, len(here))
		for _, sub := range here {
			list = append(list, n.subnet(sub, numbers[sub.ID]))
		}
		if len(list) == 1 {
			alone = append(alone, list[0])
		} else {
			shared = append(shared, object{"name": string(network), "subnet4": list})
		}
	}
	return alone, shared
}

// served are the subnets that Kea can have: of IPv4, with DHCP, and each prefix
// once, the agent's own VRF first. Kea knows no VRFs.
func (n *intent) served() (list []sprout.Subnet) {
	all := slices.Clone(sprout.WithDHCP(n.subnets))
	own := n.ownVRF()
	slices.SortStableFunc(all, func(a, b sprout.Subnet) int {
		if (a.VRF == own) != (b.VRF == own) {
			if a.VRF == own {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.ID, b.ID))
	})
	for _, sub := range all {
		taken := slices.ContainsFunc(list, func(s sprout.Subnet) bool { return s.CIDR.Overlaps(sub.CIDR) })
		if sub.CIDR.Addr().Is4() && !taken {
			list = append(list, sub)
		}
	}
	return list
}

// unserved are the IPv4 subnets that Kea cannot have.
func (n *intent) unserved() (list []string) {
	served := n.served()
	for _, sub := range sprout.WithDHCP(n.subnets) {
		if sub.CIDR.Addr().Is4() && !slices.ContainsFunc(served, func(s sprout.Subnet) bool { return s.ID == sub.ID }) {
			list = append(list, sub.CIDR.String()+" of VRF "+strconv.Quote(sub.VRF))
		}
	}
	return list
}

func (n *intent) ownVRF() string {
	if n.vrf != "" {
		return n.vrf
	}
	if link := sprout.LinkAt(n.subnets, "", false, n.address); link != nil {
		return link[0].VRF
	}
	return ""
}

// numbers are Kea's of the subnets: of a subnet always the same, as leases are
// kept under it. Of two with the same hash the later by id has the next one.
func (n *intent) numbers() map[sprout.SubnetID]uint32 {
	ids := make([]sprout.SubnetID, 0, len(n.subnets))
	for _, sub := range n.subnets {
		ids = append(ids, sub.ID)
	}
	slices.Sort(ids)
	numbers, taken := map[sprout.SubnetID]uint32{}, map[uint32]bool{}
	for _, id := range ids {
		h := fnv.New32a()
		_, _ = h.Write([]byte(id))
		number := h.Sum32()&0x7fffffff | 1
		for taken[number] {
			number = (number + 2) & 0x7fffffff
		}
		numbers[id], taken[number] = number, true
	}
	return numbers
}

// subnet is a subnet in Kea's words.
func (n *intent) subnet(sub sprout.Subnet, number uint32) object {
	pools := []object{}
	for _, r := range sub.Ranges {
		if r.Kind == sprout.Dynamic && r.First.Is4() {
			pools = append(pools, n.pools(sub, r)...)
		}
	}
	return object{
		"id": number, "subnet": sub.CIDR.Masked().String(), "pools": pools, "option-data": n.subnetOptions(sub),
		"reservations": n.reserved(sub), "require-client-classes": n.required(sub),
		"user-context": object{mark: string(sub.ID)},
	}
}

// pools are the addresses of a range that may be given: all but the fixed ones.
func (n *intent) pools(sub sprout.Subnet, r sprout.Range) (list []object) {
	first, last := r.First, r.Last
	bounds := []netip.Addr{}
	if bits := sub.CIDR.Bits(); bits < 31 { // RFC 3021: those have no edges
		network := sub.CIDR.Masked().Addr()
		raw := network.As4()
		binary.BigEndian.PutUint32(raw[:], binary.BigEndian.Uint32(raw[:])|(1<<(32-bits)-1))
		bounds = append(bounds, network, netip.AddrFrom4(raw))
	}
	fixed := append(bounds, n.address, sub.Gateway)
	slices.SortFunc(fixed, netip.Addr.Compare)
	for _, ip := range fixed {
		if !ip.IsValid() || ip.Less(first) || last.Less(ip) {
			continue
		}
		if first.Less(ip) {
			list = append(list, object{"pool": first.String() + " - " + ip.Prev().String()})
		}
		if first = ip.Next(); !first.IsValid() {
			return list
		}
	}
	if !last.Less(first) {
		list = append(list, object{"pool": first.String() + " - " + last.String()})
	}
	return list
}

// reserved are the addresses kept in a subnet: a MAC and an address once each.
func (n *intent) reserved(sub sprout.Subnet) []object {
	list, macs, ips := []object{}, map[string]bool{}, map[netip.Addr]bool{}
	secure, owner := n.secure(), n.owners()
	for _, r := range n.reservations {
		for _, one := range r.All() {
			mac := strings.ToLower(cmp.Or(one.MAC, r.MAC))
			if one.Subnet != "" && one.Subnet != sub.ID || !sub.CIDR.Contains(one.IP) || macs[mac] || ips[one.IP] {
				continue
			}
			macs[mac], ips[one.IP] = true, true
			host := object{"hw-address": mac, "ip-address": one.IP.String()}
			if name := cmp.Or(one.Hostname, r.Hostname); name != "" {
				host["hostname"] = name
			}
			if secure[mac] { // Kea takes the classes and options of one host: this one, before the global
				host["client-classes"] = []string{secureClass}
			}
			if list := n.hostOptions(owner[mac]); len(list) > 0 {
				host["option-data"] = list
			}
			list = append(list, host)
		}
	}
	slices.SortFunc(list, func(a, b object) int {
		return cmp.Compare(a["hw-address"].(string), b["hw-address"].(string))
	})
	return list
}

// computed is what clients need to use the subnet (RFC 2132), by number.
func (n *intent) computed(sub sprout.Subnet) map[int]setting {
	by := map[int]setting{}
	add := func(code int, name, data string) {
		if data != "" {
			by[code] = setting{code, object{"name": name, "data": data}}
		}
	}
	add(3, "routers", joined([]netip.Addr{sub.Gateway}))
	add(6, "domain-name-servers", cmp.Or(joined(sub.DNS), n.address.String()))
	add(42, "ntp-servers", joined(sub.NTP))
	add(15, "domain-name", cmp.Or(sub.Domain, n.domain))
	add(119, "domain-search", strings.Join(sub.Search, ", "))
	if sub.MTU >= 68 && sub.MTU <= 65535 {
		add(26, "interface-mtu", strconv.Itoa(sub.MTU))
	}
	if routes := dhcp.Routes(&sub); routes != nil { // of which Kea 2.2 has no definition
		by[121] = bytesOf(121, routes, false)
	}
	return by
}

func joined(all []netip.Addr) string {
	var words []string
	for _, ip := range all {
		if ip.Is4() {
			words = append(words, ip.String())
		}
	}
	return strings.Join(words, ", ")
}
