package sitestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
)

// A keeper saves leases: first in the journal, many by one sync, whereupon they
// count; then, behind that, with the facts of them in the store's file. What did
// not get there before the process ended comes from the journal at the next start.
type keeper struct {
	asking sync.Mutex
	asked  []saving // of callers who wait for mu, or have it

	mu       sync.Mutex // held by who uses what follows
	journal  *journal
	facts    [][]kept       // among them some to be told to the centre
	leases   [][]kept       // in the file that the journal writes now
	many     int            // how many leases there are
	newest   map[place]int  // used by entries
	record   []byte         // used by journalise
	settling []chan<- error // who wait until the store's file has all
	closed   bool

	wake    chan struct{} // leases wait, or somebody does
	hurry   chan struct{} // somebody waits
	once    sync.Once     // closes closing
	closing chan struct{}
	stopped chan struct{} // nothing is brought any more
}

// A saving is what one caller of SaveLeases waits for.
type saving struct {
	leases []sprout.Lease
	done   chan error
}

// kept is a lease in the journal, and whether the centre is to hear of it.
type kept struct {
	held
	Tell bool `json:"tell,omitempty"`
	seq  uint64
}

const (
	keptTogether = 1024            // savings that share a sync, at most
	journalMost  = 64 << 20        // bytes of leases that wait for the store's file
	journalKey   = "lease-journal" // of the meta bucket: the last number that the file has
)

// openKeeper brings what the journal has to the store's file.
func (s *Store) openKeeper() error {
	journal, found, err := openJournal(s.db.Path())
	if err != nil {
		return err
	}
	s.keeper = &keeper{journal: journal, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}), newest: map[place]int{}}
	var facts, leases []kept
	err = s.db.View(func(tx *bbolt.Tx) error {
		journal.seq = max(journal.seq, numberAt(tx, factsKey), numberAt(tx, leasesKey))
		for _, r := range found {
			one := kept{seq: r.seq}
			if err := json.Unmarshal(r.body, &one); err != nil {
				return fmt.Errorf("cannot read lease %d of the journal: %w", r.seq, err)
			}
			if one.Tell {
				facts = append(facts, one)
			}
			if r.seq > numberAt(tx, leasesKey) {
				leases = append(leases, one)
			}
		}
		return nil
	})
	if err == nil {
		err = s.bringOnce([][]kept{facts}, [][]kept{leases})
	}
	if err != nil {
		return errors.Join(err, journal.close())
	}
	return nil
}

// SaveLeases makes each lease the newest of its address and of its client, and
// returns once all are on disk. Callers at the same time share one sync: the
// next commits for all who came meanwhile. After an error nothing has changed.
func (s *Store) SaveLeases(ctx context.Context, all ...sprout.Lease) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k := s.keeper
	mine := saving{all, make(chan error, 1)}
	k.asking.Lock()
	k.asked = append(k.asked, mine)
	k.asking.Unlock()
	k.mu.Lock() // whoever comes first commits for all who have asked
	defer k.mu.Unlock()
	if len(mine.done) == 0 {
		k.asking.Lock()
		group := k.asked
		k.asked = nil
		k.asking.Unlock()
		s.commit(group)
	}
	return <-mine.done
}

// SaveLease is SaveLeases of one.
func (s *Store) SaveLease(ctx context.Context, l sprout.Lease) error { return s.SaveLeases(ctx, l) }

// Settle returns once the leases that were saved before are in the store's file,
// and the facts of them in the outbox; or why they cannot be.
func (s *Store) Settle() error {
	done := make(chan error, 1)
	s.keeper.mu.Lock()
	s.keeper.settling = append(s.keeper.settling, done)
	s.keeper.mu.Unlock()
	nudgeOne(s.keeper.wake)
	nudgeOne(s.keeper.hurry)
	select {
	case err := <-done:
		return err
	case <-s.keeper.stopped:
		return nil
	}
}

// pause waits, but not when the store closes, or when hurry says so.
func (s *Store) pause(d time.Duration, hurry <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-hurry:
	case <-s.keeper.closing:
	}
}

func (s *Store) isClosing() bool {
	select {
	case <-s.keeper.closing:
		return true
	default:
		return false
	}
}

func nudgeOne(who chan<- struct{}) {
	select {
	case who <- struct{}{}:
	default: // it is awake
	}
}

// close settles, and refuses what comes after.
func (k *keeper) close() error {
	k.once.Do(func() { close(k.closing) })
	<-k.stopped
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	return k.journal.close()
}

// commit writes savings to the journal, whereupon they count.
func (s *Store) commit(all []saving) {
	entries := s.entries(all)
	err := s.journalise(entries)
	if err == nil {
		s.keeper.note(entries)
		s.leases.mu.Lock()
		for i := range entries {
			s.leases.put(&entries[i].held)
		}
		s.leases.mu.Unlock()
	}
	for i := range all {
		all[i].done <- err
	}
}

// note has saved leases brought behind the journal.
func (k *keeper) note(entries []kept) {
	k.leases = append(k.leases, entries)
	k.many += len(entries)
	if slices.ContainsFunc(entries, func(e kept) bool { return e.Tell }) {
		k.facts = append(k.facts, entries)
	}
	if len(k.facts) > 0 || k.many >= leasesMany {
		nudgeOne(k.wake)
	}
}

// journalise returns once the entries are on disk.
func (s *Store) journalise(entries []kept) error {
	j := s.keeper.journal
	switch {
	case s.keeper.closed:
		return sprout.Errorf(sprout.Unavailable, "cannot keep leases: the store is closed")
	case j.at > journalMost:
		return sprout.Errorf(sprout.Unavailable, "cannot keep leases: too many wait for %s; the agent's log says why", s.db.Path())
	}
	for i := range entries {
		s.keeper.record = appendKept(s.keeper.record[:0], &entries[i])
		entries[i].seq = j.add(s.keeper.record)
	}
	err := j.commit()
	if errors.Is(err, syscall.ENOSPC) {
		return sprout.Errorf(sprout.Unavailable, "cannot keep leases: the disk of %s is full", s.db.Path())
	}
	return err
}
