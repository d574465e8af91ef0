// Package dhcptest is the contract of dhcp.Provider, checked with packets, and
// that of builtin.Ledger; with a ledger in memory for tests of what stands on one.
package dhcptest

import (
	"context"
	"net/netip"
	"sync"

	"sprout"
)

// A Seed is what the centre told a site.
type Seed struct {
	Subnets      []sprout.Subnet
	Reservations []sprout.Reservation
	Machines     []sprout.SiteMachine
	Options      []sprout.SiteDHCPOption // the least of classes first
}

// A Memory is a ledger in memory: durable as long as the test is.
type Memory struct {
	// OnSave, where it is set, is called before a lease is kept; an error
	// keeps it out. It may block: reads go on.
	OnSave func(ctx context.Context, l sprout.Lease) error

	mu       sync.RWMutex
	seed     Seed
	changed  chan struct{} // closed at the next change of the seed
	byIP     map[netip.Addr]map[sprout.SubnetID]sprout.Lease
	byClient map[client]netip.Addr
}

type client struct {
	subnet sprout.SubnetID
	key    string
}

// NewMemory makes a ledger that knows the seed.
func NewMemory(s Seed) *Memory {
	return &Memory{seed: s, changed: make(chan struct{}), byIP: map[netip.Addr]map[sprout.SubnetID]sprout.Lease{}, byClient: map[client]netip.Addr{}}
}

// Change changes what the centre told. The lists of before stay as they were:
// change replaces them.
func (m *Memory) Change(change func(s *Seed)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.seed)
	close(m.changed)
	m.changed = make(chan struct{})
}

// Changed is closed at the next change of the seed.
func (m *Memory) Changed() <-chan struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.changed
}

// told is what the centre told last.
func (m *Memory) told() Seed {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.seed
}

// Subnets lists the seed's.
func (m *Memory) Subnets() []sprout.Subnet { return m.told().Subnets }

// Reserved lists the seed's reservations.
func (m *Memory) Reserved() []sprout.Reservation { return m.told().Reservations }

// Machines lists the seed's.
func (m *Memory) Machines() []sprout.SiteMachine { return m.told().Machines }

// Reservation returns the address kept for a MAC.
func (m *Memory) Reservation(mac string) (sprout.Reservation, bool) {
	for _, r := range m.told().Reservations {
		if r.MAC == mac {
			return r, true
		}
	}
	return sprout.Reservation{}, false
}

// Known returns the machine that has the MAC.
func (m *Memory) Known(mac string) (sprout.SiteMachine, bool) {
	for _, machine := range m.told().Machines {
		for _, its := range machine.MACs {
			if its == mac {
				return machine, true
			}
		}
	}
	return sprout.SiteMachine{}, false
}

// KnownByUUID returns the one machine that has the UUID.
func (m *Memory) KnownByUUID(uuid string) (sprout.SiteMachine, bool) {
	for _, machine := range m.told().Machines {
		if machine.UUID == uuid {
			return machine, true
		}
	}
	return sprout.SiteMachine{}, false
}

// DHCPOptions are the seed's.
func (m *Memory) DHCPOptions(subnet sprout.SubnetID, machine sprout.MachineID) (all sprout.DHCPOptions) {
	for _, o := range m.told().Options {
		switch {
		case o.Class != "":
			class, _ := sprout.ParseDHCPClass(o.Class)
			all.Classes = append(all.Classes, sprout.ClassOption{SiteDHCPOption: o, Of: class})
		case o.Machine != "" && o.Machine == machine:
			all.Machine = append(all.Machine, o)
		case o.Subnet != "" && o.Subnet == subnet:
			all.Subnet = append(all.Subnet, o)
		case o.Machine == "" && o.Subnet == "":
			all.Site = append(all.Site, o)
		}
	}
	return all
}

// LeaseByClient returns the newest lease of a key in a subnet.
func (m *Memory) LeaseByClient(subnet sprout.SubnetID, key string) (sprout.Lease, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	ip, ok := m.byClient[client{subnet, key}]
	if !ok {
		return sprout.Lease{}, false
	}
	l, ok := m.byIP[ip][subnet]
	return l, ok && clientOf(l) == client{subnet, key}
}

// LeaseAt returns the newest lease of an address of a subnet.
func (m *Memory) LeaseAt(subnet sprout.SubnetID, ip netip.Addr) (sprout.Lease, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	l, ok := m.byIP[ip][subnet]
	return l, ok
}

// LeaseByIP returns the lease of an address that ends last.
func (m *Memory) LeaseByIP(ip netip.Addr) (last sprout.Lease, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, l := range m.byIP[ip] {
		if !ok || l.ExpiresAt.After(last.ExpiresAt) {
			last, ok = l, true
		}
	}
	return last, ok
}

// SaveLease keeps a lease.
func (m *Memory) SaveLease(ctx context.Context, l sprout.Lease) error { return m.SaveLeases(ctx, l) }

// SaveLeases keeps the leases.
func (m *Memory) SaveLeases(ctx context.Context, all ...sprout.Lease) error {
	for _, l := range all {
		if m.OnSave == nil {
			break
		}
		if err := m.OnSave(ctx, l); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range all {
		if m.byIP[l.IP] == nil {
			m.byIP[l.IP] = map[sprout.SubnetID]sprout.Lease{}
		}
		m.byIP[l.IP][l.Subnet] = l
		m.byClient[clientOf(l)] = l.IP
	}
	return nil
}

// Leases lists the newest lease of every address.
func (m *Memory) Leases() []sprout.Lease {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]sprout.Lease, 0, len(m.byIP))
	for _, here := range m.byIP {
		for _, l := range here {
			all = append(all, l)
		}
	}
	return all
}

// clientOf is whom a lease is found by: its client identifier, else its MAC.
func clientOf(l sprout.Lease) client {
	if l.ClientID != "" {
		return client{l.Subnet, l.ClientID}
	}
	return client{l.Subnet, l.MAC}
}
