package store_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// What a BMC told of itself is kept for as long as it is that BMC, and is no decision of
// anybody's: an update that was read before goes on.
func TestBMCAbout(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	other := storetest.Machine(t, s, site.ID, "m2", "52:54:00:00:00:02")
	set := func(b sprout.BMC) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.SetBMC(ctx, tx, m.ID, b) })
	}
	tell := func(id sprout.MachineID, url, vendor string) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			return s.SetBMCAbout(ctx, tx, id, sprout.BMCFact{URL: url, BMCAbout: sprout.BMCAbout{Vendor: vendor, Quirks: []sprout.Quirk{{Name: "usb-cd", Does: "d"}}}})
		})
	}
	about := func() string {
		t.Helper()
		got, err := s.Machine(t.Context(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.BMCAbout == nil {
			return ""
		}
		return got.BMCAbout.Vendor + " " + got.BMCAbout.Quirks[0].Name
	}
	b := sprout.BMC{Driver: "redfish", URL: "https://10.0.0.5", Username: "root", Password: "hunter2"}
	set(b)
	before, err := s.Machine(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	tell(m.ID, b.URL, "Acme")
	tell(other.ID, b.URL, "Acme") // it has no BMC any more
	if got := about(); got != "Acme usb-cd" {
		t.Errorf("of the BMC is known %q", got)
	}
	tell(m.ID, b.URL, "Acme 2")
	after, err := s.Machine(t.Context(), m.ID)
	if err != nil || after.Rev != before.Rev {
		t.Errorf("the revision went from %d to %d by what was measured; %v", before.Rev, after.Rev, err)
	}
	if list, _, err := s.Machines(t.Context(), store.MachineFilter{}); err != nil || len(list) != 2 || list[0].BMCAbout == nil || list[1].BMCAbout != nil {
		t.Errorf("the list has %+v, %v", list, err)
	}
	set(sprout.BMC{Driver: "redfish", URL: b.URL, Username: "admin"})
	if got := about(); got != "Acme 2 usb-cd" {
		t.Errorf("with another account %q is known", got)
	}
	b.URL = "https://10.0.0.6"
	set(b)
	tell(m.ID, "https://10.0.0.5", "Late") // from the BMC that it had
	if got := about(); got != "" {
		t.Errorf("of another BMC %q is known", got)
	}
	if after, err := s.Machine(t.Context(), m.ID); err != nil || after.Rev == before.Rev {
		t.Errorf("the revision is %d still after another URL; %v", after.Rev, err)
	}
}

// likenesses are machines with all that a crawl compares.
const likenesses = 10_000

// A crawl that compares each system that it found with a site of 10,000 machines, and a
// machine that is discovered there, look at those that are alike and at no other.
func TestAlikeByIndexes(t *testing.T) {
	seen := &planned{}
	pool := storetest.NewPool(t, func(c *pgxpool.Config) { c.ConnConfig.Tracer = seen })
	s := store.New(pool, store.Config{})
	site := storetest.Site(t, s, "lon1")
	fillSite(t, pool, site.ID)
	// Hardware may say anything, of any length.
	long := func(n byte) string {
		raw := make([]byte, 6000)
		rand.NewChaCha8([32]byte{n}).Read(raw) //nolint:errcheck // it never fails
		return strings.Repeat("x", 64) + hex.EncodeToString(raw)
	}
	for n := range byte(2) {
		m := storetest.Machine(t, s, site.ID, fmt.Sprint("long-", n), fmt.Sprintf("52:54:00:ee:00:%02x", n))
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.SetInventory(ctx, tx, m.ID, sprout.Inventory{UUID: long(n + 10), Serial: long(n)})
			return errors.Join(err, s.SetBMC(ctx, tx, m.ID, sprout.BMC{Driver: "redfish", URL: "https://" + long(n+20)}))
		})
	}
	if list, err := s.Alike(t.Context(), site.ID, nil, nil, []string{long(1)}, ""); err != nil || len(list) != 1 || list[0].Name != "long-1" {
		t.Errorf("with a long serial number: %+v, %v", list, err)
	}
	uuid := func(n int) string { return fmt.Sprintf("4c4c4544-0048-4a10-8032-%012x", n) }
	for name, ask := range map[string]func() (int, error){
		"a crawl": func() (int, error) {
			list, err := s.Alike(t.Context(), site.ID, []string{"52:54:00:00:00:07"}, []string{uuid(8)}, []string{"SN9"}, "10.1.0.10")
			return len(list), err
		},
		"a crawl by IPv6": func() (int, error) {
			list, err := s.Alike(t.Context(), site.ID, nil, nil, nil, "[fd00::5]")
			return len(list), err
		},
		"a discovery": func() (int, error) {
			_, err := s.MachineOf(t.Context(), site.ID, store.Hardware{MACs: []string{"52:54:00:ff:ff:ff"}, UUID: strings.ToUpper(uuid(8)), Serial: "SN8"})
			return 1, err
		},
	} {
		want := map[string]int{"a crawl": 4}[name]
		if n, err := ask(); err != nil || n != max(want, 1) {
			t.Errorf("%s: %d machines are alike, %v", name, n, err)
		}
		var plan string
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) "+seen.sql, seen.args...)
			if err != nil {
				return err
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			plan = strings.Join(lines, "\n")
			return err
		})
		if err != nil || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Rows Removed by Filter") {
			t.Errorf("%s: %v\n%s", name, err, plan)
		}
	}
}

// fillSite gives a site its machines at once, each with a port, an inventory and a BMC.
func fillSite(t *testing.T, pool *pgxpool.Pool, site sprout.SiteID) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO machine (site, id, name, state, inventory) SELECT $1, 'mch_' || n, 'm' || n, 'ready', jsonb_build_object(
			'uuid', '4C4C4544-0048-4A10-8032-' || upper(lpad(to_hex(n), 12, '0')), 'serial', 'SN' || n) FROM generate_series(1, $2::int) n`,
		`INSERT INTO interface (site, machine, mac, position) SELECT $1, 'mch_' || n, ('52540000' || lpad(to_hex(n), 4, '0'))::macaddr, 0
			FROM generate_series(1, $2::int) n`,
		`INSERT INTO bmc (site, machine, driver, url) SELECT $1, 'mch_' || n, 'redfish',
			CASE WHEN n = 5 THEN 'https://[fd00::5]:8443/' ELSE 'https://10.' || 1 + n / 65536 || '.' || n / 256 || '.' || n % 256 || CASE n % 2 WHEN 0 THEN ':443' ELSE '' END END
			FROM generate_series(1, $2::int) n`,
	} {
		if _, err := pool.Exec(t.Context(), sql, site, likenesses); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pool.Exec(t.Context(), `ANALYZE`); err != nil {
		t.Fatal(err)
	}
}
