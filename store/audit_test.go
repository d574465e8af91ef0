package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func TestAuditIsOfTheTransaction(t *testing.T) {
	s := storetest.New(t)
	undone := errors.New("undone")
	record := sprout.AuditRecord{Actor: "ann", Action: "site create", Outcome: "done", Name: "lon1", Subject: "sit_1", Request: "r1"}
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(s.Audit(ctx, tx, record), undone)
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	record.Outcome = "refused"
	if err := s.AuditAlone(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.AuditRecords(t.Context(), store.AuditFilter{Subject: "lon1"})
	if err != nil || len(list) != 1 || list[0].Seq != 1 || list[0].Outcome != "refused" || list[0].At.IsZero() {
		t.Errorf("records %+v, %v", list, err)
	}
	record.Outcome = "maybe"
	wantField(t, s.AuditAlone(t.Context(), record), sprout.Invalid, "outcome")
}

func TestAuditShowsTampering(t *testing.T) {
	for _, sql := range []string{
		`UPDATE audit SET actor = 'bob' WHERE seq = 5`,
		`UPDATE audit SET at = at + interval '1 hour' WHERE seq = 5`,
		`DELETE FROM audit WHERE seq = 5`,
		`UPDATE audit SET seq = CASE seq WHEN 5 THEN -6 ELSE -5 END WHERE seq IN (5, 6); UPDATE audit SET seq = -seq WHERE seq < 0`,
	} {
		s := storetest.New(t)
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			for i := range 9 {
				if err := s.Audit(ctx, tx, sprout.AuditRecord{Actor: "ann", Action: fmt.Sprint("a", i), Outcome: "done"}); err != nil {
					return err
				}
			}
			return nil
		})
		if n, err := s.VerifyAudit(t.Context()); err != nil || n != 9 {
			t.Fatalf("untouched: %d, %v", n, err)
		}
		if _, err := s.Pool().Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s was let through: %v", sql, err)
		}
		// As one would who owns the database.
		sql = `SET LOCAL session_replication_role = replica; ` + sql
		if _, err := s.Pool().Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
		if _, err := s.VerifyAudit(t.Context()); err == nil || !strings.Contains(err.Error(), "record 5") && !strings.Contains(err.Error(), "after 4") {
			t.Errorf("%s: got %v", sql, err)
		}
	}
}

func TestVerifyAuditReadsPageByPage(t *testing.T) {
	s := storetest.New(t)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		for range 2100 {
			if err := s.Audit(ctx, tx, sprout.AuditRecord{Actor: "ann", Action: "a", Outcome: "done"}); err != nil {
				return err
			}
		}
		return nil
	})
	if n, err := s.VerifyAudit(t.Context()); err != nil || n != 2100 {
		t.Errorf("%d, %v", n, err)
	}
}
