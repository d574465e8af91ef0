package sitestore

import (
	"net/netip"
	"time"

	"sprout"
)

// A place is where a lease is: an address in a subnet.
type place struct {
	ip     netip.Addr
	subnet sprout.SubnetID
}

// entries are what savings make of the leases of before, in their order.
func (s *Store) entries(all []saving) []kept {
	now, n := s.now(), 0
	for i := range all {
		n += len(all[i].leases)
	}
	entries, newest := make([]kept, 0, n), s.keeper.newest
	clear(newest)
	s.leases.mu.RLock()
	defer s.leases.mu.RUnlock()
	for i := range all {
		for _, l := range all[i].leases {
			l.IP = l.IP.Unmap()
			at := place{l.IP, l.Subnet}
			var old *held
			if i, had := newest[at]; had {
				old = &entries[i].held
			} else {
				old = s.leases.at(l.Subnet, l.IP)
			}
			e, silent := entry(l, old, now)
			newest[at] = len(entries)
			entries = append(entries, kept{held: e, Tell: !silent})
		}
	}
	return entries
}

// entry is what saving l makes of the lease of before, if any, and whether the centre
// hears of it: not of offers, and not of renewals before half of the time has
// passed until which it knows the lease to be in force.
func entry(l sprout.Lease, old *held, now time.Time) (e held, silent bool) {
	silent = l.State == "offered" || old != nil && renews(l, old.Lease) && knows(old, l, now)
	e = held{Lease: l, Told: l.ExpiresAt, At: now}
	if silent {
		e.Told = time.Time{}
		if old != nil {
			e.Told = old.Told
		}
	}
	return e, silent
}

// knows tells whether what the centre has heard of a lease that is renewed holds
// for half as long as the lease does now.
func knows(old *held, l sprout.Lease, now time.Time) bool {
	return old.Told.Sub(now) > l.ExpiresAt.Sub(now)/2
}

// renews tells whether l only prolongs old.
func renews(l, old sprout.Lease) bool {
	old.ExpiresAt = l.ExpiresAt
	return l == old
}
