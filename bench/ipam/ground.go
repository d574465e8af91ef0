package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"sprout"
	"sprout/bench"
	"sprout/ipam"
	"sprout/ipam/builtin"
	"sprout/store"
)

// clients ask at once.
const clients = 50

// A ground is a database with a site, one /12 and a machine a client.
type ground struct {
	*bench.Ground
	store  *store.Store
	subnet sprout.SubnetID
	next   atomic.Int64 // numbers MAC addresses and rows
}

func newGround(ctx context.Context) (_ *ground, err error) {
	g := &ground{}
	if g.Ground, err = bench.NewGround(ctx, clients); err != nil {
		return g, err
	}
	if g.store, err = store.Open(ctx, g.DB.URL(), 0, store.Config{}); err == nil {
		err = store.Migrate(ctx, g.store.Pool(), slog.New(slog.DiscardHandler))
	}
	if err == nil {
		err = g.settle(ctx)
	}
	if err != nil {
		err = errors.Join(err, g.close())
	}
	return g, err
}

func machine(client int) sprout.MachineID {
	return sprout.MachineID(fmt.Sprintf("mch_%026d", client))
}

// settle makes the site, its network, the machines, and the peer's table: the
// columns of an address with no index but its key.
func (g *ground) settle(ctx context.Context) error {
	for _, sql := range []string{
		`INSERT INTO site (id, name, domain) VALUES ('sit_bench', 'lon1', 'lon1.internal')`,
		`INSERT INTO inbox (site) VALUES ('sit_bench')`,
		fmt.Sprintf(`INSERT INTO machine (site, id, name, state)
		 SELECT 'sit_bench', 'mch_' || lpad(n::text, 26, '0'), 'web-' || n, 'ready' FROM generate_series(0, %d) n`, 2*clients),
		`CREATE TABLE bare (site text, id text PRIMARY KEY, subnet text, ip inet, kind text, machine text, mac macaddr, name text, created_at timestamptz DEFAULT now())`,
	} {
		if _, err := g.Pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("cannot make the site: %w", err)
		}
	}
	n, err := g.store.KeepNetwork(ctx, sprout.Network{Site: "sit_bench", Name: "prov", Subnets: []sprout.Subnet{
		{CIDR: netip.MustParsePrefix("10.16.0.0/12"), Gateway: netip.MustParseAddr("10.16.0.1")}}})
	if err == nil {
		g.subnet = n.Subnets[0].ID
	}
	return err
}

// fill gives out addresses here and there until the subnet is so full.
func (g *ground) fill(ctx context.Context, percent int) error {
	for _, sql := range []string{
		fmt.Sprintf(`
		INSERT INTO address (site, id, subnet, ip, kind, machine, mac, name)
		SELECT 'sit_bench', 'adr_' || lpad(n::text, 26, '0'), '%s', '10.16.0.0'::inet + n, 'machine', 'mch_' || lpad((%d + n %% %d)::text, 26, '0'),
		       ('06' || lpad(to_hex(n), 10, '0'))::macaddr, 'm' || n || '.lon1.internal'
		FROM generate_series(2, (1 << 20) - 2) n WHERE abs(hashint4(n::int) %% 1000) < %d * 10
		ON CONFLICT DO NOTHING`, g.subnet, clients, clients, percent),
		`VACUUM ANALYZE address`, `CHECKPOINT`,
	} {
		if _, err := g.Pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("cannot fill the subnet: %w", err)
		}
	}
	return nil
}

// measure returns the median rates of both, measured by turns, and that of the
// first time, when nobody knows yet what is free.
func (g *ground) measure(ctx context.Context, rounds, count int) (rate, bare, first float64, err error) {
	var ours, theirs []float64
	for i := range rounds + 1 {
		x, err := bench.Timed(clients, count, func(client, _ int) error { return g.allocate(ctx, client) })
		if err != nil {
			return 0, 0, 0, err
		}
		y, err := bench.Timed(clients, count, func(client, _ int) error { return g.insert(ctx, client) })
		if err != nil {
			return 0, 0, 0, err
		}
		if i == 0 {
			first = x
		} else {
			ours, theirs = append(ours, x), append(theirs, y)
		}
		if err := g.empty(ctx); err != nil {
			return 0, 0, 0, err
		}
	}
	return bench.Median(ours), bench.Median(theirs), first, nil
}

func (g *ground) mac() string {
	n := g.next.Add(1)
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// allocate takes an address as a deploy does.
func (g *ground) allocate(ctx context.Context, client int) error {
	_, err := builtin.Provider{Ledger: g.store}.Allocate(ctx, ipam.Request{
		Subnet: g.subnet, Machine: machine(client), MAC: g.mac(), Name: "web.lon1.internal",
	})
	return err
}

// insert writes one row, alone in its transaction.
func (g *ground) insert(ctx context.Context, client int) error {
	n := g.next.Add(1)
	_, err := g.Pool.Exec(ctx, `INSERT INTO bare (site, id, subnet, ip, kind, machine, mac, name) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		"sit_bench", fmt.Sprintf("adr_%026d", n), g.subnet, netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), "machine", machine(client),
		g.mac(), "web.lon1.internal")
	return err
}

// empty takes back what a round gave out, as machines give addresses back.
func (g *ground) empty(ctx context.Context) error {
	for i := range clients {
		if err := g.store.ReleaseAddresses(ctx, machine(i)); err != nil {
			return err
		}
	}
	for _, sql := range []string{
		`TRUNCATE bare`, `TRUNCATE outbox_unnumbered`, `TRUNCATE event`, `VACUUM address`,
	} {
		if _, err := g.Pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("cannot begin anew: %w", err)
		}
	}
	return nil
}

// close ends what was started and removes what it left.
func (g *ground) close() error {
	if g.store != nil {
		g.store.Close()
	}
	return g.Close()
}
