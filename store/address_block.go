package store

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// tries is how often a block that others took a part of is looked for again.
const tries = 8

// Reserve gives out a block, whole or not at all. Conflict if one of
// its addresses is taken; Conflict with a *sprout.Failure of code SubnetFull as
// its cause if there is no room for it. Whether a certain address may be had at
// all is the caller's to check.
func (s *Store) Reserve(ctx context.Context, tx pgx.Tx, b sprout.AddressBlock) ([]sprout.Address, error) {
	b.Count = max(b.Count, 1)
	f, err := fenceIn(ctx, tx, b.Subnet)
	if err != nil {
		return nil, err
	}
	for try := range tries {
		first := b.First
		if !first.IsValid() {
			if first, err = s.room(ctx, tx, f, b); err != nil {
				return nil, err
			}
		}
		asks := asksOf(f, b, first)
		if err := insertAddresses(ctx, tx, f, asks, b.First.IsValid() || try > 0); err != nil {
			return nil, err
		}
		got, missing := outcomes(asks)
		if len(missing) == 0 {
			return got, nil
		}
		if _, err := exec(ctx, tx, `DELETE FROM address WHERE id = ANY ($1)`, idsOf(got)); err != nil {
			return nil, err
		}
		if b.First.IsValid() {
			if err := s.whoHas(ctx, tx, missing[0].want); err != nil {
				return nil, err
			}
		}
	}
	return nil, sprout.Errorf(sprout.Unavailable, "cannot find room in %s now: others take addresses of it at the same time; try again", f.CIDR)
}

// ReserveAddresses is Reserve in a transaction of its own.
func (s *Store) ReserveAddresses(ctx context.Context, b sprout.AddressBlock) (got []sprout.Address, err error) {
	err = s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		got, err = s.Reserve(ctx, tx, b)
		return err
	})
	return got, err
}

// asksOf makes the rows of the block.
func asksOf(f fence, b sprout.AddressBlock, first netip.Addr) []*ask {
	var list []*ask
	kind := "manual"
	if b.For > 0 {
		kind = "hold"
	}
	for range b.Count {
		a := &ask{want: sprout.Address{Subnet: b.Subnet, IP: first, Kind: kind, Name: b.Name, Purpose: b.Purpose}, hold: b.For}
		a.prepare(f)
		list = append(list, a)
		first = first.Next()
	}
	return list
}

func outcomes(asks []*ask) (got []sprout.Address, missing []*ask) {
	for _, a := range asks {
		if a.over {
			got = append(got, a.got)
		} else {
			missing = append(missing, a)
		}
	}
	return got, missing
}

func idsOf(list []sprout.Address) []string {
	ids := []string{}
	for _, a := range list {
		ids = append(ids, string(a.ID))
	}
	return ids
}

// room finds where the block may lie: the lowest place.
func (s *Store) room(ctx context.Context, tx pgx.Tx, f fence, b sprout.AddressBlock) (netip.Addr, error) {
	bounds := hosts(f.CIDR)
	if b.Aligned { // what is a prefix of its own may lie at the edge of this one
		bounds = run{f.CIDR.Masked().Addr(), LastOf(f.CIDR)}
	}
	look := looker(ctx, tx, f.ID, bounds)
	for at := bounds.first; at.IsValid(); {
		free, next, err := look(at)
		if err != nil {
			return at, err
		}
		for _, r := range without(joinRuns(free), f.taken) {
			if first, ok := r.fit(uint64(b.Count), b.Aligned); ok {
				return first, nil
			}
		}
		at = next
	}
	what := "no address is free in " + f.CIDR.String()
	if b.Count > 1 {
		what = "no room is left in " + f.CIDR.String() + " for so many addresses one after the other"
	}
	return netip.Addr{}, fullError(what)
}

// joinRuns makes one run of those that touch, in order.
func joinRuns(list []run) []run {
	var out []run
	for _, r := range list {
		if n := len(out); n > 0 && out[n-1].last.Next() == r.first {
			out[n-1].last = r.last
			continue
		}
		out = append(out, r)
	}
	return out
}

// fit returns where n addresses lie within the run: at a multiple of n, a power
// of two, if aligned.
func (r run) fit(n uint64, aligned bool) (netip.Addr, bool) {
	first := r.first
	if aligned {
		if low := binary.BigEndian.Uint64(tail(first)) & (n - 1); low != 0 {
			first = plus(first, n-low)
		}
	}
	last := plus(first, n-1)
	return first, first.IsValid() && last.IsValid() && !last.Less(first) && !r.last.Less(last)
}

// tail is the last eight bytes of an address, zeroes before them.
func tail(ip netip.Addr) []byte {
	raw := ip.As16()
	if ip.Is4() {
		copy(raw[8:12], make([]byte, 4))
	}
	return raw[8:]
}

// plus returns the address n after ip; none if there is none.
func plus(ip netip.Addr, n uint64) netip.Addr {
	raw := slices.Clone(ip.AsSlice())
	for i := len(raw) - 1; i >= 0 && n > 0; i-- {
		n += uint64(raw[i])
		raw[i], n = byte(n), n>>8
	}
	if n > 0 {
		return netip.Addr{}
	}
	sum, _ := netip.AddrFromSlice(raw)
	return sum
}

// FreeAddress is Free in a transaction of its own.
func (s *Store) FreeAddress(ctx context.Context, id sprout.AddressID) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.Free(ctx, tx, id) })
}

// Free frees an address that no machine has, and closes its problems.
// Conflict if a machine has it.
func (s *Store) Free(ctx context.Context, tx pgx.Tx, id sprout.AddressID) error {
	a, err := one(ctx, tx, scanAddress, addressSelect+`WHERE a.id = $1 FOR UPDATE OF a`, id)
	if err != nil {
		return orNotFound(err, "address", string(id))
	}
	if a.Machine != "" {
		return sprout.Errorf(sprout.Conflict, "cannot free %s: machine %s has it", a.IP, a.Machine).WithRemedy("sprout machine release %s", a.Machine)
	}
	if _, err := exec(ctx, tx, `DELETE FROM address WHERE id = $1`, id); err != nil {
		return err
	}
	s.pools.of(a.Subnet).put(a.IP)
	_, err = s.ClearProblems(ctx, tx, string(id))
	return err
}
