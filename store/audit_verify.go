package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/audit"
)

// sealWithin is how long a record may wait to be sealed before that is a
// finding: until then whoever owns the database can change it unseen.
const sealWithin = time.Minute

// VerifyAudit follows the whole chain, one part at a time, up to its signed
// head, and sees to it that nothing waits to be sealed. It returns how many
// records it found good, and the head. The error is a *audit.Finding that names
// the first record that was changed, removed or moved. known, if its hash is
// set, is a head that was kept elsewhere: the chain must still hold it.
func (s *Store) VerifyAudit(ctx context.Context, known sprout.AuditHead) (int64, sprout.AuditHead, error) {
	late := cmp.Or(s.sealedLate(ctx), s.headGone(ctx))
	if _, _, err := s.SealAudit(ctx); err != nil && late == nil {
		late = err // told after what the chain itself tells
	}
	head, signed, err := s.readHead(ctx, s.db)
	if err != nil && sprout.KindOf(err) != sprout.Conflict {
		return 0, head, err
	}
	forged := err
	if !signed {
		head = sprout.AuditHead{} // says nothing
	}
	var v audit.Verifier
	for after := int64(math.MinInt64); ; { // the table's first record, whatever its number
		list, err := s.AuditAfter(ctx, AuditFilter{}, after, math.MaxInt64)
		if err != nil {
			return v.Seq, head, err
		}
		for _, r := range list {
			if err := v.Next(r); err != nil {
				return v.Seq, head, err
			}
			if err := holds(v, head, signed); err != nil {
				return v.Seq - 1, head, err
			}
			if known.Hash != "" && v.Seq == known.Records && v.Hash != known.Hash {
				return v.Seq - 1, head, &audit.Finding{Seq: v.Seq, Reason: fmt.Sprintf("cannot trust the audit up to record %d: it has another hash than in the head that was kept", v.Seq)}
			}
		}
		if len(list) < AuditPart {
			break
		}
		after = list[len(list)-1].Seq
	}
	if cut := max(head.Records, known.Records); cut > v.Seq {
		return v.Seq, head, &audit.Finding{Seq: v.Seq + 1, Reason: fmt.Sprintf("cannot trust the audit after record %d: records %d to %d are missing", v.Seq, v.Seq+1, cut)}
	}
	if forged != nil {
		return v.Seq, head, &audit.Finding{Seq: v.Seq, Reason: forged.Error()}
	}
	return v.Seq, head, late
}

// holds compares a chain that has come to the head with it: one that was made
// anew from its middle differs there.
func holds(v audit.Verifier, head sprout.AuditHead, signed bool) error {
	if !signed || v.Seq != head.Records || v.Hash == head.Hash {
		return nil
	}
	return &audit.Finding{Seq: v.Seq, Reason: fmt.Sprintf("cannot trust the audit up to record %d: the chain was made anew, it does not end in the hash that was signed", v.Seq)}
}

// sealedLate is a finding if a record has waited too long to be sealed.
func (s *Store) sealedLate(ctx context.Context) error {
	type row struct {
		N      int64
		Oldest *time.Time
	}
	w, err := one(ctx, s.db, pgx.RowToStructByPos[row], `
		SELECT count(*), min(at) FROM audit_unsealed WHERE at < now() - make_interval(secs => $1)`, sealWithin.Seconds())
	if err != nil || w.N == 0 {
		return err
	}
	return &audit.Finding{Reason: fmt.Sprintf("cannot vouch for %d audit records: unsealed since %s, as no server ran or none could seal", w.N, w.Oldest.UTC().Format(time.RFC3339))}
}

// headGone is a finding if the chain has no head that was sealed under one.
func (s *Store) headGone(ctx context.Context) error {
	gone, err := one(ctx, s.db, pgx.RowTo[bool], `SELECT NOT EXISTS (SELECT FROM audit_head) AND EXISTS (SELECT FROM audit WHERE id IS NOT NULL)`)
	if err != nil || !gone {
		return err
	}
	return &audit.Finding{Reason: "cannot vouch for the audit's last records: its signed head was removed"}
}
