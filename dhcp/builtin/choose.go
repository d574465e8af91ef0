package builtin

import (
	"fmt"
	"hash/fnv"
	"net/netip"

	"sprout"
)

// A choice is an address for a client, and why this one.
type choice struct {
	ip       netip.Addr // zero: none
	subnet   *sprout.Subnet
	hostname string
	reserved bool // for its MAC
	reason   string
}

// choose picks the address to offer (RFC 2131 section 4.3.1): the reserved
// one, else the one it has or had, else the one it asks for, else a free one
// of a dynamic range.
func (d *decision) choose() choice {
	c, why := d.reserved()
	if c.ip.IsValid() {
		return c
	}
	if c = d.leased(); !c.ip.IsValid() {
		if c = d.wished(); !c.ip.IsValid() {
			c = d.unused()
		}
	}
	c.reason = why + c.reason
	return c
}

// reserved returns the address kept for the client's MAC, or why it cannot
// have it.
func (d *decision) reserved() (c choice, why string) {
	res, ok := d.s.Ledger.Reservation(d.mac)
	if !ok || d.mac == "" {
		return choice{}, ""
	}
	res, sub := res.In(d.link)
	if sub == nil {
		return choice{}, fmt.Sprintf("its reservation %s is not on this network; ", res.IP)
	}
	if l, ok := d.s.Ledger.LeaseAt(sub.ID, res.IP); ok && d.s.active(l) && (l.State == stateDeclined || l.MAC != d.mac) {
		return choice{}, fmt.Sprintf("its reservation %s is %s by %s until %s; ", res.IP, l.State, l.MAC, clock(l.ExpiresAt))
	}
	if holder, ok := d.s.Offers.Holder(sub.ID, res.IP, d.s.Now); ok && holder != d.mac {
		return choice{}, fmt.Sprintf("its reservation %s is offered to %s; ", res.IP, holder)
	}
	return choice{ip: res.IP, subnet: sub, hostname: d.hostname(res.Hostname), reserved: true, reason: "reserved for it"}, ""
}

// leased returns the address that the client has or had.
func (d *decision) leased() choice {
	for i := range d.link {
		sub := &d.link[i]
		l, ok := d.s.Ledger.LeaseByClient(sub.ID, d.key)
		if !ok || !dynamic(sub, l.IP) || !d.s.free(sub, l.IP, d.key) {
			continue
		}
		reason := "the address it had"
		if d.s.active(l) {
			reason = "its lease until " + clock(l.ExpiresAt)
		}
		return choice{ip: l.IP, subnet: sub, hostname: d.hostname(""), reason: reason}
	}
	return choice{}
}

// wished returns the address that the client asks for by option 50.
func (d *decision) wished() choice {
	sub := within(d.link, d.requested)
	if sub == nil || !dynamic(sub, d.requested) || !d.s.free(sub, d.requested, d.key) {
		return choice{}
	}
	return choice{ip: d.requested, subnet: sub, hostname: d.hostname(""), reason: "the free address it asks for"}
}

// preferUnused is how many addresses are looked at for one that nobody ever
// had before one whose lease ran out is taken.
const preferUnused = 64

// unused returns a free address of a dynamic range. The search begins where
// the client's key hashes to, so it is short unless the range is nearly full,
// and a client whose lease was forgotten finds its old address again.
func (d *decision) unused() choice {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.key))
	ranges := 0
	for i := range d.link {
		sub := &d.link[i]
		for j := range sub.Ranges {
			if sub.Ranges[j].Kind != sprout.Dynamic || !sub.Ranges[j].First.Is4() {
				continue
			}
			ranges++
			if ip := d.probe(sub, sub.Ranges[j], h.Sum32()); ip.IsValid() {
				return choice{ip: ip, subnet: sub, hostname: d.hostname(""), reason: "a free address of the dynamic range"}
			}
		}
	}
	if ranges == 0 {
		return choice{reason: fmt.Sprintf("no address: %s has no dynamic range", d.link[0].CIDR)}
	}
	return choice{reason: fmt.Sprintf("no address: the dynamic range of %s is full", d.link[0].CIDR)}
}

// probe walks the range once around from the hash.
func (d *decision) probe(sub *sprout.Subnet, r sprout.Range, hash uint32) netip.Addr {
	first, last := toUint(r.First), toUint(r.Last)
	if last < first {
		return netip.Addr{}
	}
	size := uint64(last-first) + 1
	var expired netip.Addr
	for i := range size {
		ip := toAddr(first + uint32((uint64(hash)+i)%size))
		if !sub.CIDR.Contains(ip) || !d.s.free(sub, ip, d.key) {
			continue
		}
		if _, had := d.s.Ledger.LeaseAt(sub.ID, ip); !had {
			return ip
		}
		if !expired.IsValid() {
			expired = ip
		}
		if i >= preferUnused {
			break
		}
	}
	return expired
}

// hostname is the machine's name, where it has one.
func (d *decision) hostname(reserved string) string {
	if reserved != "" {
		return reserved
	}
	if m, ok := d.s.Ledger.Known(d.mac); ok {
		return m.Name
	}
	return ""
}
