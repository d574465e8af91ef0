package sitestore

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/bbolt"

	"sprout"
)

// A replica is what the centre replicated, in memory.
type replica struct {
	mu           sync.RWMutex
	site         sprout.Site
	subnets      map[string]sprout.Subnet
	listed       []sprout.Subnet // the same, by id
	machines     map[string]sprout.SiteMachine
	byMAC        map[string]sprout.MachineID
	byUUID       map[string][]sprout.MachineID
	reservations map[string]sprout.Reservation
	records      map[string]sprout.Record
	options      optionIndex
	refused      []Refusal
	dnsPolicy    sprout.DNSPolicy
	dnsKeys      map[string]sprout.SiteDNSKey
	serial       uint32 // of the names' state
	updated      int    // records that updates made
	names        Names  // nil: nobody takes them
	changed      chan struct{}
}

// load fills an empty replica.
func (r *replica) load(tx *bbolt.Tx) (err error) {
	r.subnets, r.machines, r.byMAC = map[string]sprout.Subnet{}, map[string]sprout.SiteMachine{}, map[string]sprout.MachineID{}
	r.byUUID = map[string][]sprout.MachineID{}
	r.reservations, r.records = map[string]sprout.Reservation{}, map[string]sprout.Record{}
	r.serial, r.dnsKeys = serialOf(tx), map[string]sprout.SiteDNSKey{}
	if err := dnsPolicyTable.each(tx, func(_ string, v sprout.DNSPolicy) error { r.dnsPolicy = v; return nil }); err != nil {
		return err
	}
	if err := dnsKeyTable.each(tx, func(k string, v sprout.SiteDNSKey) error { r.dnsKeys[k] = v; return nil }); err != nil {
		return err
	}
	r.options = newOptionIndex()
	if err := dhcpOptionTable.each(tx, func(k string, v sprout.SiteDHCPOption) error { r.options.set(k, &v); return nil }); err != nil {
		return err
	}
	if err := siteTable.each(tx, func(_ string, v sprout.Site) error { r.site = v; return nil }); err != nil {
		return err
	}
	if err := subnetTable.each(tx, func(k string, v sprout.Subnet) error { r.subnets[k] = v; return nil }); err != nil {
		return err
	}
	r.listSubnets()
	if err := machineTable.each(tx, func(k string, v sprout.SiteMachine) error { r.setMachine(k, &v); return nil }); err != nil {
		return err
	}
	if err := reservationTable.each(tx, func(k string, v sprout.Reservation) error { r.reservations[k] = v; return nil }); err != nil {
		return err
	}
	if r.refused, err = refusals(tx); err != nil {
		return err
	}
	return recordTable.each(tx, func(k string, v sprout.Record) error { r.setRecord(k, &v); return nil })
}

// setMachine replaces a machine and its MACs; nil removes it.
func (r *replica) setMachine(id string, m *sprout.SiteMachine) {
	for _, mac := range r.machines[id].MACs {
		if mac = strings.ToLower(mac); r.byMAC[mac] == sprout.MachineID(id) {
			delete(r.byMAC, mac)
		}
	}
	if uuid := r.machines[id].UUID; uuid != "" {
		if r.byUUID[uuid] = without(r.byUUID[uuid], sprout.MachineID(id)); len(r.byUUID[uuid]) == 0 {
			delete(r.byUUID, uuid)
		}
	}
	delete(r.machines, id)
	if m == nil {
		return
	}
	r.machines[id] = *m
	if m.UUID != "" {
		r.byUUID[m.UUID] = append(r.byUUID[m.UUID], m.ID)
	}
	for _, mac := range m.MACs {
		r.byMAC[strings.ToLower(mac)] = m.ID
	}
}

// without returns a new slice: readers may hold the old one.
func without[E comparable](list []E, e E) []E {
	return slices.DeleteFunc(slices.Clone(list), func(x E) bool { return x == e })
}

// Site returns what the centre said of the site; false before it did.
func (s *Store) Site() (sprout.Site, bool) {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	return s.replica.site, s.replica.site.ID != ""
}

