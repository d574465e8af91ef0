package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
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
