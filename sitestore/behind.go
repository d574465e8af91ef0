package sitestore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// What is brought behind the journal, and when. Facts go soon; leases, whose
// place each is another page of the file, go many at once.
const (
	factsAfter  = 250 * time.Millisecond // the least time between two transactions of facts
	factsWithin = 5 * time.Second        // the longest
	diskShare   = 200                    // a transaction may take one part of so many of the disk's time
	leasesAfter = time.Minute            // the longest time that leases are in the journal only
	leasesMany  = 1 << 16                // as many go before that
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
		began := time.Now()
		err := s.bringOnce(facts, leases)
		for ; err != nil && !s.isClosing(); err = s.bringOnce(facts, leases) {
			s.log.Error("leases are in the journal only; again in a second", "facts", len(facts), "leases", len(leases), "error", err)
			tell(append(settling, k.takeSettling()...), err)
			settling = nil
			s.pause(time.Second, nil)
		}
		tell(settling, err)
		s.pause(restAfter(time.Since(began)), k.hurry)
	}
}

// restAfter is how long the disk is left to the journal after a transaction that
// took so long: whoever is acknowledged meanwhile waited for it.
func restAfter(took time.Duration) time.Duration {
	return min(max(factsAfter, diskShare*took), factsWithin)
}

// take takes what is to be brought. With leases the journal turns: those are in
// one of its files, and what is saved meanwhile goes to the other.
func (k *keeper) take(all bool) (facts, leases [][]kept, settling []chan<- error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	facts, settling = k.facts, k.settling
	k.facts, k.settling = nil, nil
	if k.many >= leasesMany || k.many > 0 && (all || len(settling) > 0) {
		leases, k.leases, k.many = k.leases, nil, 0
		k.journal.turn()
	}
	return facts, leases, settling
}

// takeSettling takes those who wait by now.
func (k *keeper) takeSettling() (settling []chan<- error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	settling, k.settling = k.settling, nil
	return settling
}

// tell answers who wait.
func tell(settling []chan<- error, err error) {
	for _, done := range settling {
		done <- err
	}
}

// bringOnce brings facts, and then leases. It may be repeated.
func (s *Store) bringOnce(facts, leases [][]kept) error {
	if len(facts) > 0 {
		if err := s.db.Update(func(tx *bbolt.Tx) error { return s.bringFacts(tx, facts) }); err != nil {
			return err
		}
	}
	newest, last := newestByKey(leases)
	if len(newest) == 0 {
		return nil
	}
	for some := range slices.Chunk(newest, leasesOnce) {
		if err := s.db.Update(func(tx *bbolt.Tx) error { return putLeases(tx, some) }); err != nil {
			return err
		}
	}
	return s.db.Update(func(tx *bbolt.Tx) error { return setNumber(tx, leasesKey, last) })
}

// bringFacts adds the facts of leases that are not in the outbox yet.
func (s *Store) bringFacts(tx *bbolt.Tx, all [][]kept) error {
	last, outbox := numberAt(tx, factsKey), tx.Bucket([]byte(factTable))
	began := last
	for _, some := range all {
		for i := range some {
			if one := &some[i]; one.Tell && one.seq > last {
				seq, err := outbox.NextSequence()
				if err != nil {
					return fmt.Errorf("cannot number a fact: %w", err)
				}
				if err := outbox.Put([]byte(number(seq)), appendFact(nil, seq, &one.held)); err != nil {
					return fmt.Errorf("cannot write a fact: %w", err)
				}
				last = one.seq
			}
		}
	}
	if last == began {
		return nil
	}
	nudge(tx, s.outgoing)
	return setNumber(tx, factsKey, last)
}

// A row is a lease and its key in the table.
type row struct {
	key string
	*kept
}

// newestByKey are the newest lease of each key, in the order of the table's
// keys, which puts neighbours on a page; and the last number of all.
func newestByKey(all [][]kept) (rows []row, last uint64) {
	newest := map[place]*kept{}
	for _, some := range all {
		for i := range some {
			newest[place{some[i].IP, some[i].Subnet}], last = &some[i], some[i].seq
		}
	}
	for at, one := range newest {
		rows = append(rows, row{leaseKey(at.ip, at.subnet), one})
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.key, b.key) })
	return rows, last
}

func putLeases(tx *bbolt.Tx, all []row) error {
	table := tx.Bucket([]byte(leaseTable))
	for _, one := range all {
		if err := table.Put([]byte(one.key), appendHeld(nil, &one.held)); err != nil {
			return fmt.Errorf("cannot write lease %q: %w", one.key, err)
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
