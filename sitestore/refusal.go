package sitestore

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"

	"go.etcd.io/bbolt"

	"sprout"
)

// A Refusal is a record of the centre's that the site does not go by. What it went
// by before, if anything, stays in force.
type Refusal struct {
	Kind sprout.ChangeKind `json:"kind"`
	Key  string            `json:"key"`
	Why  string            `json:"why"`
	Body json.RawMessage   `json:"body,omitempty"` // as it was sent; absent: it was no JSON
}

// Checks say why a record cannot be gone by; nil: it can. A check that is nil
// finds nothing wrong.
type Checks struct {
	// Subnet is asked of a subnet beside the others that are in force.
	Subnet func(sub sprout.Subnet, others []sprout.Subnet) error
	// Reservation is asked of the addresses that are kept for a MAC.
	Reservation func(r sprout.Reservation) error
}

// A draft is what is in force once a transaction is committed.
type draft struct {
	subnets map[string]sprout.Subnet
	moved   bool // a subnet is another: what was refused may be right beside it
}

// draft is what is in force now. The caller holds applying.
func (s *Store) draft() *draft { return &draft{subnets: s.replica.subnets} }

func (d *draft) set(id string, sub *sprout.Subnet) {
	if !d.moved {
		d.subnets, d.moved = maps.Clone(d.subnets), true
	}
	set(d.subnets, id, sub)
}

// check asks the checks of a record that a change brings.
func (s *Store) check(d *draft, c sprout.Change, v any) error {
	switch v := v.(type) {
	case *sprout.Subnet:
		if s.checks.Subnet == nil || v == nil {
			return nil
		}
		others := make([]sprout.Subnet, 0, len(d.subnets))
		for id, o := range d.subnets {
			if id != c.Key {
				others = append(others, o)
			}
		}
		return s.checks.Subnet(*v, others)
	case *sprout.Reservation:
		if s.checks.Reservation != nil && v != nil {
			return s.checks.Reservation(*v)
		}
	}
	return nil
}

// WithChecks has the store go by no record that the checks find wrong: not by those
// that it has, the oldest first, and not by those to come. What it refused before is
// looked at again. It is called before the store is used.
func (s *Store) WithChecks(ctx context.Context, checks Checks) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.checks = checks
	var fresh *replica
	err := s.Update(ctx, func(tx *bbolt.Tx) error {
		if err := s.recheck(tx); err != nil {
			return err
		}
		fresh = &replica{}
		return fresh.load(tx)
	})
	if err != nil {
		return err
	}
	r := &s.replica
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subnets, r.listed, r.reservations, r.refused = fresh.subnets, fresh.listed, fresh.reservations, fresh.refused
	r.loadNames()
	return nil
}

// recheck refuses what is in force and wrong, and takes in what is no longer.
func (s *Store) recheck(tx *bbolt.Tx) error {
	d := &draft{subnets: map[string]sprout.Subnet{}}
	for _, sub := range s.replica.listed {
		c := sprout.Change{Kind: sprout.ChangeSubnet, Key: string(sub.ID)}
		if why := s.check(d, c, &sub); why == nil {
			d.set(c.Key, &sub)
		} else if err := drop(s, tx, subnetTable, c, sub, why); err != nil {
			return err
		}
	}
	for mac, r := range s.replica.reservations {
		c := sprout.Change{Kind: sprout.ChangeReservation, Key: mac}
		if why := s.check(d, c, &r); why != nil {
			if err := drop(s, tx, reservationTable, c, r, why); err != nil {
				return err
			}
		}
	}
	_, err := s.retry(tx, d)
	return err
}

// drop refuses a record that was in force.
func drop[V any](s *Store, tx *bbolt.Tx, t table[V], c sprout.Change, v V, why error) (err error) {
	if c.Body, err = json.Marshal(v); err != nil {
		return err
	}
	return errors.Join(t.delete(tx, c.Key), s.refuse(tx, c, why))
}

// retry looks again at what was refused.
func (s *Store) retry(tx *bbolt.Tx, d *draft) (shows []func(*replica), err error) {
	list, err := refusals(tx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if len(r.Body) == 0 {
			continue
		}
		c := sprout.Change{Kind: r.Kind, Key: r.Key, Body: r.Body}
		show, err := s.keep(tx, d, c)
		switch {
		case wrong(err):
			err = s.refuse(tx, c, err)
		case err == nil:
			s.log.Info("a record that was refused is gone by", "kind", r.Kind, "key", r.Key)
			shows, err = append(shows, show), refusalTable.delete(tx, refusalKey(c))
		}
		if err != nil {
			return nil, err
		}
	}
	return shows, nil
}

// wrong tells the error of a record that cannot be gone by from one of the store.
func wrong(err error) bool {
	return sprout.KindOf(err) == sprout.Invalid || sprout.KindOf(err) == sprout.Conflict
}

// refuse keeps why a change is not gone by.
func (s *Store) refuse(tx *bbolt.Tx, c sprout.Change, why error) error {
	r := Refusal{Kind: c.Kind, Key: c.Key, Why: why.Error()}
	if json.Valid(c.Body) {
		r.Body = c.Body
	}
	return refusalTable.put(tx, refusalKey(c), r)
}

func refusalKey(c sprout.Change) string {
	if c.Kind == sprout.ChangeReservation {
		return string(c.Kind) + "/" + strings.ToLower(c.Key)
	}
	return string(c.Kind) + "/" + c.Key
}

func refusals(tx *bbolt.Tx) (list []Refusal, err error) {
	err = refusalTable.each(tx, func(_ string, r Refusal) error { list = append(list, r); return nil })
	return list, err
}

// Refused lists the records of the centre's that the site does not go by.
func (s *Store) Refused() []Refusal {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	return s.replica.refused
}
