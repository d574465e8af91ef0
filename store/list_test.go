package store_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// machineNames reads a list page by page and calls between after each page.
func machineNames(t *testing.T, s *store.Store, f store.MachineFilter, between func(page int)) (names []string) {
	t.Helper()
	for page := 1; ; page++ {
		list, next, err := s.Machines(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			names = append(names, m.Name)
		}
		if f.After = next; next == "" {
			return names
		}
		if len(list) != f.Limit {
			t.Fatalf("page %d has %d rows and goes on", page, len(list))
		}
		between(page)
	}
}

// Between two pages the last machine of the page before goes, and another one
// comes at the very beginning: none of the others is missed or seen twice.
func TestPagesHoldWhileRowsComeAndGo(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	ids := map[string]sprout.MachineID{}
	for i := range 10 {
		m := storetest.Machine(t, s, site.ID, fmt.Sprintf("m%02d", i), fmt.Sprintf("52:54:00:00:00:%02x", i))
		ids[m.Name] = m.ID
	}
	want := machineNames(t, s, store.MachineFilter{Page: store.Page{Limit: 1000}}, nil)
	got := machineNames(t, s, store.MachineFilter{Page: store.Page{Limit: 3}}, func(page int) {
		gone := ids[want[3*page-1]]
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.DeleteMachine(ctx, tx, gone) })
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			first := sprout.Machine{Site: site.ID, ID: sprout.MachineID(fmt.Sprint("mch_00", page)), Name: fmt.Sprint("a", page), State: sprout.Registered}
			_, err := s.CreateMachine(ctx, tx, first, "test")
			return err
		})
	})
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestCursorsThatAreNotOurs(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	for i := range 3 {
		storetest.Machine(t, s, site.ID, fmt.Sprint("m", i), fmt.Sprintf("52:54:00:00:00:%02x", i))
	}
	_, ours, err := s.Machines(t.Context(), store.MachineFilter{Page: store.Page{Limit: 1}})
	if err != nil || ours == "" {
		t.Fatal(ours, err)
	}
	encode := func(raw string) string { return base64.RawURLEncoding.EncodeToString([]byte(raw)) }
	for _, forged := range []string{
		"x", "mch_1", ours + "!", ours[1:], encode("[]"), encode("null"), encode(`{"a":1}`), encode(`["machine created"]`),
		encode(`["machine created","a","b"]`), encode(`["machine created",1]`), encode(`["machine created","\u0000"]`),
		encode(`["machine name","a","b"]`),
	} {
		_, _, err := s.Machines(t.Context(), store.MachineFilter{Page: store.Page{After: forged}})
		wantField(t, err, sprout.Invalid, "after")
	}
	_, _, err = s.Machines(t.Context(), store.MachineFilter{Page: store.Page{After: ours, Sort: "-created"}})
	wantField(t, err, sprout.Invalid, "after")
	_, _, err = s.Workflows(t.Context(), store.WorkflowFilter{Page: store.Page{After: ours}})
	wantField(t, err, sprout.Invalid, "after")
	_, _, err = s.AuditRecords(t.Context(), store.AuditFilter{Page: store.Page{After: encode(`["audit record -created","1; DROP"]`)}})
	wantField(t, err, sprout.Invalid, "after")
	_, _, err = s.Addresses(t.Context(), store.AddressFilter{Page: store.Page{After: encode(`["address ip","sit_1","10.0.0"]`)}})
	wantField(t, err, sprout.Invalid, "after")
	_, _, err = s.Machines(t.Context(), store.MachineFilter{Page: store.Page{Sort: "colour"}})
	wantField(t, err, sprout.Invalid, "sort")
}

// planned remembers the last statement of a list and explains it.
type planned struct {
	counter
	sql  string
	args []any
}

func (p *planned) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if strings.Contains(d.SQL, "LIMIT") && !strings.HasPrefix(d.SQL, "EXPLAIN") {
		p.sql, p.args = d.SQL, d.Args
	}
	return ctx
}

