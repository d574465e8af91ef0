package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func madeImage(t *testing.T, s *store.Store, name string) (made sprout.Image) {
	t.Helper()
	digest := "sha256:" + strings.Repeat("0", 64-len(name)) + name
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
		made, err = s.CreateImage(ctx, tx, sprout.Image{Name: name, Digest: digest, Compression: "none", RawDigest: digest, Architecture: sprout.AMD64})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func alias(t *testing.T, s *store.Store, name string, of sprout.Image) error {
	t.Helper()
	return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return s.SetImageAlias(ctx, tx, name, of.ID, "ann") })
}

// Names and aliases are of one table: whichever is there first has the name.
func TestNoAliasShadowsAnImage(t *testing.T) {
	s := storetest.New(t)
	a, b := madeImage(t, s, "a1"), madeImage(t, s, "b1")
	for _, of := range []sprout.Image{a, b} {
		if err := alias(t, s, "stable", of); err != nil {
			t.Fatal(err)
		}
		if i, err := s.FindImage(t.Context(), "stable"); err != nil || i.ID != of.ID || len(i.Aliases) != 1 {
			t.Errorf("stable is %+v, %v", i, err)
		}
	}
	for _, name := range []string{"a1", "b1", string(a.ID), a.Digest, "a/b", ""} {
		if err := alias(t, s, name, b); sprout.KindOf(err) != sprout.Conflict && sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("alias %q: %v", name, err)
		}
	}
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		a.ID, a.Name = "", "stable"
		_, err := s.CreateImage(ctx, tx, a)
		return err
	})
	if sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("an image called as an alias: %v", err)
	}
	remove := func(ctx context.Context, tx pgx.Tx) error { return s.DeleteImage(ctx, tx, b.ID) }
	if err := s.Tx(t.Context(), remove); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("deleted under its alias: %v", err)
	}
	if err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return s.DeleteImageAlias(ctx, tx, "stable") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Tx(t.Context(), remove); err != nil {
		t.Errorf("without its alias: %v", err)
	}
	madeImage(t, s, "b1") // its name is free again
}

// Who holds an image has it until it commits; who comes after it is gone is told.
func TestHeldImageIsNotDeleted(t *testing.T) {
	s := storetest.New(t)
	i := madeImage(t, s, "a1")
	remove := func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '50ms'`); err != nil {
			return err
		}
		return s.DeleteImage(ctx, tx, i.ID)
	}
	hold := func(then func() error) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			if err := s.HoldImage(ctx, tx, i); err != nil {
				return err
			}
			return then()
		})
	}
	if err := hold(func() error {
		if err := s.Tx(t.Context(), remove); err == nil {
			t.Error("deleted while it is held")
		}
		return hold(func() error { return nil }) // any number may
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Tx(t.Context(), remove); err != nil {
		t.Fatal(err)
	}
	if err := hold(func() error { return nil }); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("held after it is gone: %v", err)
	}
}

// A deploy that is tried again needs its image's bytes, whatever image has them now.
func TestARetryHoldsItsImage(t *testing.T) {
	s := storetest.New(t)
	i := madeImage(t, s, "a1")
	m := storetest.Machine(t, s, storetest.Site(t, s, "lon1").ID, "m1", "52:54:00:00:00:01")
	if _, err := s.Pool().Exec(t.Context(), `INSERT INTO workflow (site, id, kind, machine, actor, state, version, run, created_at, ended_at)
		SELECT site, 'wfl_1', 'deploy', id, 'admin', 'failed', 1, jsonb_build_object('input', jsonb_build_object('image', jsonb_build_object('name', 'a1', 'digest', $2::text))), now(), now()
		FROM machine WHERE id = $1`, m.ID, i.Digest); err != nil {
		t.Fatal(err)
	}
	hold := func(ctx context.Context, tx pgx.Tx) error { return s.HoldImageOf(ctx, tx, "wfl_1") }
	remove := func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '50ms'`); err != nil {
			return err
		}
		return s.DeleteImage(ctx, tx, i.ID)
	}
	if err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		err := hold(ctx, tx)
		if gone := s.Tx(t.Context(), remove); gone == nil {
			t.Error("deleted while a retry holds it")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Tx(t.Context(), remove); err != nil {
		t.Fatal(err)
	}
	if err := s.Tx(t.Context(), hold); sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "image a1: it was deleted meanwhile") {
		t.Errorf("held after it is gone: %v", err)
	}
}
