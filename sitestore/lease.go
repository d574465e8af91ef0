package sitestore

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
)

// held is a lease as it is kept.
type held struct {
	sprout.Lease
	Told time.Time `json:"told,omitzero"` // until when the centre has heard that it is in force
}

// client is the key of who holds a lease; the forms do not look alike.
func client(l sprout.Lease) string {
	if l.ClientID != "" {
		return l.ClientID
	}
	return l.MAC
}

func clientKey(subnet sprout.SubnetID, client string) []byte {
	return []byte(string(subnet) + "\x00" + client)
}

// leaseKey is the key of a lease: an address in a subnet, as two VRFs may have
// the same address.
func leaseKey(ip netip.Addr, subnet sprout.SubnetID) string {
	return ip.Unmap().String() + "\x00" + string(subnet)
}

// LeaseByClient returns the newest lease of a client in a subnet, in whatever
// state and also when it has expired; none if its address was given to another.
func (s *Store) LeaseByClient(subnet sprout.SubnetID, key string) (sprout.Lease, bool) {
	return s.readLease(func(tx *bbolt.Tx) string {
		return string(tx.Bucket([]byte(leaseClientBucket)).Get(clientKey(subnet, key)))
	})
}

// LeaseAt returns the newest lease of an address in a subnet, in whatever state.
func (s *Store) LeaseAt(subnet sprout.SubnetID, ip netip.Addr) (sprout.Lease, bool) {
	return s.readLease(func(*bbolt.Tx) string { return leaseKey(ip, subnet) })
}

// LeaseByIP returns the newest lease of an address, in whatever state: of all
// subnets that have the address the one whose lease ends last. It is for who
// cannot know the subnet; LeaseAt is for who does.
func (s *Store) LeaseByIP(ip netip.Addr) (l sprout.Lease, ok bool) {
	err := s.db.View(func(tx *bbolt.Tx) error {
		return leaseTable.from(tx, leaseKey(ip, ""), func(v held) error {
			if !ok || v.ExpiresAt.After(l.ExpiresAt) {
				l, ok = v.Lease, true
			}
			return nil
		})
	})
	if err != nil {
		s.log.Error("lease cannot be read", "error", err)
	}
	return l, ok && err == nil
}

func (s *Store) readLease(key func(tx *bbolt.Tx) string) (l sprout.Lease, ok bool) {
	err := s.db.View(func(tx *bbolt.Tx) error {
		kept, had, err := leaseTable.get(tx, key(tx))
		l, ok = kept.Lease, had
		return err
	})
	if err != nil {
		s.log.Error("lease cannot be read", "error", err)
	}
	return l, ok && err == nil
}

// rekeyLeases gives leases that a version before 0.2 kept by address alone the
// key that they have now.
func rekeyLeases(tx *bbolt.Tx) error {
	var old []string
	c := tx.Bucket([]byte(leaseTable)).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if !bytes.ContainsRune(k, 0) {
			old = append(old, string(k))
		}
	}
	var err error
	clients := tx.Bucket([]byte(leaseClientBucket))
	for _, key := range old {
		v, _, bad := leaseTable.get(tx, key)
		now := leaseKey(v.IP, v.Subnet)
		err = errors.Join(err, bad, leaseTable.put(tx, now, v), leaseTable.delete(tx, key))
		if by := clientKey(v.Subnet, client(v.Lease)); string(clients.Get(by)) == key {
			err = errors.Join(err, clients.Put(by, []byte(now)))
		}
	}
	return err
}

// Leases lists the newest lease of every address of each subnet.
func (s *Store) Leases() []sprout.Lease {
	var list []sprout.Lease
	err := s.db.View(func(tx *bbolt.Tx) error {
		return leaseTable.each(tx, func(_ string, l held) error { list = append(list, l.Lease); return nil })
	})
	if err != nil {
		s.log.Error("leases cannot be read", "error", err)
	}
	return list
}

// SaveLease makes the lease the newest of its address in its subnet and of its client, and
// returns once that is on disk. Callers at the same time share one commit. The
// centre hears of it, except of offers, and of renewals before half of the time
// has passed until which it knows the lease to be in force.
func (s *Store) SaveLease(ctx context.Context, l sprout.Lease) error {
	return s.Update(ctx, func(tx *bbolt.Tx) error {
		clients := tx.Bucket([]byte(leaseClientBucket))
		key := leaseKey(l.IP, l.Subnet)
		old, had, err := leaseTable.get(tx, key)
		if err != nil {
			return err
		}
		if oldKey := clientKey(old.Subnet, client(old.Lease)); had && string(clients.Get(oldKey)) == key {
			if err := clients.Delete(oldKey); err != nil {
				return err
			}
		}
		if err := clients.Put(clientKey(l.Subnet, client(l)), []byte(key)); err != nil {
			return err
		}
		silent := l.State == "offered" || had && renews(l, old.Lease) && s.knows(old, l)
		now := held{Lease: l, Told: l.ExpiresAt}
		if silent {
			now.Told = old.Told
		}
		if err := leaseTable.put(tx, key, now); err != nil || silent {
			return err
		}
		fact, err := NewFact(sprout.FactLease, l)
		if err != nil {
			return err
		}
		return s.AppendFact(tx, fact)
	})
}

// knows tells whether what the centre has heard of a lease that is renewed holds
// for half as long as the lease does now.
func (s *Store) knows(old held, now sprout.Lease) bool {
	clock := s.now()
	return old.Told.Sub(clock) > now.ExpiresAt.Sub(clock)/2
}

// renews tells whether l only prolongs old.
func renews(l, old sprout.Lease) bool {
	old.ExpiresAt = l.ExpiresAt
	return l == old
}
