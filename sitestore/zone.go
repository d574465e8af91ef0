package sitestore

import (
	"context"
	"errors"
	"iter"
	"maps"
	"strings"

	"go.etcd.io/bbolt"

	"sprout"
)

// Names takes the site's names as they change, in the order of the commits and
// after each is on disk. Its methods are called one at a time, and do not call
// the store.
type Names interface {
	// Load takes all of them, and what makes zones of them: at the start, and
	// after the site or a subnet changed.
	Load(site sprout.Site, subnets iter.Seq[sprout.Subnet], records iter.Seq[sprout.Record], serial uint32)
	// Change replaces records by others.
	Change(remove, add []sprout.Record, serial uint32)
	// Rules takes who may do what with the names, and the keys that they show.
	Rules(p sprout.DNSPolicy, keys iter.Seq[sprout.SiteDNSKey])
}

// Publish has n take the site's names from now on, in place of another.
func (s *Store) Publish(n Names) {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.replica.mu.Lock()
	defer s.replica.mu.Unlock()
	s.replica.names = n
	s.replica.loadNames()
	s.replica.loadRules()
}

func (r *replica) loadNames() {
	if r.names != nil {
		r.names.Load(r.site, maps.Values(r.subnets), maps.Values(r.records), r.serial)
	}
}

func (r *replica) loadRules() {
	if r.names != nil {
		r.names.Rules(r.dnsPolicy, maps.Values(r.dnsKeys))
	}
}

// maxUpdated bounds the records that updates make.
const maxUpdated = 20_000

// UpdateNames removes records that updates made and adds others, all or none:
// they are on disk and shown when it returns, and the centre will be told.
func (s *Store) UpdateNames(ctx context.Context, remove, add []sprout.Record) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.replica.updated+len(add) > maxUpdated {
		return sprout.Errorf(sprout.Conflict, "cannot keep more than %d records of updates", maxUpdated)
	}
	site, _ := s.Site()
	for _, list := range [][]sprout.Record{remove, add} {
		for i := range list {
			list[i].Site = site.ID
		}
	}
	fact, err := NewFact(sprout.FactNames, sprout.NamesFact{Removed: remove, Added: add})
	if err != nil {
		return err
	}
	var serial uint32
	err = s.Update(ctx, func(tx *bbolt.Tx) (err error) {
		for _, r := range remove {
			err = errors.Join(err, recordTable.delete(tx, r.Key()))
		}
		for _, r := range add {
			err = errors.Join(err, recordTable.put(tx, r.Key(), r))
		}
		if err == nil {
			serial, _, err = s.raiseSerial(tx, 1)
		}
		return errors.Join(err, s.AppendFact(tx, fact))
	})
	if err != nil {
		return err
	}
	s.replica.mu.Lock()
	defer s.replica.mu.Unlock()
	s.replica.serial = serial
	for _, r := range remove {
		s.replica.keepRecord(r.Key(), nil)
	}
	for _, r := range add {
		s.replica.keepRecord(r.Key(), &r)
	}
	if s.replica.names != nil {
		s.replica.names.Change(remove, add, serial)
	}
	return nil
}

// Domain is the site's, in lower case; empty before the centre said it.
func (s *Store) Domain() string {
	site, _ := s.Site()
	return strings.ToLower(strings.TrimSuffix(site.Domain, "."))
}

// setRecord replaces a record; nil removes it.
func (r *replica) setRecord(key string, record *sprout.Record) {
	var remove, add []sprout.Record
	if old, ok := r.records[key]; ok {
		remove = append(remove, old)
	}
	r.keepRecord(key, record)
	if record != nil {
		add = append(add, *record)
	}
	if r.names != nil {
		r.names.Change(remove, add, r.serial)
	}
}

// keepRecord replaces a record and counts those of updates.
func (r *replica) keepRecord(key string, record *sprout.Record) {
	if r.records[key].Source == sprout.UpdateRecord {
		r.updated--
	}
	if record != nil && record.Source == sprout.UpdateRecord {
		r.updated++
	}
	set(r.records, key, record)
}

// raiseSerial makes in tx the serials of the names' next states, one for each of so many
// changes: the time in seconds, or one more than the last. So it rises (RFC 1982) also
// where the agent begins anew with an empty store. A zone takes one more with every change
// that is shown: the newest, which is kept, is not below what any zone was seen with.
func (s *Store) raiseSerial(tx *bbolt.Tx, changes int) (first, newest uint32, err error) {
	b := tx.Bucket([]byte(recordTable))
	next := max(b.Sequence()+1, uint64(max(s.now().Unix(), 0)))
	last := next + uint64(max(changes, 1)-1)
	return uint32(next & 0xffffffff), uint32(last & 0xffffffff), b.SetSequence(last)
}

// serialOf reads the serial of the names' state.
func serialOf(tx *bbolt.Tx) uint32 {
	return uint32(tx.Bucket([]byte(recordTable)).Sequence() & 0xffffffff)
}
