package sitestore

import (
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
)

// What is brought behind the journal, and when. Facts go soon; leases, whose
// place each is another page of the file, go many at once.
const (
	factsAfter  = 100 * time.Millisecond // the least time between two transactions of facts
	leasesAfter = 10 * time.Second       // the longest time that leases are in the journal only
	leasesMany  = 1 << 14                // as many go before that
	leasesOnce  = 1 << 11                // as many at most go in one transaction
)

// The last numbers of the journal whose facts and leases the file has.
const (
	factsKey  = "lease-facts"
	leasesKey = "lease-rows"
)

// bringBehind brings leases and the facts of them to the store's file until it
// closes. What cannot be brought it tries again; at the end the journal has it.
func (s *Store) bringBehind() {
	k := s.keeper
	defer close(k.stopped)
	due := time.NewTimer(leasesAfter)
	defer due.Stop()
	for closing := false; !closing; {
		late := false
		select {
		case <-k.wake:
		case <-due.C:
			late = true
			due.Reset(leasesAfter)
		case <-k.closing:
			closing = true
		}
		facts, leases, settling := k.take(late || closing)
		err := s.bringOnce(facts, leases)
		for ; err != nil && !s.isClosing(); err = s.bringOnce(facts, leases) {
			s.log.Error("leases are in the journal only; again in a second", "facts", len(facts), "leases", len(leases), "error", err)
			settling = tell(settling, err)
			s.pause(time.Second)
		}
		tell(settling, err)
		s.pause(factsAfter)
	}
}

// take takes what is to be brought. With leases the journal turns: those are in
// one of its files, and what is saved meanwhile goes to the other.
func (k *keeper) take(all bool) (facts, leases []kept, settling []chan<- error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	facts, settling = k.facts, k.settling
	k.facts, k.settling = nil, nil
	if len(k.leases) >= leasesMany || len(k.leases) > 0 && (all || len(settling) > 0) {
		leases, k.leases = k.leases, nil
		k.journal.turn()
	}
	return facts, leases, settling
}

// tell answers who wait, and leaves nobody to be told.
func tell(settling []chan<- error, err error) []chan<- error {
	for _, done := range settling {
		done <- err
	}
	return nil
}

// bringOnce brings facts, and then leases. It may be repeated.
func (s *Store) bringOnce(facts, leases []kept) error {
	err := s.db.Update(func(tx *bbolt.Tx) error { return s.bringFacts(tx, facts) })
	if err != nil || len(leases) == 0 {
		return err
	}
	last := leases[len(leases)-1].seq
	for some := range slices.Chunk(newestByKey(leases), leasesOnce) {
		if err := s.db.Update(func(tx *bbolt.Tx) error { return putLeases(tx, some) }); err != nil {
			return err
		}
	}
	return s.db.Update(func(tx *bbolt.Tx) error { return setNumber(tx, leasesKey, last) })
}

// bringFacts adds the facts of leases that are not in the outbox yet.
func (s *Store) bringFacts(tx *bbolt.Tx, all []kept) error {
	last := numberAt(tx, factsKey)
	for i := range all {
		if all[i].seq <= last {
			continue
		}
		fact, err := NewFact(sprout.FactLease, all[i].Lease)
		if err != nil {
			return err
		}
		fact.At = all[i].At.UTC()
		if err := s.AppendFact(tx, fact); err != nil {
			return err
		}
		last = all[i].seq
	}
	return setNumber(tx, factsKey, last)
}

// newestByKey are the newest lease of each key, in the order of the table's
// keys, which puts neighbours on a page.
func newestByKey(all []kept) []kept {
	newest := map[string]kept{}
	for _, one := range all {
		newest[leaseKey(one.IP, one.Subnet)] = one
	}
	sorted := make([]kept, 0, len(newest))
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		sorted = append(sorted, newest[key])
	}
	return sorted
}

func putLeases(tx *bbolt.Tx, all []kept) error {
	for i := range all {
		if err := leaseTable.put(tx, leaseKey(all[i].IP, all[i].Subnet), all[i].held); err != nil {
			return err
		}
	}
	return nil
}

func numberAt(tx *bbolt.Tx, key string) uint64 {
	return numberOf(tx.Bucket([]byte(metaBucket)).Get([]byte(key)))
}

func setNumber(tx *bbolt.Tx, key string, n uint64) error {
	return tx.Bucket([]byte(metaBucket)).Put([]byte(key), []byte(number(n)))
}
