package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// sealedColumns is everything that is sealed at rest, and for whom: the owner is
// an SQL expression over the row. A new secret needs a row here.
var sealedColumns = []struct{ table, column, owner string }{
	{"bmc", "secret", "machine"},
	{"dns_key", "secret", "'dns key ' || site || ' ' || name"},
	{"setting", "sealed", "'setting ' || name"},
	{"enrol_token", "sealed", "agent"},
	{"workflow", "secret", "id"},
	{"outbox", "secret", "split_part(key, '/', 1)"},
	{"request_key", "sealed", "'request ' || encode(id, 'hex')"},
	{"rule", "secret", "'rule ' || name"},
	{"audit_head", "signature", "'" + headOwner + "'"},
}

// resealBatch bounds what one transaction seals anew.
const resealBatch = 100

// Reseal seals anew, with the key of now, what another key sealed or what is
// still in the clear, in small transactions that do not wait for others. It
// returns how many secrets it sealed; to be called until that is none.
func (s *Store) Reseal(ctx context.Context) (n int, err error) {
	for _, part := range sealedColumns {
		for more := resealBatch; more == resealBatch; n += more {
			if more, err = s.resealSome(ctx, part.table, part.column, part.owner); err != nil {
				return n, fmt.Errorf("cannot seal %s.%s anew: %w", part.table, part.column, err)
			}
		}
	}
	for more := resealBatch; more == resealBatch; n += more {
		if more, err = s.sealPlain(ctx); err != nil {
			return n, fmt.Errorf("cannot seal user data: %w", err)
		}
	}
	return n, nil
}

// SealedByOthers counts the secrets that other keys than that of now sealed.
func (s *Store) SealedByOthers(ctx context.Context) (n int, err error) {
	for _, part := range sealedColumns {
		some, err := one(ctx, s.db, pgx.RowTo[int], fmt.Sprintf(
			`SELECT count(*) FROM %[1]s WHERE %[2]s IS NOT NULL AND substr(%[2]s, 1, %[3]d) <> $1`, part.table, part.column, markLength), s.mark())
		if err != nil {
			return n, err
		}
		n += some
	}
	return n, nil
}

func (s *Store) mark() []byte {
	if len(s.config.Key.list) == 0 {
		return nil
	}
	return []byte(s.config.Key.list[0].mark)
}

func (s *Store) resealSome(ctx context.Context, table, column, owner string) (n int, err error) {
	type row struct {
		At     string // in the table: good while the row is locked
		Owner  string
		Sealed []byte
	}
	err = s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := many(ctx, tx, pgx.RowToStructByPos[row], fmt.Sprintf(`
			SELECT ctid::text, %[1]s, %[2]s FROM %[3]s WHERE %[2]s IS NOT NULL AND substr(%[2]s, 1, %[4]d) <> $1
			LIMIT %[5]d FOR UPDATE SKIP LOCKED`, owner, column, table, markLength, resealBatch), s.mark())
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		for _, r := range rows {
			secret, err := s.config.Key.Open(r.Owner, r.Sealed)
			if err != nil {
				return err
			}
			sealed, err := s.config.Key.Seal(r.Owner, secret)
			if err != nil {
				return err
			}
			b.Queue(fmt.Sprintf(`UPDATE %s SET %s = $2 WHERE ctid = $1::tid`, table, column), r.At, sealed)
		}
		n = len(rows)
		return tx.SendBatch(ctx, b).Close()
	})
	return n, err
}

// sealPlain seals user data that versions before 0.2 kept in the clear, in the
// rows of workflows and in the outbox.
func (s *Store) sealPlain(ctx context.Context) (n int, err error) {
	type row struct {
		At       string
		Workflow string
		Input    json.RawMessage
	}
	for _, part := range []struct{ table, column, workflow, kind string }{
		{"workflow", "run", "id", "deploy"}, {"outbox", "body", "split_part(key, '/', 1)", "work"},
	} {
		err = errors.Join(err, s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			rows, err := many(ctx, tx, pgx.RowToStructByPos[row], fmt.Sprintf(`
				SELECT ctid::text, %[1]s, %[2]s -> 'input' FROM %[3]s
				WHERE kind = $1 AND %[2]s #>> '{input,userData}' <> '' LIMIT %[4]d FOR UPDATE SKIP LOCKED`,
				part.workflow, part.column, part.table, resealBatch), part.kind)
			if err != nil {
				return err
			}
			b := &pgx.Batch{}
			for _, r := range rows {
				var input struct {
					UserData string `json:"userData"`
				}
				if err := json.Unmarshal(r.Input, &input); err != nil {
					return err
				}
				sealed, err := s.sealWork(r.Workflow, []byte(input.UserData))
				if err != nil {
					return err
				}
				b.Queue(fmt.Sprintf(`UPDATE %[1]s SET secret = $2, %[2]s = jsonb_set(%[2]s #- '{input,userData}', '{input,sealed}', 'true') WHERE ctid = $1::tid`,
					part.table, part.column), r.At, sealed)
			}
			n += len(rows)
			return tx.SendBatch(ctx, b).Close()
		}))
	}
	return min(n, resealBatch), err
}
