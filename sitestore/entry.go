package sitestore

import (
	"time"

	"sprout"
)

// entries are what savings make of the leases of before, in their order.
func (s *Store) entries(all []saving) []kept {
	now := s.now()
	var entries []kept
	newest := map[string]held{}
	s.leases.mu.RLock()
	defer s.leases.mu.RUnlock()
	for _, one := range all {
		for _, l := range one.leases {
			l.IP = l.IP.Unmap()
			key := leaseKey(l.IP, l.Subnet)
			old, had := newest[key]
			if !had {
				old, had = s.leases.at(l.Subnet, l.IP)
			}
			e, silent := entry(l, old, had, now)
			newest[key] = e
			entries = append(entries, kept{held: e, Tell: !silent})
		}
	}
	return entries
}

// entry is what saving l makes of the lease of before, and whether the centre
// hears of it: not of offers, and not of renewals before half of the time has
// passed until which it knows the lease to be in force.
func entry(l sprout.Lease, old held, had bool, now time.Time) (e held, silent bool) {
	silent = l.State == "offered" || had && renews(l, old.Lease) && knows(old, l, now)
	e = held{Lease: l, Told: l.ExpiresAt, At: now}
	if silent {
		e.Told = old.Told
	}
	return e, silent
}

// knows tells whether what the centre has heard of a lease that is renewed holds
// for half as long as the lease does now.
func knows(old held, l sprout.Lease, now time.Time) bool {
	return old.Told.Sub(now) > l.ExpiresAt.Sub(now)/2
}

// renews tells whether l only prolongs old.
func renews(l, old sprout.Lease) bool {
	old.ExpiresAt = l.ExpiresAt
	return l == old
}