// Changed is closed once what a DHCP server is told next changes: the site, a
// subnet, a machine, a reservation or an option.
func (s *Store) Changed() <-chan struct{} {
	s.replica.mu.Lock()
	defer s.replica.mu.Unlock()
	if s.replica.changed == nil {
		s.replica.changed = make(chan struct{})
	}
	return s.replica.changed
}

// tell closes what Changed returned, where a change is of its kinds.
func (r *replica) tell(changes []sprout.Change) {
	kinds := []sprout.ChangeKind{sprout.ChangeSite, sprout.ChangeSubnet, sprout.ChangeMachine, sprout.ChangeReservation, sprout.ChangeDHCPOption}
	if r.changed != nil && slices.ContainsFunc(changes, func(c sprout.Change) bool { return slices.Contains(kinds, c.Kind) }) {
		close(r.changed)
		r.changed = nil
	}
}

// Reserved lists the usual address kept for each MAC, with its others.
func (s *Store) Reserved() []sprout.Reservation {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	return slices.Collect(maps.Values(s.replica.reservations))
}

// Machines lists the machines of the site.
func (s *Store) Machines() []sprout.SiteMachine {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	return slices.Collect(maps.Values(s.replica.machines))
}

// Subnets lists the subnets of the site, by id. The caller does not change them.
func (s *Store) Subnets() []sprout.Subnet {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	return s.replica.listed
}

// setSubnet replaces a subnet; nil removes it. The list is a new one: readers
// may hold the old.
func (r *replica) setSubnet(id string, subnet *sprout.Subnet) {
	set(r.subnets, id, subnet)
	r.listSubnets()
}

func (r *replica) listSubnets() {
	r.listed = slices.Collect(maps.Values(r.subnets))
	slices.SortFunc(r.listed, func(a, b sprout.Subnet) int { return strings.Compare(string(a.ID), string(b.ID)) })
}

// SubnetOf returns the site's subnet that contains ip.
func (s *Store) SubnetOf(ip netip.Addr) (sprout.Subnet, bool) {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	for _, subnet := range s.replica.subnets {
		if subnet.CIDR.Contains(ip.Unmap()) {
			return subnet, true
		}
	}
	return sprout.Subnet{}, false
}

// Reservations lists the addresses kept for a MAC (lower case, colons), the
// usual one first: one of each subnet that its interface has one in.
func (s *Store) Reservations(mac string) []sprout.Reservation {
	r, ok := s.Reservation(mac)
	if !ok {
		return nil
	}
	return r.All()
}

// Reservation returns the usual address kept for a MAC (lower case, colons),
// with its others.
func (s *Store) Reservation(mac string) (sprout.Reservation, bool) {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	r, ok := s.replica.reservations[mac]
	return r, ok
}

// MachineByMAC returns the machine that has the MAC (lower case, colons).
func (s *Store) MachineByMAC(mac string) (sprout.SiteMachine, bool) {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	id, ok := s.replica.byMAC[mac]
	if !ok {
		return sprout.SiteMachine{}, false
	}
	m, ok := s.replica.machines[string(id)]
	return m, ok
}

// Known is MachineByMAC in the words of DHCP.
func (s *Store) Known(mac string) (sprout.SiteMachine, bool) { return s.MachineByMAC(mac) }

// KnownByUUID returns the machine whose firmware has the UUID (lower case), where
// it is the only one: vendors have shipped copies.
func (s *Store) KnownByUUID(uuid string) (sprout.SiteMachine, bool) {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	ids := s.replica.byUUID[uuid]
	if len(ids) != 1 {
		return sprout.SiteMachine{}, false
	}
	m, ok := s.replica.machines[string(ids[0])]
	return m, ok
}

// Machine returns a machine; NotFound if the site does not have it.
func (s *Store) Machine(id sprout.MachineID) (sprout.SiteMachine, error) {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	m, ok := s.replica.machines[string(id)]
	if !ok {
		return m, sprout.Errorf(sprout.NotFound, "cannot find machine %s at this site", id)
	}
	return m, nil
}
