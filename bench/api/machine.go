package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"sprout/bench"
)

const (
	pageSize = 100
	clients  = 32
	turns    = 21 // pairs of a bench of lists
)

// listLastPage is the time of the last page of a list against the first.
func listLastPage(ctx context.Context, g *ground) (bench.Line, error) {
	last, err := g.lastPage(ctx)
	if err != nil {
		return bench.Line{}, err
	}
	a, b, err := pairs(turns, g.page(ctx, last), g.page(ctx, ""))
	return bench.Line{Sprout: a, Peer: "first", Other: b}, err
}

// lastPage turns all pages and returns the cursor of the last one of pageSize.
func (g *ground) lastPage(ctx context.Context) (after string, err error) {
	for left := g.machines; left > pageSize; {
		limit := min(1000, left-pageSize)
		raw, err := g.get(ctx, fmt.Sprintf("/v1/machines?limit=%d&after=%s", limit, url.QueryEscape(after)))
		if err != nil {
			return "", err
		}
		var page struct {
			Items []struct{}
			Next  string
		}
		if err := json.Unmarshal(raw, &page); err != nil || page.Next == "" {
			return "", fmt.Errorf("a list of %d machines ends with %d left: %w", g.machines, left, err)
		}
		left, after = left-len(page.Items), page.Next
	}
	return after, nil
}

func (g *ground) page(ctx context.Context, after string) func() (float64, error) {
	return milliseconds(func() error {
		_, err := g.get(ctx, fmt.Sprintf("/v1/machines?limit=%d&after=%s", pageSize, url.QueryEscape(after)))
		return err
	})
}

// bare is the least SQL that reads a page of machines, or one, with all that an
// answer says of them.
const bare = `SELECT m.id, m.site, s.name, m.name, m.state, m.power, m.power_at, m.architecture, m.boot_mode, m.tags, m.labels, m.pool, m.zone, m.owner,
	m.locked, m.protected, m.generation, m.image, m.tests_skipped, m.inventory, m.created_at, m.changed_at, m.revision
	FROM machine m JOIN site s ON s.id = m.site `

var bareOf = []string{
	`SELECT machine, name, mac::text, boot, driver, link, speed_mbs, pci FROM interface WHERE machine = ANY ($1) ORDER BY machine, position`,
	`SELECT machine, driver, url, username, system, insecure FROM bmc WHERE machine = ANY ($1)`,
	`SELECT machine, id, subnet, ip, kind, mac, name, created_at FROM address WHERE machine = ANY ($1) ORDER BY machine, ip`,
	`SELECT subject, id, code, severity, reason, evidence, remedy, since FROM problem WHERE subject = ANY ($1) AND cleared_at IS NULL ORDER BY id`,
	`SELECT machine, test, kind, device, outcome, message, metrics, at, seconds FROM test_result WHERE machine = ANY ($1) AND latest ORDER BY machine, seq`,
	`SELECT machine, id, kind, step_name FROM workflow WHERE machine = ANY ($1) AND state IN ('running', 'unwinding')`,
}

// listVersusSQL is the time of a page against the bare SQL for the same page.
func listVersusSQL(ctx context.Context, g *ground) (bench.Line, error) {
	sql := milliseconds(func() error {
		rows, err := g.pool.Query(ctx, bare+`WHERE m.id > $1 ORDER BY m.id LIMIT 100`, "")
		if err != nil {
			return err
		}
		ids, err := readAll(rows)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		for _, of := range bareOf {
			b.Queue(of, ids).Query(func(rows pgx.Rows) error { _, err := readAll(rows); return err })
		}
		return g.pool.SendBatch(ctx, b).Close()
	})
	a, b, err := pairs(turns, g.page(ctx, ""), sql)
	return bench.Line{Sprout: a, Peer: "sql", Other: b}, err
}

// readAll decodes every value of every row, and returns the first of each.
func readAll(rows pgx.Rows) (ids []string, err error) {
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		ids = append(ids, values[0].(string))
	}
	return ids, rows.Err()
}

// getVersusSQL is how many machines a second many clients get by their ids,
// against the bare SQL for the same.
func getVersusSQL(ctx context.Context, g *ground) (bench.Line, error) {
	sprout := g.rate(ctx, func(id string) error { _, err := g.get(ctx, "/v1/machines/"+id); return err })
	sql := g.rate(ctx, func(id string) error {
		b := &pgx.Batch{}
		read := func(rows pgx.Rows) error { _, err := readAll(rows); return err }
		b.Queue(bare+`WHERE m.id = $1`, id).Query(read)
		for _, of := range bareOf {
			b.Queue(of, []string{id}).Query(read)
		}
		return g.pool.SendBatch(ctx, b).Close()
	})
	a, b, err := pairs(7, sprout, sql)
	return bench.Line{Sprout: a, Peer: "sql", Other: b}, err
}

// rate is how often a second clients can do something at once.
func (g *ground) rate(ctx context.Context, do func(id string) error) func() (float64, error) {
	const during = 2 * time.Second
	var next atomic.Int64
	return func() (float64, error) {
		var done atomic.Int64
		all, ctx := errgroup.WithContext(ctx)
		began := time.Now()
		for range clients {
			all.Go(func() error {
				for time.Since(began) < during && ctx.Err() == nil {
					n := next.Add(7919)%int64(g.machines) + 1 // a prime: all over the fleet
					if err := do(fmt.Sprintf("mch_%026d", n)); err != nil {
						return err
					}
					done.Add(1)
				}
				return nil
			})
		}
		err := all.Wait()
		return float64(done.Load()) / time.Since(began).Seconds(), err
	}
}
