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

// A keeper saves leases: first in a journal, many by one sync, whereupon they
// count; then, behind that, with the facts of them in the store's file. What did
// not get there before the process ended comes from the journals at the next start.
//
// There are several journals, so that who comes while one is synced waits for a
// sync of another, and not for two. They share their numbers, and leases come to
// count in the order of these.
type keeper struct {
	asking sync.Mutex
	asked  []saving // of callers who wait for a journal

	journals []*journal
	idle     chan *journal // those that nobody writes to

	mu       sync.Mutex // held by who uses what follows
	seq      uint64     // the number given last
	flying   *flight    // the last that was begun
	facts    [][]kept   // among them some to be told to the centre
	leases   [][]kept   // in those files that the journals write now
	many     int        // how many leases there are
	newest   map[place]int
	record   []byte
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

// A flight is leases on their way to the disk.
type flight struct {
	places map[place]bool
	over   chan struct{} // closed once they count, or never will
}

const (
	journalCount = 2        // with more the disk syncs no sooner
	journalMost  = 32 << 20 // bytes of leases in each that wait for the store's file
)

// openKeeper brings what the journal has to the store's file.
func (s *Store) openKeeper() error {
	journals, found, err := openJournals(s.db.Path(), journalCount)
	if err != nil {
		return err
	}
	k := &keeper{
		journals: journals, idle: make(chan *journal, journalCount), newest: map[place]int{},
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.keeper = k
	k.resume()
	var facts, leases []kept
	err = s.db.View(func(tx *bbolt.Tx) error {
		k.seq = max(numberAt(tx, factsKey), numberAt(tx, leasesKey))
		for _, r := range found {
			k.seq = max(k.seq, r.seq)
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
		return errors.Join(err, closeAll(journals))
	}
	return nil
}

// SaveLeases makes each lease the newest of its address and of its client, and
// returns once all are on disk. Callers at the same time share one sync: who gets
// an idle journal commits for all who came meanwhile. After an error nothing has
// changed.
func (s *Store) SaveLeases(ctx context.Context, all ...sprout.Lease) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k := s.keeper
	mine := saving{all, make(chan error, 1)}
	k.asking.Lock()
	k.asked = append(k.asked, mine)
	k.asking.Unlock()
	select {
	case err := <-mine.done: // somebody has committed it
		return err
	case j := <-k.idle:
		if group := k.gather(mine); len(group) > 0 {
			s.commit(j, group)
		}
		k.idle <- j
	}
	return <-mine.done
}

// gather takes all who have asked; nobody if somebody has taken mine already.
func (k *keeper) gather(mine saving) (group []saving) {
	k.asking.Lock()
	defer k.asking.Unlock()
	if slices.ContainsFunc(k.asked, func(a saving) bool { return a.done == mine.done }) {
		group, k.asked = k.asked, nil
	}
	return group
}

// rest waits until nobody writes to a journal, and resume lets them. Only one at a
// time may do so.
func (k *keeper) rest() {
	for range k.journals {
		<-k.idle
	}
}

func (k *keeper) resume() {
	for _, j := range k.journals {
		k.idle <- j
	}
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
	k.rest()
	defer k.resume()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	return closeAll(k.journals)
}

// commit writes savings to the journal, whereupon they count.
func (s *Store) commit(j *journal, all []saving) {
	k := s.keeper
	before := k.clear(all)
	entries, err := s.number(j, all)
	mine := k.flying
	k.mu.Unlock()
	if err == nil {
		err = s.journalise(j)
	}
	if before != nil {
		<-before.over
	}
	k.mu.Lock()
	if err == nil {
		k.note(entries)
		s.leases.mu.Lock()
		for i := range entries {
			s.leases.put(&entries[i].held)
		}
		s.leases.mu.Unlock()
	}
	close(mine.over)
	k.mu.Unlock()
	for i := range all {
		all[i].done <- err
	}
}

// clear locks the keeper for who begins a flight with savings, once none is on its
// way that has leases of the same addresses. It returns the flight before; those
// before that are over, as there are two journals, and the caller has one.
func (k *keeper) clear(all []saving) (before *flight) {
	same := func(f *flight) bool {
		return slices.ContainsFunc(all, func(s saving) bool {
			return slices.ContainsFunc(s.leases, func(l sprout.Lease) bool { return f.places[placeOf(l)] })
		})
	}
	k.mu.Lock()
	for k.flying != nil && same(k.flying) {
		before = k.flying
		k.mu.Unlock()
		<-before.over
		k.mu.Lock()
		if k.flying == before {
			k.flying = nil
		}
	}
	before = k.flying
	k.flying = &flight{places: map[place]bool{}, over: make(chan struct{})}
	for _, s := range all {
		for _, l := range s.leases {
			k.flying.places[placeOf(l)] = true
		}
	}
	return before
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

// number makes entries of the savings and puts them into what the journal commits.
func (s *Store) number(j *journal, all []saving) ([]kept, error) {
	k := s.keeper
	switch {
	case k.closed:
		return nil, sprout.Errorf(sprout.Unavailable, "cannot keep leases: the store is closed")
	case j.at > journalMost:
		return nil, sprout.Errorf(sprout.Unavailable, "cannot keep leases: too many wait for %s; the agent's log says why", s.db.Path())
	}
	entries := s.entries(all)
	for i := range entries {
		k.seq++
		entries[i].seq = k.seq
		k.record = appendKept(k.record[:0], &entries[i])
		j.add(k.seq, k.record)
	}
	return entries, nil
}

// journalise returns once what was put into the journal is on disk.
func (s *Store) journalise(j *journal) error {
	err := j.commit()
	if errors.Is(err, syscall.ENOSPC) {
		return sprout.Errorf(sprout.Unavailable, "cannot keep leases: the disk of %s is full", s.db.Path())
	}
	return err
}
