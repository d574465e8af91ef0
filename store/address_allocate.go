package store

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// AllocateAddress gives a.Machine an address of a.Subnet for a.MAC: the one it
// holds there, else a.IP if set, else a free one, low ones first. Two callers
// never get the same. Conflict if a.IP is taken; Conflict with a *sprout.Failure
// of code SubnetFull as its cause if no address is free. Whether a.IP may be had
// at all is the caller's to check.
//
// It is a transaction of its own, or one with others who ask at the same time,
// so that all of them wait for the disk and for the site's next number once.
func (s *Store) AllocateAddress(ctx context.Context, a sprout.Address) (sprout.Address, error) {
	if joined(ctx) == nil {
		if got, err := s.askTogether(ctx, a); !errors.Is(err, errAlone) {
			return got, err
		}
	}
	var got sprout.Address
	err := s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		got, err = s.Allocate(ctx, tx, a)
		return err
	})
	return got, err
}

// Allocate is AllocateAddress within a transaction.
func (s *Store) Allocate(ctx context.Context, tx pgx.Tx, a sprout.Address) (sprout.Address, error) {
	asks := []*ask{{want: a}}
	if err := s.allocate(ctx, tx, a.Subnet, asks); err != nil {
		return a, err
	}
	return asks[0].got, asks[0].err
}

// An ask is one address that somebody wants, and what came of it.
type ask struct {
	want   sprout.Address
	hold   time.Duration // it is free again after it; 0: never
	got    sprout.Address
	err    error
	over   bool // got or err is the answer
	picked bool // want.IP is not what was asked for
}

func (a *ask) answer(got sprout.Address, err error) { a.got, a.err, a.over = got, err, true }

// patience is how often an address that others take at the same time is passed
// over for another, before it is waited for.
const patience = 3

// allocate answers all asks, which are about one subnet. An error is of no ask:
// the transaction cannot go on.
func (s *Store) allocate(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, asks []*ask) error {
	f, err := fenceIn(ctx, tx, id)
	if err != nil {
		return err
	}
	s.pools.of(id).know(f)
	for _, a := range asks {
		a.prepare(f)
	}
	var placed []sprout.Address
	for round := 0; ; round++ {
		left := slices.DeleteFunc(slices.Clone(asks), func(a *ask) bool { return a.over })
		if len(left) == 0 {
			return s.replicateReservations(ctx, tx, placed)
		}
		if err := s.answerHeld(ctx, tx, f, left); err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(a *ask) bool { return a.over })
		news, err := s.place(ctx, tx, f, left, round >= patience)
		if err != nil {
			return err
		}
		placed = append(placed, news...)
	}
}

// prepare fills in what the subnet decides, and refuses what cannot be.
func (a *ask) prepare(f fence) {
	w := &a.want
	if w.MAC != "" {
		mac, err := canonicalMAC("mac", w.MAC)
		if err != nil {
			a.answer(*w, err)
			return
		}
		w.MAC = mac
	}
	if w.Kind == "" {
		w.Kind = "machine"
	}
	w.ID, w.Site, w.VRF, w.Prefix = sprout.NewID[sprout.AddressID](sprout.PrefixAddress), f.Site, f.VRF, f.CIDR.Bits()
}

// answerHeld answers who holds an address already.
func (s *Store) answerHeld(ctx context.Context, tx pgx.Tx, f fence, asks []*ask) error {
	var machines, macs []string
	for _, a := range asks {
		if a.want.Machine != "" {
			machines, macs = append(machines, string(a.want.Machine)), append(macs, a.want.MAC)
		}
	}
	if len(machines) == 0 {
		return nil
	}
	// Each half is answered by what is unique to a port, however much a machine holds.
	held, err := many(ctx, tx, scanAddress, addressSelect+`
		JOIN unnest($2::text[], $3::text[]) u (machine, mac) ON a.machine = u.machine AND a.mac = nullif(u.mac, '')::macaddr
		WHERE a.subnet = $1
		UNION ALL `+addressSelect+`
		JOIN unnest($2::text[], $3::text[]) u (machine, mac) ON a.machine = u.machine AND a.mac IS NULL AND u.mac = ''
		WHERE a.subnet = $1`, f.ID, machines, macs)
	for _, h := range held {
		for _, a := range asks {
			if a.want.Machine == h.Machine && a.want.MAC == h.MAC {
				a.answer(h, nil)
			}
		}
	}
	return err
}

