package sitestore

import (
	"context"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"sprout"
)

// AppendFact adds a fact to the outbox, in the transaction of what it reports.
// Seq, and At where it is zero, are filled in.
func (s *Store) AppendFact(tx *bbolt.Tx, f sprout.Fact) error {
	seq, err := tx.Bucket([]byte(factTable)).NextSequence()
	if err != nil {
		return fmt.Errorf("cannot number a fact: %w", err)
	}
	f.Seq = int64(seq)
	if f.At.IsZero() {
		f.At = s.now().UTC()
	}
	nudge(tx, s.outgoing)
	return factTable.put(tx, number(seq), f)
}

// NewFact makes a fact of a body.
func NewFact(kind sprout.FactKind, body any) (sprout.Fact, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return sprout.Fact{}, fmt.Errorf("cannot encode a %s fact: %w", kind, err)
	}
	return sprout.Fact{Kind: kind, Body: raw}, nil
}

// Facts lists up to limit facts of the outbox, the oldest first.
func (s *Store) Facts(limit int) (facts []sprout.Fact, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(factTable)).Cursor()
		for k, raw := c.First(); k != nil && len(facts) < limit; k, raw = c.Next() {
			var f sprout.Fact
			if err := json.Unmarshal(raw, &f); err != nil {
				return fmt.Errorf("cannot read fact %d: %w", numberOf(k), err)
			}
			facts = append(facts, f)
		}
		return nil
	})
	return facts, err
}

// DropFacts removes the facts up to and with seq: the hub has them.
func (s *Store) DropFacts(ctx context.Context, seq int64) error {
	return s.Update(ctx, func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(factTable)).Cursor()
		for k, _ := c.First(); k != nil && numberOf(k) <= uint64(seq); k, _ = c.First() {
			if err := c.Delete(); err != nil {
				return fmt.Errorf("cannot drop fact %d: %w", numberOf(k), err)
			}
		}
		return nil
	})
}

// Outbox returns how many facts wait and the number of the last one made.
func (s *Store) Outbox() (waiting int, last int64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(factTable))
		last = int64(b.Sequence())
		if first, _ := b.Cursor().First(); first != nil {
			waiting = int(last - int64(numberOf(first)) + 1)
		}
		return nil
	})
	return waiting, last, err
}
