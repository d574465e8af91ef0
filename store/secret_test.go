package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
	"sprout/workflow"
)

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	first, err := store.OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := first.Seal("mch_1", []byte("hunter2"))
	if err != nil || bytes.Contains(sealed, []byte("hunter2")) {
		t.Fatalf("sealed %q, %v", sealed, err)
	}
	again, err := store.OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open("mch_1", sealed); err != nil || string(got) != "hunter2" {
		t.Errorf("opened %q, %v", got, err)
	}
	if _, err := again.Open("mch_2", sealed); err == nil {
		t.Error("it opens for another owner")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := again.Open("mch_1", sealed); err == nil {
		t.Error("it opens although a bit was changed")
	}
	if text := fmt.Sprintf("%v %+v %#v", first, first, first); text != "store.Key store.Key store.Key" {
		t.Errorf("it prints as %s", text)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = store.OpenKey(path)
	wantKind(t, err, sprout.Invalid)
	_, err = store.Key{}.Seal("x", nil)
	wantKind(t, err, sprout.Unavailable)
}

func TestPasswordIsSealedAndKept(t *testing.T) {
	s := storetest.NewWith(t, store.Config{SealFor: sealed})
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	set := func(b sprout.BMC) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.SetBMC(ctx, tx, m.ID, b) })
	}
	set(sprout.BMC{Driver: "redfish", URL: "http://bmc", Username: "root", Password: "hunter2"})
	set(sprout.BMC{Driver: "redfish", URL: "http://other", Username: "root"}) // without a password: the known one stays
	var secret []byte
	if err := s.Pool().QueryRow(t.Context(), `SELECT secret FROM bmc`).Scan(&secret); err != nil {
		t.Fatal(err)
	}
	if len(secret) == 0 || bytes.Contains(secret, []byte("hunter2")) {
		t.Errorf("at rest it is %q", secret)
	}
	got, err := s.Machine(t.Context(), m.ID)
	if err != nil || got.BMC.Password != "" || got.BMC.URL != "http://other" {
		t.Errorf("BMC %+v, %v", got.BMC, err)
	}
	err = s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		return s.SetBMC(ctx, tx, m.ID, sprout.BMC{Driver: "redfish"})
	})
	wantField(t, err, sprout.Invalid, "bmc.url")
}

// Keys are changed: the first seals, all open, what older ones sealed is sealed
// anew in batches, and once that is done the old key is not needed any more.
func TestKeysAreRotated(t *testing.T) {
	old, fresh := make([]byte, 32), bytes.Repeat([]byte{1}, 32)
	key := func(raw ...[]byte) store.Key {
		k, err := store.NewKey(raw...)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	before := storetest.NewWith(t, store.Config{Key: key(old), SealFor: sealed})
	site := storetest.Site(t, before, "lon1")
	for i := range 3 {
		m := storetest.Machine(t, before, site.ID, fmt.Sprintf("m%d", i), fmt.Sprintf("52:54:00:00:00:0%d", i))
		inTx(t, before, func(ctx context.Context, tx pgx.Tx) error {
			return before.SetBMC(ctx, tx, m.ID, sprout.BMC{Driver: "redfish", URL: "http://bmc", Password: "hunter2"})
		})
	}
	inTx(t, before, func(ctx context.Context, tx pgx.Tx) error {
		return before.CreateRun(ctx, tx, workflow.Run{ID: "wfl_1", Kind: "deploy", State: sprout.Running}, store.Origin{Site: site.ID, Actor: "x", Secret: []byte("user data")})
	})
	// One that a version before 0.2 left in the clear, and one without a mark.
	if _, err := before.Pool().Exec(t.Context(), `
		INSERT INTO workflow (site, id, kind, actor, state, version, run, created_at)
		SELECT id, 'wfl_2', 'deploy', 'x', 'succeeded', 1, '{"input": {"userData": "plain words"}}', now() FROM site`); err != nil {
		t.Fatal(err)
	}
	if _, err := before.Pool().Exec(t.Context(), `UPDATE bmc SET secret = substr(secret, 7) WHERE machine = (SELECT min(machine) FROM bmc)`); err != nil {
		t.Fatal(err)
	}

	both := store.New(before.Pool(), store.Config{Key: key(fresh, old)})
	if n, err := both.SealedByOthers(t.Context()); err != nil || n != 4 {
		t.Errorf("%d are sealed by others, %v; want 4", n, err)
	}
	if n, err := both.Reseal(t.Context()); err != nil || n != 5 {
		t.Fatalf("%d were sealed anew, %v; want 5", n, err)
	}
	if n, err := both.Reseal(t.Context()); err != nil || n != 0 {
		t.Errorf("%d were sealed again, %v", n, err)
	}
	var run string
	if err := both.Pool().QueryRow(t.Context(), `SELECT run::text FROM workflow WHERE id = 'wfl_2'`).Scan(&run); err != nil || strings.Contains(run, "plain words") {
		t.Errorf("%s, %v", run, err)
	}
	for what, want := range map[string]string{"SELECT secret, machine FROM bmc": "hunter2", "SELECT secret, id FROM workflow ORDER BY id": "user data|plain words"} {
		rows, err := both.Pool().Query(t.Context(), what)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			Sealed []byte
			Owner  string
		}])
		if err != nil || len(list) == 0 {
			t.Fatal(list, err)
		}
		for _, r := range list {
			if got, err := key(fresh).Open(r.Owner, r.Sealed); err != nil || !strings.Contains(want, string(got)) {
				t.Errorf("%s: opened %q, %v", what, got, err)
			}
		}
	}
	if _, err := store.ParseKey("nonsense"); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("a key that is none: %v", err)
	}
}