// Whatever a list may be sorted by, within a site and over all, an index gives
// the order: with everything else forbidden, the plan still sorts nothing.
func TestAnIndexServesEveryOrder(t *testing.T) {
	seen := &planned{}
	pool := storetest.NewPool(t, func(c *pgxpool.Config) { c.ConnConfig.Tracer = seen })
	s := store.New(pool, store.Config{})
	site := storetest.Site(t, s, "lon1")
	machine := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	ctx := t.Context()
	lists := map[string]struct {
		sorts []string
		ask   func(site sprout.SiteID, p store.Page) error
	}{
		"machine": {[]string{"created", "name", "state"}, func(site sprout.SiteID, p store.Page) error {
			_, _, err := s.Machines(ctx, store.MachineFilter{Sites: sprout.At(site), Page: p})
			return err
		}},
		"workflow": {[]string{"created", "state"}, func(site sprout.SiteID, p store.Page) error {
			_, _, err := s.Workflows(ctx, store.WorkflowFilter{Sites: sprout.At(site), Page: p})
			return err
		}},
		"workflow of a machine": {[]string{"created"}, func(_ sprout.SiteID, p store.Page) error {
			_, _, err := s.Workflows(ctx, store.WorkflowFilter{Machine: machine.ID, Page: p})
			return err
		}},
		"problem": {[]string{"since", "code", "severity"}, func(site sprout.SiteID, p store.Page) error {
			_, _, err := s.Problems(ctx, store.ProblemFilter{Sites: sprout.At(site), Page: p, Cleared: true})
			return err
		}},
		"audit": {[]string{"created"}, func(site sprout.SiteID, p store.Page) error {
			_, _, err := s.AuditRecords(ctx, store.AuditFilter{Sites: sprout.At(site), Page: p})
			return err
		}},
		"network": {[]string{"created", "name"}, func(site sprout.SiteID, p store.Page) error {
			_, _, err := s.ListNetworks(ctx, store.NetworkFilter{Sites: sprout.At(site), Page: p})
			return err
		}},
		"address": {[]string{"ip"}, func(site sprout.SiteID, p store.Page) error {
			_, _, err := s.Addresses(ctx, store.AddressFilter{Sites: sprout.At(site), Page: p})
			return err
		}},
		"lease": {[]string{"ip"}, func(site sprout.SiteID, p store.Page) error {
			_, _, err := s.Leases(ctx, store.LeaseFilter{Sites: sprout.At(site), Page: p})
			return err
		}},
		"image": {[]string{"created", "name"}, func(_ sprout.SiteID, p store.Page) error {
			_, _, err := s.Images(ctx, p)
			return err
		}},
		"site": {[]string{"created", "name"}, func(site sprout.SiteID, p store.Page) error {
			_, _, err := s.Sites(ctx, store.SiteFilter{Sites: sprout.At(site), Page: p})
			return err
		}},
		"history": {[]string{"created"}, func(_ sprout.SiteID, p store.Page) error {
			_, _, err := s.MachineHistory(ctx, machine, p)
			return err
		}},
	}
	for noun, list := range lists {
		for _, sort := range list.sorts {
			for _, of := range []sprout.SiteID{"", site.ID} {
				for _, backwards := range []string{"", "-"} {
					if err := list.ask(of, store.Page{Sort: backwards + sort}); err != nil {
						t.Fatalf("%s by %s: %v", noun, sort, err)
					}
					if plan := explained(t, pool, seen.sql, seen.args); strings.Contains(plan, "Sort") {
						t.Errorf("%s by %s%s, site %q:\n%s\n%s", noun, backwards, sort, of, seen.sql, plan)
					}
				}
			}
		}
	}
}

