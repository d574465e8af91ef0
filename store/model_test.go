package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store/storetest"
)

func TestUsualSteps(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	for n, model := range []string{"R740", "R740", "R740", "R740", "R740", "tiny"} {
		m := storetest.Machine(t, s, site.ID, fmt.Sprintf("m%d", n), fmt.Sprintf("52:54:00:00:01:%02x", n))
		id := fmt.Sprintf("wfl_%d", n)
		took := time.Duration(n+1) * 10 * time.Second
		outcome := "done"
		if n == 4 {
			outcome = "failed"
		}
		for _, q := range []struct {
			sql  string
			args []any
		}{
			{`UPDATE machine SET inventory = jsonb_build_object('vendor', 'Dell', 'model', $2::text) WHERE id = $1`, []any{m.ID, model}},
			{`INSERT INTO workflow (site, id, kind, machine, actor, state, version, run, created_at) VALUES ($1, $2, 'deploy', $3, 'ann', 'succeeded', 1,
				jsonb_build_object('steps', jsonb_build_array(jsonb_build_object('name', 'finish', 'outcome', 'done', 'startedAt', $4::timestamptz, 'endedAt', $5::timestamptz))), now())`,
				[]any{site.ID, id, m.ID, bootNoon, bootNoon.Add(took)}},
			{`INSERT INTO site_step (site, workflow, work, name, attempt, outcome, started_at, ended_at) VALUES ($1, $2, $2 || '/1', 'boot-ramdisk', 1, $3, $4, $5)`,
				[]any{site.ID, id, outcome, bootNoon, bootNoon.Add(took)}},
		} {
			if _, err := s.Pool().Exec(t.Context(), q.sql, q.args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		kind, step, model string
		want              sprout.Usual
	}{
		{"deploy", "boot-ramdisk", "R740", sprout.Usual{Runs: 4, P50: 25 * time.Second, P95: 38500 * time.Millisecond}},
		{"deploy", "finish", "R740", sprout.Usual{Runs: 5, P50: 30 * time.Second, P95: 48 * time.Second}},
		{"deploy", "boot-ramdisk", "tiny", sprout.Usual{Runs: 1, P50: time.Minute, P95: time.Minute}},
		{"release", "boot-ramdisk", "R740", sprout.Usual{}},
	} {
		all, err := s.UsualSteps(t.Context(), test.kind, "Dell", test.model)
		got := all[test.step]
		if err != nil || got.Runs != test.want.Runs || (got.P50-test.want.P50).Abs() > time.Millisecond || (got.P95-test.want.P95).Abs() > time.Millisecond {
			t.Errorf("%+v: got %+v, %v", test, got, err)
		}
	}
}

func TestModels(t *testing.T) {
	s := storetest.New(t)
	write := func(do func(ctx context.Context, tx pgx.Tx) error) {
		t.Helper()
		if err := s.Tx(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	lon, par := storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")
	for n, m := range []struct {
		site  sprout.SiteID
		model string
		mem   int64
		disks []sprout.Disk
	}{
		{lon.ID, "R740", 1 << 30, []sprout.Disk{{Name: "sda", Bytes: 10}, {Name: "sdb", Bytes: 20}}},
		{lon.ID, "R740", 3 << 40, nil},
		{par.ID, "R740", 1, []sprout.Disk{{Name: "sda", Bytes: 25}}},
		{par.ID, "tiny", 1, nil},
	} {
		made := storetest.Machine(t, s, m.site, fmt.Sprintf("m%d", n), fmt.Sprintf("52:54:00:00:01:%02x", n))
		write(func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.SetInventory(ctx, tx, made.ID, sprout.Inventory{Vendor: "Dell", Model: m.model, MemoryBytes: m.mem, Disks: m.disks})
			return err
		})
	}
	storetest.Machine(t, s, lon.ID, "unseen", "52:54:00:00:01:ff")
	set := func(step string, limit time.Duration, by string) {
		write(func(_ context.Context, tx pgx.Tx) error {
			return s.SetModelLimit(t.Context(), tx, "Dell", "R740", step, limit, by)
		})
	}
	set("phone-home", time.Hour, "ann")
	set("boot-ramdisk", time.Hour, "ann")
	set("boot-ramdisk", 25*time.Minute, "bob")
	all, err := s.Models(t.Context(), nil)
	if err != nil || len(all) != 2 {
		t.Fatalf("models are %+v, %v", all, err)
	}
	got := all[0]
	if got.String() != "Dell R740" || got.Machines != 3 || got.MemoryBytes != 3<<40 || got.DiskBytes != 30 {
		t.Errorf("the first is %+v", got)
	}
	if l := got.Limits; len(l) != 2 || l[0].Step != "boot-ramdisk" || l[0].Seconds != 1500 || l[0].By != "bob" || l[0].At.IsZero() {
		t.Errorf("limits are %+v", got.Limits)
	}
	if one, err := s.Models(t.Context(), sprout.At(par.ID)); err != nil || len(one) != 2 || one[0].Machines != 1 {
		t.Errorf("of one site: %+v, %v", one, err)
	}
	set("boot-ramdisk", 0, "bob")
	if left, err := s.ModelLimits(t.Context(), "Dell", "R740"); err != nil || len(left) != 1 || left[0].Step != "phone-home" || left[0].Seconds != 3600 {
		t.Errorf("left are %+v, %v", left, err)
	}
}
