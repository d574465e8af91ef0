package kea

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"time"

	"sprout"
)

// Kea's commands about leases, of the hook library lease_cmds.
const (
	pageCommand  = "lease4-get-page"
	leaseCommand = "lease4-get"
)

const (
	pageSize   = 512              // leases of one answer: between two Kea serves
	readShare  = 10               // a reading of all leases may take this part of Kea's time
	readAlways = 30 * time.Second // after so long they are read though no packet came
)

// The states of a lease in Kea (its manual, section 15.2.4).
const (
	stateDefault  = 0
	stateDeclined = 1
)

// A keaLease is a lease as Kea writes it.
type keaLease struct {
	IP       netip.Addr `json:"ip-address"`
	MAC      string     `json:"hw-address"`
	Hostname string     `json:"hostname"`
	Subnet   uint32     `json:"subnet-id"`
	State    int        `json:"state"`
	Began    int64      `json:"cltt"`      // s since 1970
	Lasts    int64      `json:"valid-lft"` // s
}

// A mirror is what was read of Kea's leases.
type mirror struct {
	known   map[string]sprout.Lease // by address: what the ledger has
	loaded  bool
	packets string    // how many Kea had received at the last reading
	next    time.Time // not before
	always  time.Time // then in any case

	mu    sync.Mutex // of names
	names map[uint32]sprout.Subnet
}