func explained(t *testing.T, pool *pgxpool.Pool, sql string, args []any) string {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // nothing was written
	for _, off := range []string{"enable_sort", "enable_incremental_sort", "enable_seqscan", "enable_bitmapscan"} {
		if _, err := tx.Exec(t.Context(), "SET LOCAL "+off+" = off"); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tx.Query(t.Context(), "EXPLAIN (COSTS off) "+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// fleet makes machines that differ in all that a list may be narrowed by.
func fleet(t *testing.T, s *store.Store) (lon, par sprout.Site) {
	t.Helper()
	lon, par = storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		for _, m := range []sprout.Machine{
			{Site: lon.ID, Name: "web-2", Labels: sprout.Labels{"rack": "r1", "env": "prod"}, Pool: "web", Tags: []string{"ssd"}},
			{Site: lon.ID, Name: "web-10", Labels: sprout.Labels{"rack": "r1", "env": "dev", "gpu": ""}, Zone: "z1", Architecture: sprout.ARM64},
			{Site: par.ID, Name: "web-2", Labels: sprout.Labels{"rack": "r2"}, Owner: "ann", BootMode: sprout.UEFI},
			{Site: lon.ID, Name: "db-1", State: sprout.Discovered},
		} {
			if m.State == "" {
				m.State = sprout.Registered
			}
			made, err := s.CreateMachine(ctx, tx, m, "test")
			if err != nil {
				return err
			}
			if m.Name == "db-1" {
				err = s.RaiseProblem(ctx, tx, sprout.Problem{Code: sprout.BMCDenied, Severity: sprout.Critical, Site: lon.ID, Subject: string(made.ID), Name: m.Name})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return lon, par
}

func TestMachinesAreNarrowed(t *testing.T) {
	s := storetest.New(t)
	lon, par := fleet(t, s)
	selects := func(text string) store.MachineFilter {
		labels, err := sprout.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		return store.MachineFilter{Labels: labels}
	}
	for _, c := range []struct {
		f    store.MachineFilter
		want string
	}{
		{store.MachineFilter{}, "db-1 web-10 web-2 web-2"},
		{store.MachineFilter{Sites: sprout.At(lon.ID)}, "db-1 web-10 web-2"},
		{store.MachineFilter{Sites: sprout.At(par.ID)}, "web-2"},
		{store.MachineFilter{States: []sprout.State{sprout.Discovered}}, "db-1"},
		{store.MachineFilter{States: []sprout.State{sprout.Discovered, sprout.Registered}, Sites: sprout.At(lon.ID)}, "db-1 web-10 web-2"},
		{store.MachineFilter{Name: "web-"}, "web-10 web-2 web-2"},
		{store.MachineFilter{Name: "web-1"}, "web-10"},
		{store.MachineFilter{Tag: "ssd"}, "web-2"},
		{store.MachineFilter{Tag: "ss"}, ""},
		{store.MachineFilter{Pool: "web"}, "web-2"},
		{store.MachineFilter{Zone: "z1"}, "web-10"},
		{store.MachineFilter{Owner: "ann"}, "web-2"},
		{store.MachineFilter{Architecture: sprout.ARM64}, "web-10"},
		{store.MachineFilter{BootMode: sprout.UEFI}, "web-2"},
		{store.MachineFilter{Power: sprout.PowerOn}, ""},
		{store.MachineFilter{Power: sprout.PowerUnknown, Sites: sprout.At(par.ID)}, "web-2"},
		{store.MachineFilter{Problem: store.AnyProblem}, "db-1"},
		{store.MachineFilter{Problem: string(sprout.BMCDenied)}, "db-1"},
		{store.MachineFilter{Problem: string(sprout.AgentOffline)}, ""},
		{selects("rack=r1"), "web-10 web-2"},
		{selects("rack=r1,env!=prod"), "web-10"},
		{selects("env!=prod"), "db-1 web-10 web-2"},
		{selects("gpu"), "web-10"},
		{selects("gpu="), "web-10"},
		{selects("!rack"), "db-1"},
		{selects("rack,!gpu"), "web-2 web-2"},
		{selects("rack=r1,rack=r2"), ""},
		{selects("gpu=,gpu=x"), ""},
	} {
		c.f.Sort = "name"
		if got := strings.Join(machineNames(t, s, c.f, nil), " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.f, got, c.want)
		}
	}
}

// However small the pages, an order is whole and the same, forwards and backwards.
func TestEveryOrderGoesOnFromPageToPage(t *testing.T) {
	s := storetest.New(t)
	fleet(t, s)
	for sort, want := range map[string]string{"name": "db-1 web-10 web-2 web-2", "state": "db-1"} {
		whole := machineNames(t, s, store.MachineFilter{Page: store.Page{Sort: sort}}, nil)
		if !strings.HasPrefix(strings.Join(whole, " "), want) || len(whole) != 4 {
			t.Errorf("by %s: %v", sort, whole)
		}
		for limit := 1; limit <= 3; limit++ {
			there := machineNames(t, s, store.MachineFilter{Page: store.Page{Sort: sort, Limit: limit}}, func(int) {})
			back := machineNames(t, s, store.MachineFilter{Page: store.Page{Sort: "-" + sort, Limit: limit}}, func(int) {})
			slices.Reverse(back)
			if !slices.Equal(there, whole) || !slices.Equal(back, whole) {
				t.Errorf("by %s, %d at a time: %v and backwards %v, want %v", sort, limit, there, back, whole)
			}
		}
	}
}

func TestFindMachineByBeginnings(t *testing.T) {
	s := storetest.New(t)
	lon, par := fleet(t, s)
	for ref, want := range map[string]string{"db-1": "lon1/db-1", "d": "lon1/db-1", "web-1": "lon1/web-10", "par1/web": "par1/web-2", "lon1/web-2": "lon1/web-2"} {
		m, err := s.FindMachine(t.Context(), nil, ref)
		if err != nil || m.SiteName+"/"+m.Name != want {
			t.Errorf("%s finds %s/%s, %v", ref, m.SiteName, m.Name, err)
		}
		for _, id := range []string{string(m.ID), string(m.ID[:len(m.ID)-2])} {
			if same, err := s.FindMachine(t.Context(), sprout.At(m.Site), id); err != nil || same.ID != m.ID {
				t.Errorf("%s finds %s, %v", id, same.ID, err)
			}
			other := par.ID
			if m.Site == par.ID {
				other = lon.ID
			}
			_, err := s.FindMachine(t.Context(), sprout.At(other), id)
			wantField(t, err, sprout.NotFound, "machine")
		}
	}
	for _, ref := range []string{"web", "web-2", "lon1/web", "mch_"} {
		_, err := s.FindMachine(t.Context(), nil, ref)
		wantField(t, err, sprout.Invalid, "machine")
	}
	for _, ref := range []string{"x", "lon1/x", "par1/db-1"} {
		_, err := s.FindMachine(t.Context(), nil, ref)
		wantField(t, err, sprout.NotFound, "machine")
	}
}
