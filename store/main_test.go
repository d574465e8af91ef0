package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// inTx runs do in a transaction and fails the test where that fails.
func inTx(t *testing.T, s *store.Store, do func(ctx context.Context, tx pgx.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind sprout.Kind) {
	t.Helper()
	if err == nil || sprout.KindOf(err) != kind {
		t.Errorf("want an error of kind %s, got %v (%s)", kind, err, sprout.KindOf(err))
	}
}

// wantField wants an error of the kind that names the field.
func wantField(t *testing.T, err error, kind sprout.Kind, field string) {
	t.Helper()
	wantKind(t, err, kind)
	if e := asError(err); e == nil || e.Field != field {
		t.Errorf("want the error to name the field %s, got %+v", field, e)
	}
}
