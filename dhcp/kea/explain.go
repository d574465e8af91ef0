package kea

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin"
)

// Explain says what Kea was told of the machine: its reservation or lease, and
// the file that it loads. Kea cannot be asked what it would answer, so of a
// machine that has neither the address is not known. Options are those that Kea was
// told, for a client that asks for all of them.
func (s *Server) Explain(q dhcp.Question) (dhcp.Explanation, error) {
	hw, err := net.ParseMAC(q.MAC)
	if err != nil || len(hw) != 6 {
		return dhcp.Explanation{}, sprout.InvalidField("mac", "cannot explain %q: a MAC address like 52:54:00:12:34:56 is needed", q.MAC)
	}
	mac, n := hw.String(), s.intent()
	if off, ok := n.off(q.Subnet); ok {
		return dhcp.Explanation{Subnet: off.CIDR, Reason: fmt.Sprintf("no answer: Sprout's DHCP is off in %s, and Kea does not have it", off.CIDR)}, nil
	}
	link, err := n.link(q.Subnet)
	if err != nil {
		return dhcp.Explanation{}, err
	}
	e, sub := s.address(mac, link)
	file, why, err := n.boots(s.config.Ledger, mac, sub, q.Firmware)
	if err != nil {
		return dhcp.Explanation{}, err
	}
	machine, _ := s.config.Ledger.Known(mac)
	client, err := builtin.Client(q.Firmware, mac, machine.BootMode)
	if err != nil {
		return dhcp.Explanation{}, err
	}
	e.Subnet, e.BootFile, e.Options = sub.CIDR, file, n.told(sub, machine.ID, client, file != "")
	e.Reason = "Kea answers at this site, and cannot be asked what it would answer. It was told: " + e.Reason
	if why != "" {
		e.Reason += "; " + why
	}
	return e, nil
}

// off is the subnet that is asked about, where its DHCP is off.
func (n *intent) off(id sprout.SubnetID) (sprout.Subnet, bool) {
	at := slices.IndexFunc(n.subnets, func(sub sprout.Subnet) bool {
		asked := id == "" && sub.CIDR.Contains(n.address) || id != "" && (sub.ID == id || sub.CIDR.String() == string(id))
		return asked && sub.DHCP == sprout.DHCPOff
	})
	if at < 0 {
		return sprout.Subnet{}, false
	}
	return n.subnets[at], true
}

// told are the options that Kea was told of for a client, by number. What it boots
// takes the place of what operators set for that.
func (n *intent) told(sub sprout.Subnet, machine sprout.MachineID, client sprout.DHCPClient, boots bool) (list []sprout.DHCPOption) {
	by := map[int]sprout.DHCPOption{}
	for code, o := range n.computed(sub) {
		value, _ := o.is["data"].(string)
		if o.is["csv-format"] == false {
			raw, _ := hex.DecodeString(value) // as it was written
			value = dhcp.OptionValue(4, code, raw)
		}
		by[code] = sprout.DHCPOption{Code: code, Value: value, From: "subnet"}
	}
	set := sprout.DHCPOptions{Site: n.set.site, Subnet: n.set.subnets[sub.ID], Classes: n.set.classes, Machine: n.set.machines[machine]}
	set.For(4, func() sprout.DHCPClient { return client }, func(o sprout.SiteDHCPOption) {
		if !boots || !isBoot(o.Code) {
			by[o.Code] = sprout.DHCPOption{Code: o.Code, Value: o.Value, From: o.Scope(), Setting: o.ID}
		}
	})
	for _, code := range slices.Sorted(maps.Keys(by)) {
		o := by[code]
		o.Name = dhcp.OptionName(4, code)
		list = append(list, o)
	}
	return list
}

// link are the subnets that the machine may get an address of.
func (n *intent) link(id sprout.SubnetID) ([]sprout.Subnet, error) {
	all := n.served()
	for _, sub := range all {
		if id == "" && sub.CIDR.Contains(n.address) || id != "" && (sub.ID == id || sub.CIDR.String() == string(id)) {
			return sprout.LinkAt(all, sub.VRF, true, sub.CIDR.Addr()), nil
		}
	}
	if id == "" {
		return nil, sprout.Errorf(sprout.NotFound, "cannot explain: the agent's address %s is in no subnet of the site", n.address)
	}
	return nil, sprout.Errorf(sprout.NotFound, "cannot explain subnet %s: Kea has no such IPv4 subnet", id)
}

// address is what is known of the address that the machine gets, and its subnet.
func (s *Server) address(mac string, link []sprout.Subnet) (e dhcp.Explanation, in sprout.Subnet) {
	r, _ := s.config.Ledger.Reservation(mac)
	for _, sub := range link {
		for _, one := range r.All() {
			if sub.CIDR.Contains(one.IP) && (one.Subnet == "" || one.Subnet == sub.ID) {
				return dhcp.Explanation{IP: one.IP, Reason: fmt.Sprintf("%s is reserved for it", one.IP)}, sub
			}
		}
	}
	for _, sub := range link {
		l, ok := s.config.Ledger.LeaseByClient(sub.ID, mac)
		if ok && l.State == "bound" && l.ExpiresAt.After(s.config.Now()) {
			return dhcp.Explanation{IP: l.IP, Reason: fmt.Sprintf("nothing is reserved for it; it has a lease of %s until %s", l.IP, l.ExpiresAt.UTC().Format("15:04:05"))}, sub
		}
	}
	words := "nothing is reserved for it; it gets an address of Kea's choice of a pool, if one is free"
	for _, sub := range link {
		for _, r := range sub.Ranges {
			if r.Kind == sprout.Dynamic {
				return dhcp.Explanation{Reason: words}, sub
			}
		}
	}
	return dhcp.Explanation{Reason: fmt.Sprintf("nothing is reserved for it, and %s has no dynamic range: it gets no address", link[0].CIDR)}, link[0]
}

// boots is the file that the firmware loads, as the classes say it.
func (n *intent) boots(l Ledger, mac string, sub sprout.Subnet, f dhcp.Firmware) (file, why string, err error) {
	if f == dhcp.NoBoot {
		return "", "", nil
	}
	whom := "to be discovered"
	m, ok := l.Known(mac)
	if ok {
		whom = "for " + m.Name
	} else if !sub.Discover {
		return "", fmt.Sprintf("no boot file: it is unknown and %s does not allow discovery", sub.CIDR), nil
	}
	if f == dhcp.IPXE {
		return builtin.ScriptURL(n.bootURL, mac), "its iPXE fetches the boot script, " + whom, nil
	}
	number := cmp.Or(map[dhcp.Firmware]string{dhcp.BIOS: "0", dhcp.UEFI: "7", dhcp.UEFIHTTP: "16"}[f], f)
	arch, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", "", sprout.InvalidField("arch", "cannot explain firmware %q: bios, uefi, http, ipxe, or the number of an architecture is needed", f)
	}
	for _, one := range n.loaders {
		switch file := one.For(m.SecureBoot); {
		case uint64(one.Arch) != arch:
		case file == "":
			return "", one.NotSigned(), nil
		default:
			return n.file(one, file), one.Name + " loads " + file + ", " + whom, nil
		}
	}
	return "", fmt.Sprintf("no boot file: no loader for architecture %d", arch), nil
}
