package sitestore

import (
	"bytes"
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"sprout"
)

// held is a lease as it is kept.
type held struct {
	sprout.Lease
	Told time.Time `json:"told,omitzero"` // until when the centre has heard that it is in force
	At   time.Time `json:"at,omitzero"`   // when it was saved
}

// A holder is who holds a lease in a subnet: the forms of its key, a client
// identifier or a MAC, do not look alike.
type holder struct {
	subnet sprout.SubnetID
	key    string
}

func holderOf(l sprout.Lease) holder {
	return holder{l.Subnet, cmp.Or(l.ClientID, l.MAC)}
}

// leases are all that are on disk, in memory: an answer reads no disk.
type leases struct {
	mu       sync.RWMutex
	byIP     map[netip.Addr][]held // one of each subnet that has the address: two VRFs may
	byHolder map[holder]netip.Addr
}

// load fills empty leases.
func (l *leases) load(tx *bbolt.Tx) error {
	l.byIP, l.byHolder = map[netip.Addr][]held{}, map[holder]netip.Addr{}
	var all []held
	if err := leaseTable.each(tx, func(_ string, h held) error { all = append(all, h); return nil }); err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b held) int { return cmp.Or(a.At.Compare(b.At), a.ExpiresAt.Compare(b.ExpiresAt)) })
	for i := range all {
		l.put(&all[i])
	}
	return nil
}

// at returns the lease of an address in a subnet, or nil.
func (l *leases) at(subnet sprout.SubnetID, ip netip.Addr) *held {
	here := l.byIP[ip]
	for i := range here {
		if here[i].Subnet == subnet {
			return &here[i]
		}
	}
	return nil
}

// put makes the lease the newest of its address in its subnet and of its holder.
func (l *leases) put(now *held) {
	now.IP = now.IP.Unmap()
	mine, old := holderOf(now.Lease), l.at(now.Subnet, now.IP)
	if old != nil && old.MAC == now.MAC && old.ClientID == now.ClientID {
		l.byHolder[mine] = now.IP
		*old = *now
		return
	}
	if old != nil && l.byHolder[holderOf(old.Lease)] == now.IP {
		delete(l.byHolder, holderOf(old.Lease))
	}
	l.byHolder[mine] = now.IP
	if old != nil {
		*old = *now
		return
	}
	l.byIP[now.IP] = append(l.byIP[now.IP], *now)
}

// leaseKey is the key of a lease: an address in a subnet, as two VRFs may have
// the same address.
func leaseKey(ip netip.Addr, subnet sprout.SubnetID) string {
	return ip.Unmap().String() + "\x00" + string(subnet)
}

// LeaseByClient returns the newest lease of a client in a subnet, in whatever
// state and also when it has expired; none if its address was given to another.
func (s *Store) LeaseByClient(subnet sprout.SubnetID, key string) (sprout.Lease, bool) {
	s.leases.mu.RLock()
	defer s.leases.mu.RUnlock()
	ip, ok := s.leases.byHolder[holder{subnet, key}]
	if !ok {
		return sprout.Lease{}, false
	}
	return leaseOf(s.leases.at(subnet, ip))
}

func leaseOf(h *held) (sprout.Lease, bool) {
	if h == nil {
		return sprout.Lease{}, false
	}
	return h.Lease, true
}

// LeaseAt returns the newest lease of an address in a subnet, in whatever state.
func (s *Store) LeaseAt(subnet sprout.SubnetID, ip netip.Addr) (sprout.Lease, bool) {
	s.leases.mu.RLock()
	defer s.leases.mu.RUnlock()
	return leaseOf(s.leases.at(subnet, ip.Unmap()))
}

// LeaseByIP returns the newest lease of an address, in whatever state: of all
// subnets that have the address the one whose lease ends last. It is for who
// cannot know the subnet; LeaseAt is for who does.
func (s *Store) LeaseByIP(ip netip.Addr) (l sprout.Lease, ok bool) {
	s.leases.mu.RLock()
	defer s.leases.mu.RUnlock()
	here := s.leases.byIP[ip.Unmap()]
	for i := range here {
		if !ok || here[i].ExpiresAt.After(l.ExpiresAt) {
			l, ok = here[i].Lease, true
		}
	}
	return l, ok
}

// Leases lists the newest lease of every address of each subnet, by address.
func (s *Store) Leases() (list []sprout.Lease) {
	s.leases.mu.RLock()
	for _, here := range s.leases.byIP {
		for _, h := range here {
			list = append(list, h.Lease)
		}
	}
	s.leases.mu.RUnlock()
	slices.SortFunc(list, func(a, b sprout.Lease) int {
		return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.Subnet, b.Subnet))
	})
	return list
}

// rekeyLeases gives leases that a version before 0.2 kept by address alone the
// key that they have now, and drops its index of clients, which is in memory now.
func rekeyLeases(tx *bbolt.Tx) error {
	var old []string
	c := tx.Bucket([]byte(leaseTable)).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if !bytes.ContainsRune(k, 0) {
			old = append(old, string(k))
		}
	}
	err := tx.DeleteBucket([]byte("lease-client"))
	if errors.Is(err, bbolterrors.ErrBucketNotFound) {
		err = nil
	}
	for _, key := range old {
		v, _, bad := leaseTable.get(tx, key)
		err = errors.Join(err, bad, leaseTable.put(tx, leaseKey(v.IP, v.Subnet), v), leaseTable.delete(tx, key))
	}
	return err
}
