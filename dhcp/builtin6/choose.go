package builtin6

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"

	"sprout"
)

// A choice is an address for an association of a client, and why this one.
type choice struct {
	ip       netip.Addr // zero: none
	subnet   *sprout.Subnet
	reserved bool // for its MAC
	reason   string
}

// choose picks the address to give: the reserved one, else the one it has or
// had, else one that it asks for, else a free one of a dynamic range.
func (a *association) choose() choice {
	c, why := a.reserved()
	if c.ip.IsValid() {
		return c
	}
	if c = a.leased(); !c.ip.IsValid() {
		if c = a.wished(); !c.ip.IsValid() {
			c = a.unused()
		}
	}
	c.reason = why + c.reason
	return c
}

// reserved returns the address kept for the client's MAC, or why it cannot
// have it. It is the first association's.
func (a *association) reserved() (c choice, why string) {
	if a.n > 0 || a.id.mac == "" {
		return choice{}, ""
	}
	res, ok := a.s.Ledger.Reservation(a.id.mac)
	if !ok {
		return choice{}, ""
	}
	res, sub := res.In(a.link)
	if sub == nil && !res.IP.Is6() {
		return choice{}, ""
	}
	if sub == nil {
		return choice{}, fmt.Sprintf("its reservation %s is not on this network; ", res.IP)
	}
	l, had := a.s.Ledger.LeaseAt(sub.ID, res.IP)
	if had && a.s.active(l) && l.MAC != a.id.mac {
		return choice{}, fmt.Sprintf("its reservation %s is still held by %s until %s; ", res.IP, keyOf(l), l.ExpiresAt.UTC().Format("15:04:05"))
	}
	if had && a.s.active(l) && l.State == stateDeclined {
		return choice{}, fmt.Sprintf("its reservation %s was found in use by somebody else; ", res.IP)
	}
	if holder, held := a.s.Offers.Holder(sub.ID, res.IP, a.s.Now); held && holder != a.key {
		return choice{}, fmt.Sprintf("its reservation %s was just promised to %s; ", res.IP, holder)
	}
	return choice{ip: res.IP, subnet: sub, reserved: true, reason: "reserved for its MAC"}, ""
}

// leased returns the address that the client has or had last.
func (a *association) leased() choice {
	for i := range a.link {
		sub := &a.link[i]
		l, ok := a.s.Ledger.LeaseByClient(sub.ID, a.key)
		if !ok || !dynamic(sub, l.IP) || !a.s.free(sub, l.IP, a.key) {
			continue
		}
		reason := "the address it had"
		if a.s.active(l) {
			reason = "its lease"
		}
		return choice{ip: l.IP, subnet: sub, reason: reason}
	}
	return choice{}
}

// wished returns the first address of those that it asks for which it may have.
func (a *association) wished() choice {
	for _, ip := range a.wishes {
		sub := within(a.link, ip)
		if sub != nil && dynamic(sub, ip) && a.s.free(sub, ip, a.key) {
			return choice{ip: ip, subnet: sub, reason: "the address it asks for"}
		}
	}
	return choice{}
}

// mostTries is how many addresses of a range are looked at. Ranges of IPv6 are
// so wide that a few are enough; narrow ones are looked at whole.
const mostTries = 1 << 16

// unused returns a free address of a dynamic range, from a place that the key
// decides: a client that was forgotten finds its old address again.
func (a *association) unused() choice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(a.key))
	ranges := 0
	for i := range a.link {
		sub := &a.link[i]
		for _, r := range sub.Ranges {
			if r.Kind != sprout.Dynamic || !r.First.Is6() || r.Last.Less(r.First) {
				continue
			}
			ranges++
			if ip := a.probe(sub, r, h.Sum64()); ip.IsValid() {
				return choice{ip: ip, subnet: sub, reason: "a free address of the dynamic range"}
			}
		}
	}
	if ranges == 0 {
		return choice{reason: fmt.Sprintf("no address: %s has no dynamic range", a.link[0].CIDR)}
	}
	return choice{reason: fmt.Sprintf("no address: the dynamic range of %s is full", a.link[0].CIDR)}
}

// probe walks the range from the hash, around its end. An address that nobody
// ever had is better than one whose lease is over.
func (a *association) probe(sub *sprout.Subnet, r sprout.Range, hash uint64) netip.Addr {
	size := span(r)
	at := hash
	if size != math.MaxUint64 {
		at %= size
	}
	var expired netip.Addr
	for range min(size, mostTries) {
		ip := plus(r.First, at)
		if at++; at >= size {
			at = 0
		}
		if !sub.CIDR.Contains(ip) || !a.s.free(sub, ip, a.key) {
			continue
		}
		if _, had := a.s.Ledger.LeaseAt(sub.ID, ip); !had {
			return ip
		}
		if !expired.IsValid() {
			expired = ip
		}
	}
	return expired
}

// span is how many addresses a range has, at most 2^64-1: the first ones.
func span(r sprout.Range) uint64 {
	firstHigh, first := halves(r.First)
	lastHigh, last := halves(r.Last)
	n := last - first
	if high := lastHigh - firstHigh; last < first && high == 1 || high == 0 && n < math.MaxUint64 {
		return n + 1
	}
	return math.MaxUint64
}

// plus is the n-th address after ip.
func plus(ip netip.Addr, n uint64) netip.Addr {
	high, low := halves(ip)
	if low+n < low {
		high++
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], high)
	binary.BigEndian.PutUint64(b[8:], low+n)
	return netip.AddrFrom16(b)
}

func halves(ip netip.Addr) (high, low uint64) {
	b := ip.As16()
	return binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
}
