package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/audit"
)

const (
	// auditLock is the advisory lock of whoever adds to the chain: the sealers of
	// all replicas, and writers of the version before.
	auditLock = 0x5370726f7574 // "Sprout"
	sealBatch = 1000
	headOwner = "audit head" // what the head's signature is sealed for
)

func formatSeq(seq int64) string { return strconv.FormatInt(seq, 10) }

// SealAudit moves every record that has been committed into the chain, in
// batches, and returns the head of the chain that it leaves and how many it
// sealed. Records are found by being there, not by a number, so one that
// commits late is sealed later and never passed over. It goes on from the signed
// head, whatever the table holds: records that were cut off stay missing.
func (s *Store) SealAudit(ctx context.Context) (head sprout.AuditHead, sealed int, err error) {
	for {
		var n int
		err := s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			head, n, err = s.sealBatch(ctx, tx)
			return err
		})
		sealed += n
		if err != nil || n < sealBatch {
			return head, sealed, err
		}
	}
}

// sealBatch seals the oldest records that wait. What others committed before the
// lock was had is seen after it: each statement looks anew.
func (s *Store) sealBatch(ctx context.Context, tx pgx.Tx) (head sprout.AuditHead, n int, err error) {
	if _, err := exec(ctx, tx, `SELECT pg_advisory_xact_lock($1)`, auditLock); err != nil {
		return head, 0, err
	}
	head, fresh, err := s.endOfChain(ctx, tx)
	if err != nil {
		return head, 0, err
	}
	type row struct {
		id int64
		r  sprout.AuditRecord
	}
	rows, err := many(ctx, tx, func(c pgx.CollectableRow) (w row, err error) {
		var zero string
		w.r, err = scanAuditAfter(c, &w.id, &zero, &w.r)
		return w, err
	}, `SELECT id, '', `+auditWords+` FROM audit_unsealed ORDER BY id LIMIT $1`, sealBatch)
	if err != nil || (len(rows) == 0 && !fresh) {
		return head, 0, err
	}
	ids, seqs, hashes := make([]int64, len(rows)), make([]int64, len(rows)), make([]string, len(rows))
	for i, w := range rows {
		head.Records++
		w.r.Seq = head.Records
		head.Hash = audit.Hash(head.Hash, w.r)
		ids[i], seqs[i], hashes[i] = w.id, head.Records, head.Hash
	}
	if err := s.signHead(&head); err != nil {
		return head, 0, err
	}
	b := &pgx.Batch{}
	b.Queue(`
		INSERT INTO audit (seq, hash, id, `+auditWords+`)
		SELECT new.seq, new.hash, id, `+auditWords+`
		FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS new (id, seq, hash) JOIN audit_unsealed USING (id)`, ids, seqs, hashes)
	b.Queue(`DELETE FROM audit_unsealed WHERE id = ANY ($1)`, ids)
	b.Queue(`
		INSERT INTO audit_head (records, hash, sealed_at, signature) VALUES ($1, $2, $3, $4)
		ON CONFLICT (single) DO UPDATE SET records = excluded.records, hash = excluded.hash, sealed_at = excluded.sealed_at, signature = excluded.signature`,
		head.Records, head.Hash, head.SealedAt, head.Signature)
	return head, len(rows), explain(tx.SendBatch(ctx, b).Close())
}

// endOfChain returns where the chain goes on; fresh if the stored head does not
// say so yet. Records after the head were added by a replica of the version
// before, which knows no head, and are followed.
func (s *Store) endOfChain(ctx context.Context, tx pgx.Tx) (head sprout.AuditHead, fresh bool, err error) {
	head, signed, err := s.readHead(ctx, tx)
	if err != nil {
		return head, false, err
	}
	if !signed {
		return s.firstHead(ctx, tx)
	}
	end := audit.Verifier{Seq: head.Records, Hash: head.Hash}
	for {
		list, err := s.In(tx).AuditAfter(ctx, AuditFilter{}, end.Seq, math.MaxInt64)
		if err != nil {
			return head, false, err
		}
		for _, r := range list {
			if err := end.Next(r); err != nil {
				return head, false, fmt.Errorf("cannot seal the audit behind records that nobody sealed: %w", err)
			}
		}
		if len(list) < AuditPart {
			fresh = end.Seq != head.Records
			head.Records, head.Hash = end.Seq, end.Hash
			return head, fresh, nil
		}
	}
}

// firstHead begins at the end of what is there. That is how an older version
// left it, or nothing; if it is neither, the head was removed, and a record says
// so for ever.
func (s *Store) firstHead(ctx context.Context, tx pgx.Tx) (head sprout.AuditHead, fresh bool, err error) {
	last, err := one(ctx, tx, scanAudit, auditSelect+`ORDER BY seq DESC LIMIT 1`)
	if errors.Is(err, pgx.ErrNoRows) {
		return head, true, nil
	}
	if err != nil {
		return head, false, err
	}
	if last.Kind != "" {
		t := &txn{Tx: tx, records: []sprout.AuditRecord{{
			Actor: "sprout", Action: "audit seal", Outcome: "failed", Kind: sprout.AuditSystem,
			Detail: fmt.Sprintf("the signed head was gone: records after %d may be too", last.Seq),
		}}}
		if err := s.flush(ctx, t); err != nil {
			return head, false, err
		}
	}
	return sprout.AuditHead{Records: last.Seq, Hash: last.Hash}, true, nil
}

// readHead returns the stored head, once its signature was found good; false if
// there is none.
func (s *Store) readHead(ctx context.Context, q querier) (head sprout.AuditHead, found bool, err error) {
	head, err = one(ctx, q, pgx.RowToStructByPos[sprout.AuditHead], `SELECT records, hash, sealed_at, signature FROM audit_head`)
	if errors.Is(err, pgx.ErrNoRows) {
		return head, false, nil
	}
	if err != nil {
		return head, false, err
	}
	head.SealedAt = head.SealedAt.UTC()
	said, err := s.config.Key.Open(headOwner, head.Signature)
	if err != nil || !slices.Equal(said, headWords(head)) {
		return head, false, errHead
	}
	return head, true, nil
}

var errHead = sprout.Errorf(sprout.Conflict, "cannot trust the audit's head: it was not signed with this control plane's key, or was changed").
	WithRemedy("start the control plane with the key file that it had before; what is missing shows against the last head in its log")

func (s *Store) signHead(head *sprout.AuditHead) (err error) {
	head.SealedAt = time.Now().UTC().Truncate(time.Microsecond)
	head.Signature, err = s.config.Key.Seal(headOwner, headWords(*head))
	return err
}

func headWords(h sprout.AuditHead) []byte {
	return fmt.Appendf(nil, "%d %s %s", h.Records, cmp.Or(h.Hash, "-"), h.SealedAt.Format(time.RFC3339Nano))
}