// place picks an address for each ask and inserts it; the constraints decide.
// It answers those that got one, or cannot have one. An address that somebody
// else is about to insert is left to them, unless wait says to wait for what
// becomes of it.
func (s *Store) place(ctx context.Context, tx pgx.Tx, f fence, asks []*ask, wait bool) ([]sprout.Address, error) {
	if err := s.pick(ctx, tx, f, asks); err != nil {
		return nil, err
	}
	asks = slices.DeleteFunc(asks, func(a *ask) bool { return a.over || !a.want.IP.IsValid() })
	slices.SortFunc(asks, func(a, b *ask) int { return a.want.IP.Compare(b.want.IP) }) // one order, so that no two wait for each other
	if err := insertAddresses(ctx, tx, f, asks, wait); err != nil {
		return nil, err
	}
	var placed []sprout.Address
	for _, a := range asks {
		switch {
		case a.over:
			placed = append(placed, a.got)
		case a.picked:
			a.want.IP, a.picked = netip.Addr{}, false // another next time
			s.pools.of(f.ID).stale()
		case wait:
			if err := s.whoHas(ctx, tx, a.want); err != nil {
				a.answer(a.want, err)
			}
		}
	}
	return placed, nil
}

// pick gives each ask that names none an address that was free when somebody
// looked. Where there are not enough, who has none tries again with the others'
// fate known; where there is none, they are told so.
func (s *Store) pick(ctx context.Context, tx pgx.Tx, f fence, asks []*ask) error {
	open := slices.DeleteFunc(slices.Clone(asks), func(a *ask) bool { return a.want.IP.IsValid() })
	if len(open) == 0 {
		return nil
	}
	bounds := hosts(f.CIDR)
	found, err := s.pools.of(f.ID).take(len(open), bounds, f.taken, looker(ctx, tx, f.ID, bounds))
	if err != nil {
		return err
	}
	for i, a := range open {
		if i < len(found) {
			a.want.IP, a.picked = found[i], true
		} else if len(found) == 0 {
			a.answer(a.want, fullError("no address is free in "+f.CIDR.String()))
		}
	}
	return nil
}

// insertAddresses inserts what can be inserted, and answers those asks.
func insertAddresses(ctx context.Context, tx pgx.Tx, f fence, asks []*ask, wait bool) error {
	if len(asks) == 0 {
		return nil
	}
	var columns [6][]string
	ips := make([]netip.Addr, len(asks))
	holds := make([]float64, len(asks))
	at := map[sprout.AddressID]*ask{}
	for i, a := range asks {
		w := a.want
		for c, v := range []string{string(w.ID), w.Kind, string(w.Machine), w.MAC, w.Name, w.Purpose} {
			columns[c] = append(columns[c], v)
		}
		ips[i], holds[i], at[w.ID] = w.IP, a.hold.Seconds(), a
	}
	var id sprout.AddressID
	got := sprout.Address{}
	b := &pgx.Batch{}
	b.Queue(`DELETE FROM address WHERE subnet = $1 AND ip = ANY ($2) AND expires_at <= now()`, f.ID, ips)
	b.Queue(`
		INSERT INTO address (site, subnet, vrf, ip, id, kind, machine, mac, name, purpose, expires_at)
		SELECT $1, $2, $12, u.ip, u.id, u.kind, nullif(u.machine, ''), nullif(u.mac, '')::macaddr, u.name, u.purpose, now() + nullif(u.hold, 0) * interval '1 second'
		FROM unnest($3::inet[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::float8[]) u (ip, id, kind, machine, mac, name, purpose, hold)
		WHERE $11 OR pg_try_advisory_xact_lock(hashtextextended($2 || host(u.ip), 7))
		ON CONFLICT DO NOTHING RETURNING id, expires_at, created_at`,
		f.Site, f.ID, ips, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], holds, wait, f.VRF).
		Query(func(rows pgx.Rows) error {
			return eachRow(rows, func() {
				a := at[id]
				a.want.ExpiresAt, a.want.CreatedAt = got.ExpiresAt, got.CreatedAt
				a.answer(a.want, nil)
			}, &id, &got.ExpiresAt, &got.CreatedAt)
		})
	return explain(tx.SendBatch(ctx, b).Close())
}
