package sitestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"sprout"
)

// ErrGap says that changes before this one are missing: it is to come again.
var ErrGap = errors.New("changes before it are missing")

const appliedKey = "applied"

// applied returns the number of the last change that the store holds.
func applied(tx *bbolt.Tx) int64 {
	return int64(numberOf(tx.Bucket([]byte(metaBucket)).Get([]byte(appliedKey))))
}

// Applied returns the number of the last change that the store holds.
func (s *Store) Applied() (seq int64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error { seq = applied(tx); return nil })
	return seq, err
}

// MarkApplied notes in tx that change seq is held. False: it already was, and
// nothing else may be done for it. The error is ErrGap where it is not the next.
func (s *Store) MarkApplied(tx *bbolt.Tx, seq int64) (bool, error) {
	last := applied(tx)
	switch {
	case seq <= last:
		return false, nil
	case seq != last+1:
		return false, sprout.Errorf(sprout.Unavailable, "cannot apply change %d after %d: %w", seq, last, ErrGap)
	}
	return true, tx.Bucket([]byte(metaBucket)).Put([]byte(appliedKey), []byte(number(uint64(seq))))
}

// Apply takes replicated changes in, all or none: a site, subnet, machine,
// reservation, record and the like. One that was applied before is no error, and
// costs nothing. The error is ErrGap where one is not the next. A record that cannot
// be read, or that the checks find wrong, is refused alone: it counts as applied,
// and what was in force stays so. A kind of a later version is logged.
func (s *Store) Apply(ctx context.Context, changes ...sprout.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	last, err := s.Applied()
	if err != nil {
		return err
	}
	changes = slices.DeleteFunc(slices.Clone(changes), func(c sprout.Change) bool { return c.Seq <= last })
	if len(changes) == 0 {
		return nil
	}
	var shows []func(*replica)
	var refused []Refusal
	d := s.draft()
	var first, newest uint32
	names := slices.ContainsFunc(changes, func(c sprout.Change) bool { return c.Kind.OfNames() })
	err = s.db.Update(func(tx *bbolt.Tx) (err error) {
		for _, c := range changes {
			show, err := s.applyOne(tx, d, c)
			if err != nil {
				return err
			}
			if show != nil {
				shows = append(shows, show)
			}
		}
		if d.moved {
			more, err := s.retry(tx, d)
			if err != nil {
				return err
			}
			shows = append(shows, more...)
		}
		if refused, err = refusals(tx); err == nil && names {
			first, newest, err = s.raiseSerial(tx, len(shows))
		}
		return err
	})
	if err != nil {
		return err
	}
	s.replica.mu.Lock()
	defer s.replica.mu.Unlock()
	if names {
		s.replica.serial = first
	}
	for _, show := range shows {
		show(&s.replica)
	}
	if names {
		s.replica.serial = newest
	}
	s.replica.refused = refused
	s.replica.tell(changes)
	return nil
}

// applyOne writes a change with its number; nil where there is nothing to show.
func (s *Store) applyOne(tx *bbolt.Tx, d *draft, c sprout.Change) (func(*replica), error) {
	fresh, err := s.MarkApplied(tx, c.Seq)
	if err != nil || !fresh {
		return nil, err
	}
	show, err := s.keep(tx, d, c)
	if wrong(err) {
		s.log.Error("change cannot be used", "seq", c.Seq, "kind", c.Kind, "key", c.Key, "error", err)
		if errors.Is(err, errLater) {
			return nil, nil
		}
		return nil, s.refuse(tx, c, err)
	}
	if err == nil {
		err = refusalTable.delete(tx, refusalKey(c))
	}
	return show, err
}

// errLater says that a change is of a kind of a later version.
var errLater = errors.New("this version does not know it")

