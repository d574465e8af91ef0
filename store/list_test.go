package store_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

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