// name learns what Kea's numbers of subnets stand for.
func (m *mirror) name(n *intent) {
	names, numbers := map[uint32]sprout.Subnet{}, n.numbers()
	for _, sub := range n.served() {
		names[numbers[sub.ID]] = sub
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = names
}

func (m *mirror) subnet(number uint32) (sprout.Subnet, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sub, ok := m.names[number]
	return sub, ok
}

// read brings Kea's leases into the ledger, where packets have come since the last
// time. Errors are as of apply.
func (s *Server) read(ctx context.Context) error {
	m := &s.mirror
	now := time.Now()
	if now.Before(m.next) {
		return nil
	}
	packets, err := s.packets(ctx)
	if err != nil || packets == m.packets && now.Before(m.always) {
		return err
	}
	if err := s.readAll(ctx); err != nil {
		return err
	}
	m.packets, m.always = packets, now.Add(readAlways)
	m.next = time.Now().Add(readShare * time.Since(now))
	return nil
}

// packets is how many Kea has received, as it says it.
func (s *Server) packets(ctx context.Context) (string, error) {
	const name = "pkt4-received"
	var values map[string][][]json.RawMessage
	if err := s.channel.ask(ctx, "statistic-get", object{"name": name}, &values); err != nil {
		return "", refused(err, "Kea does not count its packets")
	}
	if all := values[name]; len(all) > 0 && len(all[0]) > 0 {
		return string(all[0][0]), nil
	}
	return "0", nil
}

// readAll reads every lease page by page, and saves what changed.
func (s *Server) readAll(ctx context.Context) error {
	s.mirror.load(s.config.Ledger.Leases())
	gone := maps.Clone(s.mirror.known)
	for from := "start"; ; {
		page, err := s.page(ctx, from)
		if err != nil {
			return err
		}
		var changed []sprout.Lease
		for _, one := range page {
			delete(gone, one.IP.String())
			if l, ok := s.lease(one); ok && !s.mirror.has(l) {
				changed = append(changed, l)
			}
		}
		if err := s.save(ctx, changed); err != nil {
			return err
		}
		if len(page) < pageSize {
			return s.release(ctx, gone)
		}
		from = page[len(page)-1].IP.String()
	}
}

// page reads the leases after an address.
func (s *Server) page(ctx context.Context, from string) ([]keaLease, error) {
	var page struct {
		Leases []keaLease `json:"leases"`
	}
	err := s.channel.ask(ctx, pageCommand, object{"from": from, "limit": pageSize}, &page)
	var r *refusal
	if errors.As(err, &r) && r.result == resultEmpty {
		return nil, nil
	}
	return page.Leases, refused(err, "Kea does not list its leases")
}

// release notes that Kea has leases no more: their clients gave them back.
func (s *Server) release(ctx context.Context, gone map[string]sprout.Lease) error {
	var released []sprout.Lease
	now := s.config.Now()
	for key, l := range gone {
		if l.ExpiresAt.After(now) && l.State == "bound" {
			l.State, l.ExpiresAt = "released", now
			released = append(released, l)
		} else {
			delete(s.mirror.known, key)
		}
	}
	return s.save(ctx, released)
}

// save makes leases durable. Where that is not possible now, as on a full disk,
// the next reading does it.
func (s *Server) save(ctx context.Context, all []sprout.Lease) error {
	if len(all) == 0 {
		return nil
	}
	if err := s.config.Ledger.SaveLeases(ctx, all...); err != nil {
		if ctx.Err() == nil {
			s.config.Log.Error("leases of Kea not kept; trying again", "leases", len(all), "error", err)
		}
		s.mirror.packets = ""
		return nil
	}
	for _, l := range all {
		if l.State == "released" {
			delete(s.mirror.known, l.IP.String())
		} else {
			s.mirror.known[l.IP.String()] = l
		}
	}
	return nil
}

// load begins with what the ledger has of before.
func (m *mirror) load(all []sprout.Lease) {
	if m.loaded {
		return
	}
	m.loaded = true
	for _, l := range all {
		if l.IP.Is4() && l.State != "released" {
			m.known[l.IP.String()] = l
		}
	}
}

// has tells whether the lease is known as it is: its end to 2 s, as the clocks
// of Kea and of the ledger may be set.
func (m *mirror) has(l sprout.Lease) bool {
	old, ok := m.known[l.IP.String()]
	off := l.ExpiresAt.Sub(old.ExpiresAt).Abs()
	old.ExpiresAt, l.ExpiresAt = time.Time{}, time.Time{}
	return ok && off < 2*time.Second && old == l
}

// lease is a lease of Kea in Sprout's words; false: it is of no subnet of the
// site, or over.
func (s *Server) lease(k keaLease) (sprout.Lease, bool) {
	sub, ok := s.mirror.subnet(k.Subnet)
	state, known := map[int]string{stateDefault: "bound", stateDeclined: "declined"}[k.State]
	if !ok || !known || !k.IP.IsValid() {
		return sprout.Lease{}, false
	}
	left := time.Until(time.Unix(k.Began+k.Lasts, 0))
	l := sprout.Lease{
		Site: sub.Site, Subnet: sub.ID, IP: k.IP, MAC: strings.ToLower(k.MAC), Hostname: strings.TrimSuffix(k.Hostname, "."),
		State: state, ExpiresAt: s.config.Now().Add(left).Round(time.Second),
	}
	if state == "declined" { // Kea forgets who declined
		l.MAC = cmp.Or(l.MAC, s.mirror.known[l.IP.String()].MAC)
	}
	return l, true
}

// Lease asks Kea who has an address now, for whoever cannot wait until its leases
// are read. False: nobody. The error is Unavailable: Kea does not say.
func (s *Server) Lease(ctx context.Context, ip netip.Addr) (sprout.Lease, bool, error) {
	var one keaLease
	err := s.channel.ask(ctx, leaseCommand, object{"ip-address": ip.String()}, &one)
	var r *refusal
	switch {
	case errors.As(err, &r) && r.result == resultEmpty:
		return sprout.Lease{}, false, nil
	case err != nil:
		return sprout.Lease{}, false, sprout.Errorf(sprout.Unavailable, "cannot ask Kea who has %s: %w", ip, err)
	case one.State != stateDefault:
		return sprout.Lease{}, false, nil
	}
	l, ok := s.lease(one)
	return l, ok, nil
}