// keep writes a change and returns how the replica shows it once committed.
func (s *Store) keep(tx *bbolt.Tx, d *draft, c sprout.Change) (func(*replica), error) {
	switch c.Kind {
	case sprout.ChangeSite:
		return keep(tx, siteTable, c, c.Key, nil, func(r *replica, v *sprout.Site) {
			r.site = orZero(v)
			r.loadNames()
		})
	case sprout.ChangeSubnet:
		return keep(tx, subnetTable, c, c.Key, func(v *sprout.Subnet) error {
			if err := s.check(d, c, v); err != nil {
				return err
			}
			d.set(c.Key, v)
			return nil
		}, func(r *replica, v *sprout.Subnet) {
			r.setSubnet(c.Key, v)
			r.loadNames()
		})
	case sprout.ChangeMachine:
		return keep(tx, machineTable, c, c.Key, nil, func(r *replica, v *sprout.SiteMachine) { r.setMachine(c.Key, v) })
	case sprout.ChangeReservation:
		mac := strings.ToLower(c.Key)
		return keep(tx, reservationTable, c, mac, func(v *sprout.Reservation) error { return s.check(d, c, v) }, func(r *replica, v *sprout.Reservation) { set(r.reservations, mac, v) })
	case sprout.ChangeRecord, sprout.ChangeDNSRecord:
		return keep(tx, recordTable, c, c.Key, nil, func(r *replica, v *sprout.Record) { r.setRecord(c.Key, v) })
	case sprout.ChangeDNSPolicy:
		return keep(tx, dnsPolicyTable, c, c.Key, nil, func(r *replica, v *sprout.DNSPolicy) {
			r.dnsPolicy = orZero(v)
			r.loadRules()
		})
	case sprout.ChangeDNSKey:
		return keep(tx, dnsKeyTable, c, c.Key, nil, func(r *replica, v *sprout.SiteDNSKey) {
			set(r.dnsKeys, c.Key, v)
			r.loadRules()
		})
	case sprout.ChangeDHCPOption:
		return keep(tx, dhcpOptionTable, c, c.Key, nil, func(r *replica, v *sprout.SiteDHCPOption) { r.options.set(c.Key, v) })
	case sprout.ChangeWork, sprout.ChangeCancel:
	}
	return nil, sprout.Errorf(sprout.Invalid, "cannot replicate a change of kind %q: %w", c.Kind, errLater)
}

// keep writes what a change brings, unless may refuses it; nil is what is deleted.
func keep[V any](tx *bbolt.Tx, t table[V], c sprout.Change, key string, may func(*V) error, show func(*replica, *V)) (func(*replica), error) {
	if may == nil {
		may = func(*V) error { return nil }
	}
	if c.Deleted {
		if err := may(nil); err != nil {
			return nil, err
		}
		return func(r *replica) { show(r, nil) }, t.delete(tx, key)
	}
	var v V
	if err := json.Unmarshal(c.Body, &v); err != nil {
		return nil, sprout.Errorf(sprout.Invalid, "cannot read a %s: %w", c.Kind, err)
	}
	if err := may(&v); err != nil {
		return nil, err
	}
	return func(r *replica) { show(r, &v) }, t.put(tx, key, v)
}

func set[V any](m map[string]V, key string, v *V) {
	if v == nil {
		delete(m, key)
		return
	}
	m[key] = *v
}

func orZero[V any](v *V) (zero V) {
	if v == nil {
		return zero
	}
	return *v
}

// ReadMeta decodes what Begin kept under key into v; false if nothing was.
func (s *Store) ReadMeta(key string, v any) (ok bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		raw := tx.Bucket([]byte(metaBucket)).Get([]byte("meta/" + key))
		if raw == nil {
			return nil
		}
		ok = true
		return json.Unmarshal(raw, v)
	})
	if err != nil {
		return false, fmt.Errorf("cannot read %s of the site store: %w", key, err)
	}
	return ok, nil
}

// Begin keeps v under key and, in the same transaction, counts the changes up
// to and with after as applied: the centre begins behind them.
func (s *Store) Begin(ctx context.Context, key string, v any, after int64) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot write %s of the site store: %w", key, err)
	}
	return s.Update(ctx, func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(metaBucket))
		if after > applied(tx) {
			if err := meta.Put([]byte(appliedKey), []byte(number(uint64(after)))); err != nil {
				return err
			}
		}
		return meta.Put([]byte("meta/"+key), raw)
	})
}
