// Package sitestore is the embedded store of a site's agent: one bbolt file
// with all that the site needs to run alone, and the facts that the centre has
// not yet acknowledged. Every commit is on disk before it returns.
//
// It knows nouns and runs, and must not know why any of them changes: that is
// the agent's business. What the centre replicates (site, subnets, machines,
// reservations, records) is also held in memory, in step with the commits, so
// that answering a packet reads no disk.
package sitestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"sprout"
)

// A Store is the open file. Its methods may be called from any goroutine.
type Store struct {
	db  *bbolt.DB
	log *slog.Logger
	now func() time.Time

	checks   Checks
	applying sync.Mutex // held by who changes what replica shows
	replica  replica
	leases   leases
	keeper   *keeper
	wake     chan struct{} // a run's NextAt has changed
	outgoing chan struct{} // a fact was added
}

// batchDelay is how long a commit waits for company, and batchSize how much of
// it: many leases then cost one fsync.
const (
	batchDelay = 500 * time.Microsecond
	batchSize  = 512
)

// Open opens the file, which it makes if it is missing. One process at a time
// may have it open: Unavailable if another has.
func Open(path string, log *slog.Logger) (*Store, error) {
	// Room for the file to grow without remapping, which would stop readers.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: 2 * time.Second, InitialMmapSize: 1 << 30, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot open %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open site store %s: %w", path, err)
	}
	db.MaxBatchDelay, db.MaxBatchSize = batchDelay, batchSize
	s := &Store{db: db, log: log, now: time.Now, wake: make(chan struct{}, 1), outgoing: make(chan struct{}, 1)}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot load site store %s: %w", path, err), db.Close())
	}
	return s, nil
}

// WithClock has the store take the time from elsewhere than time.Now, before it
// is used.
func (s *Store) WithClock(now func() time.Time) { s.now = now }

// load makes missing buckets and fills the replica.
func (s *Store) load() error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		if err := settleRuns(tx); err != nil {
			return err
		}
		if err := rekeyLeases(tx); err != nil || serialOf(tx) > 0 {
			return err
		}
		_, _, err := s.raiseSerial(tx, 1)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.db.View(s.replica.load); err != nil {
		return err
	}
	if err := s.openKeeper(); err != nil {
		return err
	}
	if err := s.db.View(s.leases.load); err != nil {
		return errors.Join(err, s.keeper.journal.close())
	}
	go s.bringBehind()
	return nil
}

// Close waits for transactions and closes the file.
func (s *Store) Close() error {
	if err := errors.Join(s.keeper.close(), s.db.Close()); err != nil {
		return fmt.Errorf("cannot close site store: %w", err)
	}
	return nil
}

// Update runs change in a transaction that is on disk when it returns. It may
// share the commit with others, and change may run twice: it must change
// nothing but tx.
func (s *Store) Update(ctx context.Context, change func(tx *bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.db.Batch(change)
	if errors.Is(err, syscall.ENOSPC) {
		return sprout.Errorf(sprout.Unavailable, "cannot keep it: the disk of %s is full", s.db.Path())
	}
	return err
}

// View runs read in a transaction that sees one state of everything.
func (s *Store) View(read func(tx *bbolt.Tx) error) error { return s.db.View(read) }

// Wake receives after a run became due at another time.
func (s *Store) Wake() <-chan struct{} { return s.wake }

// Outgoing receives after a fact was added to the outbox.
func (s *Store) Outgoing() <-chan struct{} { return s.outgoing }

// nudge makes ch receive once tx is committed.
func nudge(tx *bbolt.Tx, ch chan struct{}) {
	tx.OnCommit(func() {
		select {
		case ch <- struct{}{}:
		default: // it has one to receive already
		}
	})
}
