package server

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// A fleet that grows is read each time, and a whole one is remembered: a result more
// counts in the first alone. What was told something else is another fleet.
func TestWholeFleetIsRemembered(t *testing.T) {
	url := storetest.NewURL(t)
	s, err := store.Open(t.Context(), url, 0, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(t.Context()) })
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	run(`INSERT INTO site (id, name, domain) VALUES ('sit_1', 'lon1', 'lon1.example')`)
	run(`INSERT INTO machine (site, id, name, state, architecture) VALUES ('sit_1', 'mch_1', 'm1', 'ready', 'amd64')`)
	tested := func(n int) {
		t.Helper()
		run(`INSERT INTO test_result (site, machine, test, kind, device, outcome, at, latest, serial, model)
			SELECT 'sit_1', 'mch_1', 'disk-speed', 'disk', 'sda', 'passed', now(), false, gen_random_uuid()::text, 'PM9A3' FROM generate_series(1, $1)`, n)
	}
	var f fleets
	size := func(parameters map[string]string) int {
		t.Helper()
		results, err := f.of(t.Context(), s, sprout.TestResult{Test: "disk-speed", Model: "PM9A3", Parameters: parameters})
		if err != nil {
			t.Fatal(err)
		}
		return len(results)
	}
	tested(50)
	if n := size(nil); n != 50 {
		t.Errorf("%d sisters of 50", n)
	}
	tested(1)
	if n := size(nil); n != 51 {
		t.Errorf("%d sisters of 51: one that grows was remembered", n)
	}
	tested(300)
	whole := size(nil)
	run(`DELETE FROM test_result`)
	if n := size(nil); n != whole || n != 300 {
		t.Errorf("%d sisters, and %d before: a whole fleet was read again", n, whole)
	}
	if n := size(map[string]string{"runtime": "60"}); n != 0 {
		t.Errorf("%d sisters were told the same", n)
	}
}
