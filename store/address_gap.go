package store

import (
	"net/netip"
	"slices"
	"sync"

	"sprout"
)

// A run is addresses one after the other, both ends included.
type run struct{ first, last netip.Addr }

func (r run) has(ip netip.Addr) bool { return !ip.Less(r.first) && !r.last.Less(ip) }

// hosts returns the first and last address that a host of the prefix may have:
// not the network's own and, in IPv4, not the broadcast address. A prefix of 31
// or 32 bits (127 or 128) has neither (RFC 3021, RFC 6164).
func hosts(p netip.Prefix) run {
	r := run{p.Masked().Addr(), LastOf(p)}
	if p.Addr().BitLen()-p.Bits() <= 1 {
		return r
	}
	r.first = r.first.Next()
	if r.first.Is4() {
		r.last = r.last.Prev()
	}
	return r
}

// LastOf returns the last address of a prefix.
func LastOf(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 1 << (7 - bit%8)
	}
	ip, _ := netip.AddrFromSlice(raw)
	return ip
}

// without returns what is left of free, in order, when taken is taken out of it.
func without(free []run, taken []run) []run {
	for _, t := range taken {
		var left []run
		for _, f := range free {
			if t.last.Less(f.first) || f.last.Less(t.first) {
				left = append(left, f)
				continue
			}
			if f.first.Less(t.first) {
				left = append(left, run{f.first, t.first.Prev()})
			}
			if t.last.Less(f.last) {
				left = append(left, run{t.last.Next(), f.last})
			}
		}
		free = left
	}
	return free
}

// pools remember per subnet which addresses were free when somebody looked. They
// are only hints: the database decides.
type pools struct {
	mu   sync.Mutex
	pool map[sprout.SubnetID]*pool
}

func (p *pools) of(id sprout.SubnetID) *pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pool == nil {
		p.pool = map[sprout.SubnetID]*pool{}
	}
	if p.pool[id] == nil {
		p.pool[id] = &pool{}
	}
	return p.pool[id]
}

// A pool is what is known to be free of one subnet. It is read a window at a
// time from the beginning to the end and then anew, so that an address costs as
// much in a subnet that is nearly full as in one that is empty.
type pool struct {
	mu    sync.Mutex
	fence *fence // as it was when somebody looked
	free  []run
	at    netip.Addr // where the next window begins; none: at the beginning
	last  netip.Addr // that was taken
}

// enough windows were looked at for a caller that has found something.
const enough = 16

// take returns up to n addresses within bounds and not in taken; none if in a
// whole turn there was none. Look returns what is free from an address on, in
// order, and where its next window begins, no address at the end.
func (p *pool) take(n int, bounds run, taken []run, look func(from netip.Addr) ([]run, netip.Addr, error)) ([]netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.pop(nil, n, taken)
	begun, wrapped := p.at, false
	if !begun.IsValid() || bounds.last.Less(begun) {
		begun = bounds.first
	}
	for windows := 0; len(found) < n && (len(found) == 0 || windows < enough); windows++ {
		from := p.at
		if !from.IsValid() || bounds.last.Less(from) {
			from = bounds.first
		}
		if wrapped && !from.Less(begun) {
			break
		}
		free, next, err := look(from)
		if err != nil {
			return nil, err
		}
		p.free, p.at = free, next
		found = p.pop(found, n, taken)
		if wrapped && !next.IsValid() { // one window from the beginning to the end
			break
		}
		wrapped = wrapped || !next.IsValid()
	}
	return found, nil
}

// pop moves addresses from what is free, and not in taken, to found until it has n.
func (p *pool) pop(found []netip.Addr, n int, taken []run) []netip.Addr {
	for len(found) < n && len(p.free) > 0 {
		f := &p.free[0]
		ip := f.first
		in := slices.IndexFunc(taken, func(t run) bool { return t.has(ip) })
		if in < 0 {
			p.last, found = ip, append(found, ip)
		} else {
			ip = taken[in].last
		}
		if !ip.Less(f.last) {
			p.free = p.free[1:]
			continue
		}
		f.first = ip.Next()
	}
	return found
}

// stale says that an address was not free after all: others have taken of what is
// thought to be free, and it is looked at anew from the last one on that was taken
// here. What is before that may be about to be written.
func (p *pool) stale() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free, p.at = nil, p.last.Next()
}

// put says that addresses are free again, to be the next that are taken.
func (p *pool) put(ips ...netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ip := range ips {
		at, _ := slices.BinarySearchFunc(p.free, ip, func(r run, ip netip.Addr) int { return r.last.Compare(ip) })
		if at == len(p.free) || !p.free[at].has(ip) {
			p.free = slices.Insert(p.free, at, run{ip, ip})
		}
	}
}

// fenced returns the fence of the subnet as it was known last.
func (p *pool) fenced() (fence, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fence == nil {
		return fence{}, false
	}
	return *p.fence, true
}

// know keeps the fence that somebody has just read. What was known to be free of
// another prefix is forgotten.
func (p *pool) know(f fence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fence != nil && p.fence.CIDR != f.CIDR {
		p.free, p.at = nil, netip.Addr{}
	}
	p.fence = &f
}

// forget has everything looked at anew.
func (p *pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fence, p.free, p.at = nil, nil, netip.Addr{}
}
