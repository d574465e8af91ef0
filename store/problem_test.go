package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// Problems last for as long as they are renewed. Those of other subjects are not
// ended for want of it.
func TestProblemsThatNobodyRenewsEnd(t *testing.T) {
	s := storetest.New(t)
	open := func(want ...string) {
		t.Helper()
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.EndSilent(ctx, tx, "server:", time.Minute)
			return err
		})
		list, _, err := s.Problems(t.Context(), store.ProblemFilter{})
		names := map[string]bool{}
		for _, p := range list {
			names[p.Name] = true
		}
		if err != nil || len(list) != len(want) {
			t.Fatalf("open are %v, want %v: %v", names, want, err)
		}
		for _, name := range want {
			if !names[name] {
				t.Errorf("open are %v, want %v", names, want)
			}
		}
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		for _, subject := range []string{"server:a", "server:b", "database"} {
			if err := s.RaiseProblem(ctx, tx, sprout.Problem{Subject: subject, Name: subject, Code: sprout.ClockWrong, Severity: sprout.Critical}); err != nil {
				return err
			}
		}
		return nil
	})
	open("server:a", "server:b", "database")
	if _, err := s.Pool().Exec(t.Context(), `UPDATE problem SET since = now() - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.RenewProblems(ctx, tx, "server:a") })
	open("server:a", "database")
	if _, err := s.Pool().Exec(t.Context(), `UPDATE problem SET said_at = now() - interval '2 minutes'`); err != nil {
		t.Fatal(err)
	}
	open("database")
}
