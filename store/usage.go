package store

import (
	"context"
	"math"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// cellBits is how many bits of a prefix its cells tell apart: 128 cells.
const cellBits = 7

// Usages says of each of the subnets what its addresses are used for. It counts
// in the database, by blocks of addresses, and looks at no address by itself.
func (s *Store) Usages(ctx context.Context, subnets []sprout.Subnet) ([]sprout.Usage, error) {
	list := make([]sprout.Usage, len(subnets))
	for i, sub := range subnets {
		drawn, err := s.drawn(ctx, sub)
		if err != nil {
			return nil, err
		}
		u := empty(sub, drawn)
		if err := s.count(ctx, &u); err != nil {
			return nil, err
		}
		sum(&u, sub)
		list[i] = u
	}
	return list, nil
}

// drawn is the part of a subnet that is drawn: all of it in IPv4, else the least
// prefix that has all that is set aside or used.
func (s *Store) drawn(ctx context.Context, sub sprout.Subnet) (netip.Prefix, error) {
	if sub.CIDR.Addr().Is4() {
		return sub.CIDR, nil
	}
	ends, err := many(ctx, s.db, pgx.RowTo[netip.Addr], `
		SELECT ip FROM (SELECT min(ip) AS low, max(ip) AS high FROM address WHERE subnet = $1
		                UNION ALL SELECT min(ip), max(ip) FROM subnet_lease WHERE subnet = $1) u, LATERAL (VALUES (low), (high)) v (ip)
		WHERE ip IS NOT NULL`, sub.ID)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, r := range sub.Ranges {
		ends = append(ends, r.First, r.Last)
	}
	p := netip.PrefixFrom(sub.CIDR.Addr(), max(sub.CIDR.Bits(), sub.CIDR.Addr().BitLen()-cellBits))
	if len(ends) > 0 {
		p = netip.PrefixFrom(ends[0], p.Bits())
	}
	for _, ip := range ends {
		for !p.Masked().Contains(ip) && p.Bits() > sub.CIDR.Bits() {
			p = netip.PrefixFrom(p.Addr(), p.Bits()-1)
		}
	}
	return p.Masked(), nil
}

// empty is a usage by ranges alone.
func empty(sub sprout.Subnet, drawn netip.Prefix) sprout.Usage {
	block := min(drawn.Bits()+cellBits, drawn.Addr().BitLen())
	u := sprout.Usage{Subnet: sub.ID, CIDR: sub.CIDR, Drawn: drawn, Block: block, Ranges: []sprout.RangeUsage{}, Cells: []sprout.Cell{}}
	u.Size = sizeOf(spanOf(sub.CIDR))
	if sub.CIDR.Addr().BitLen()-sub.CIDR.Bits() > 1 { // the edges are no host's
		u.Size--
		if sub.CIDR.Addr().Is4() {
			u.Size--
		}
	}
	for at := drawn.Addr(); at.IsValid() && drawn.Contains(at); {
		here := spanOf(netip.PrefixFrom(at, block))
		cell := sprout.Cell{Size: sizeOf(here)}
		for _, r := range sub.Ranges {
			if size := sizeOf(overlap(here, span{r.First, r.Last})); r.Kind == sprout.Dynamic {
				cell.Dynamic += size
			} else {
				cell.Reserved += size
			}
		}
		u.Cells = append(u.Cells, cell)
		at = here.last.Next()
	}
	for _, r := range sub.Ranges {
		size := sizeOf(span{r.First, r.Last})
		u.Ranges = append(u.Ranges, sprout.RangeUsage{Range: r, Size: size})
		if r.Kind == sprout.Dynamic {
			u.Dynamic += size
		} else {
			u.Reserved += size
		}
	}
	return u
}

// taken are the addresses of a subnet that are allocated or leased.
const taken = `
	SELECT ip, true AS allocated FROM address WHERE subnet = $1 AND (expires_at IS NULL OR expires_at > now())
	UNION ALL
	SELECT l.ip, false FROM subnet_lease l WHERE l.subnet = $1 AND l.state = 'bound' AND l.expires_at > now()
	  AND NOT EXISTS (SELECT FROM address a WHERE a.subnet = l.subnet AND a.ip = l.ip AND (a.expires_at IS NULL OR a.expires_at > now()))`

// count adds what is allocated and leased in each block and each range.
func (s *Store) count(ctx context.Context, u *sprout.Usage) error {
	at := map[netip.Addr]*sprout.Cell{}
	for i, ip := 0, u.Drawn.Addr(); i < len(u.Cells); i++ {
		at[ip] = &u.Cells[i]
		ip = LastOf(netip.PrefixFrom(ip, u.Block)).Next()
	}
	rows, err := s.db.Query(ctx, `
		SELECT host(network(set_masklen(ip, $2)))::inet, count(*) FILTER (WHERE allocated), count(*) FILTER (WHERE NOT allocated)
		FROM (`+taken+`) t GROUP BY 1`, u.Subnet, u.Block)
	if err != nil {
		return explain(err)
	}
	var block netip.Addr
	var allocated, leased int64
	err = eachRow(rows, func() {
		u.Allocated += allocated
		u.Leased += leased
		if cell := at[block]; cell != nil {
			cell.Allocated, cell.Leased = allocated, leased
		}
	}, &block, &allocated, &leased)
	if err != nil || len(u.Ranges) == 0 {
		return explain(err)
	}
	used, err := many(ctx, s.db, pgx.RowTo[int64], `
		SELECT (SELECT count(*) FROM (`+taken+`) t WHERE t.ip BETWEEN r.first AND r.last)
		FROM address_range r WHERE r.subnet = $1 ORDER BY r.first`, u.Subnet)
	for i := range min(len(used), len(u.Ranges)) {
		r := &u.Ranges[i]
		r.Used, r.Percent = used[i], percent(float64(used[i]), r.Size)
	}
	return err
}

// sum says what is left.
func sum(u *sprout.Usage, sub sprout.Subnet) {
	u.Percent = percent(float64(u.Allocated+u.Leased), u.Size)
	u.Free = u.Size - u.Reserved - u.Dynamic - float64(u.Allocated+u.Leased)
	for _, r := range u.Ranges { // they were counted twice
		u.Free += float64(r.Used)
	}
	within := func(ip netip.Addr) bool {
		for _, r := range sub.Ranges {
			if r.Contains(ip) {
				return true
			}
		}
		return false
	}
	if sub.Gateway.IsValid() && sub.CIDR.Contains(sub.Gateway) && !within(sub.Gateway) {
		u.Free--
	}
	u.Free = max(u.Free, 0)
}

func percent(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return math.Round(part/whole*1000) / 10
}

// overlap is the part that two spans have in common; zero: none.
func overlap(a, b span) span {
	if a.first.Less(b.first) {
		a.first = b.first
	}
	if b.last.Less(a.last) {
		a.last = b.last
	}
	if a.last.Less(a.first) {
		return span{}
	}
	return a
}

// sizeOf is how many addresses a span has.
func sizeOf(s span) float64 {
	if !s.first.IsValid() {
		return 0
	}
	var size float64
	first, last := s.first.As16(), s.last.As16()
	for i := range first {
		size = size*256 + float64(last[i]) - float64(first[i])
	}
	return size + 1
}
