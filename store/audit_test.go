package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sprout"
	"sprout/audit"
	"sprout/store"
	"sprout/store/storetest"
)

// audited writes n records in one transaction.
func audited(t *testing.T, s *store.Store, n int) {
	t.Helper()
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		for i := range n {
			r := sprout.AuditRecord{Kind: sprout.AuditRequest, Actor: "ann", Token: "tok_1", Source: "10.0.0.7", Action: fmt.Sprint("a", i), Outcome: "done",
				Changes: []sprout.FieldChange{{Field: "note", From: json.RawMessage(`null`), To: json.RawMessage(`"a <b> & \u0000"`)}}}
			if err := s.Audit(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func seal(t *testing.T, s *store.Store) sprout.AuditHead {
	t.Helper()
	head, _, err := s.SealAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// finding verifies the chain and returns what was found, nil where it holds.
func finding(t *testing.T, s *store.Store, known sprout.AuditHead) *audit.Finding {
	t.Helper()
	_, _, err := s.VerifyAudit(t.Context(), known)
	var found *audit.Finding
	if err != nil && !errors.As(err, &found) {
		t.Fatal(err)
	}
	return found
}

// asOwner runs SQL as one does who owns the database: past every trigger.
func asOwner(t *testing.T, s *store.Store, sql string) {
	t.Helper()
	if _, err := s.Pool().Exec(t.Context(), `SET LOCAL session_replication_role = replica; `+sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}

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
	if err := s.AuditAll(t.Context(), []sprout.AuditRecord{record}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.AuditNews():
	default:
		t.Error("the sealer is not told")
	}
	seal(t, s)
	list, _, err := s.AuditRecords(t.Context(), store.AuditFilter{Subject: "lon1"})
	if err != nil || len(list) != 1 || list[0].Seq != 1 || list[0].Outcome != "refused" || list[0].At.IsZero() || list[0].Kind != sprout.AuditSystem {
		t.Errorf("records %+v, %v", list, err)
	}
	record.Outcome = "maybe"
	wantField(t, s.AuditAll(t.Context(), []sprout.AuditRecord{record}), sprout.Invalid, "outcome")
}

// A transaction that writes its record early and commits late does not hold up
// the sealer, and is not passed over.
func TestALateCommitIsSealedToo(t *testing.T) {
	s := storetest.New(t)
	late, err := s.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Rollback(context.Background()) //nolint:errcheck // it was committed
	if err := s.Audit(t.Context(), late, sprout.AuditRecord{Actor: "late", Action: "a", Outcome: "done"}); err != nil {
		t.Fatal(err)
	}
	audited(t, s, 3)
	if head := seal(t, s); head.Records != 3 {
		t.Errorf("%d are sealed before the late commit", head.Records)
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if head := seal(t, s); head.Records != 4 {
		t.Errorf("%d are sealed after the late commit", head.Records)
	}
	list, _, err := s.AuditRecords(t.Context(), store.AuditFilter{Actor: "late"})
	if err != nil || len(list) != 1 || list[0].Seq != 4 {
		t.Errorf("%+v, %v", list, err)
	}
	if found := finding(t, s, sprout.AuditHead{}); found != nil {
		t.Error(found)
	}
}

// Sealing reads the records that it seals, not those that were sealed before: a
// plan that was made when there were few is no worse when there are many.
func TestSealingReadsWhatItSeals(t *testing.T) {
	pool := storetest.NewPool(t, func(c *pgxpool.Config) { c.MaxConns = 1 }) // one session keeps its plans
	s := store.New(pool, store.Config{Key: storetest.Key(t)})
	const batches, records = 20, 100
	reads := func() (n int64) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`); err != nil {
			t.Fatal(err)
		}
		err := pool.QueryRow(t.Context(), `SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'audit'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := reads()
	for range batches {
		audited(t, s, records)
		seal(t, s)
	}
	if each := float64(reads()-before) / (batches * records); each < 1 || each > 4 {
		t.Errorf("sealing a record reads %.1f of them: 1 to 4 are expected, however many there are", each)
	}
}

// Several sealers and writers at once: every record gets one number, none is lost.
func TestSealersOfAllReplicasMakeOneChain(t *testing.T) {
	s := storetest.New(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				err := s.AuditAll(t.Context(), []sprout.AuditRecord{{Actor: "ann", Action: "a", Outcome: "refused"}})
				if _, _, sealErr := s.SealAudit(t.Context()); err != nil || sealErr != nil {
					t.Error(err, sealErr)
					return
				}
			}
		})
	}
	all.Wait()
	if n, head, err := s.VerifyAudit(t.Context(), sprout.AuditHead{}); err != nil || n != 160 || head.Records != 160 {
		t.Errorf("%d records, head %+v, %v", n, head, err)
	}
}

// Each is refused where it is tried, and found where whoever owns the database
// does it: by the first record that is not as it was.
func TestAuditShowsTampering(t *testing.T) {
	s := storetest.New(t)
	audited(t, s, 9)
	seal(t, s)
	asOwner(t, s, `CREATE TABLE whole AS TABLE audit; CREATE TABLE whole_head AS TABLE audit_head`)
	for sql, bad := range map[string]int64{
		`UPDATE audit SET actor = 'bob' WHERE seq = 5`:                                      5,
		`UPDATE audit SET token = '' WHERE seq = 5`:                                         5,
		`UPDATE audit SET changes = NULL WHERE seq = 5`:                                     5,
		`UPDATE audit SET kind = '', token = '', source = '', changes = NULL WHERE seq = 5`: 5,
		`UPDATE audit SET at = at + interval '1 hour' WHERE seq = 5`:                        5,
		`DELETE FROM audit WHERE seq = 5`:                                                   5,
		`DELETE FROM audit WHERE seq = 1`:                                                   1,
		`DELETE FROM audit WHERE seq > 7`:                                                   8,
		`DELETE FROM audit`:                                                                 1,
		`TRUNCATE audit`:                                                                    1,
		`UPDATE audit SET seq = CASE seq WHEN 5 THEN -6 ELSE -5 END WHERE seq IN (5, 6); UPDATE audit SET seq = -seq WHERE seq < 0`: 5,
		`UPDATE audit SET seq = 0 WHERE seq = 5`:                                                                            1,
		`UPDATE audit SET actor = 'bob', hash = repeat('0', 64) WHERE seq = 9`:                                              9,
		`UPDATE audit_head SET records = 8`:                                                                                 9,
		`UPDATE audit_head SET records = 8, hash = (SELECT hash FROM audit WHERE seq = 8); DELETE FROM audit WHERE seq = 9`: 8,
		`DELETE FROM audit_head`:                                                                                            0,
		`INSERT INTO audit (seq, site, at, actor, action, outcome, hash) SELECT 10, '', now(), 'eve', 'a', 'done', repeat('0', 64)`: 10,
	} {
		t.Run(sql, func(t *testing.T) {
			asOwner(t, s, `TRUNCATE audit, audit_unsealed, audit_head; INSERT INTO audit SELECT * FROM whole; INSERT INTO audit_head SELECT * FROM whole_head`)
			if found := finding(t, s, sprout.AuditHead{}); found != nil {
				t.Fatalf("untouched: %v", found)
			}
			if !strings.HasPrefix(sql, "INSERT") {
				if _, err := s.Pool().Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err == nil || !strings.Contains(err.Error(), "append-only") {
					t.Errorf("it was let through: %v", err)
				}
			}
			asOwner(t, s, sql)
			if found := finding(t, s, sprout.AuditHead{}); found == nil || found.Seq != bad {
				t.Errorf("found %+v, want record %d", found, bad)
			}
		})
	}
}

// forge makes the chain anew from a record on, every hash right: what one can who
// owns the database and knows how the chain is made.
func forge(t *testing.T, s *store.Store, from int64) {
	t.Helper()
	list, err := s.AuditAfter(t.Context(), store.AuditFilter{}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := from - 1; i < int64(len(list)); i++ {
		list[i].Actor = "bob"
		list[i].Hash = audit.Hash(list[i-1].Hash, list[i])
		asOwner(t, s, fmt.Sprintf(`UPDATE audit SET actor = 'bob', hash = '%s' WHERE seq = %d`, list[i].Hash, list[i].Seq))
	}
}

func TestAChainMadeAnewDoesNotEndInTheSignedHash(t *testing.T) {
	s := storetest.New(t)
	audited(t, s, 9)
	seal(t, s)
	forge(t, s, 5)
	if found := finding(t, s, sprout.AuditHead{}); found == nil || found.Seq != 9 || !strings.Contains(found.Reason, "made anew") {
		t.Errorf("found %+v", found)
	}
	audited(t, s, 3) // the sealer goes on from what it signed: 10 does not follow the forged 9
	seal(t, s)
	if found := finding(t, s, sprout.AuditHead{}); found == nil || found.Seq != 10 {
		t.Errorf("found %+v after more was sealed", found)
	}
}

// Who cuts off the newest records, and puts back the head that was signed then,
// is found by a head that was kept elsewhere.
func TestAHeadThatWasKeptShowsWhatIsGone(t *testing.T) {
	s := storetest.New(t)
	audited(t, s, 5)
	early := seal(t, s)
	audited(t, s, 4)
	kept := seal(t, s)
	if found := finding(t, s, kept); found != nil {
		t.Fatal(found)
	}
	if found := finding(t, s, early); found != nil {
		t.Fatal(found)
	}
	asOwner(t, s, fmt.Sprintf(`DELETE FROM audit WHERE seq > 5; UPDATE audit_head SET records = 5, hash = '%s', sealed_at = '%s', signature = '\x%x'`,
		early.Hash, early.SealedAt.Format("2006-01-02T15:04:05.999999Z07:00"), early.Signature))
	if found := finding(t, s, kept); found == nil || found.Seq != 6 {
		t.Errorf("found %+v", found)
	}
	other := early
	other.Hash = strings.Repeat("0", 64)
	if found := finding(t, s, other); found == nil || found.Seq != 5 {
		t.Errorf("found %+v against another hash", found)
	}
}

// What was cut off stays missing, however much is sealed after it.
func TestTheSealerDoesNotCoverUp(t *testing.T) {
	s := storetest.New(t)
	audited(t, s, 9)
	seal(t, s)
	asOwner(t, s, `DELETE FROM audit WHERE seq > 7`)
	audited(t, s, 4)
	if head := seal(t, s); head.Records != 13 {
		t.Errorf("sealed up to %d", head.Records)
	}
	if found := finding(t, s, sprout.AuditHead{}); found == nil || found.Seq != 8 {
		t.Errorf("found %+v", found)
	}

	asOwner(t, s, `DELETE FROM audit WHERE seq > 7; DELETE FROM audit_head`)
	audited(t, s, 1)
	seal(t, s)
	list, _, err := s.AuditRecords(t.Context(), store.AuditFilter{Action: "audit seal"})
	if err != nil || len(list) != 1 || list[0].Outcome != "failed" || !strings.Contains(list[0].Detail, "after 7") {
		t.Errorf("a head that was removed is not on record: %+v, %v", list, err)
	}
}

// Nothing may be taken from the records that wait, but into the chain.
func TestUnsealedRecordsStay(t *testing.T) {
	s := storetest.New(t)
	audited(t, s, 3)
	for _, sql := range []string{
		`DELETE FROM audit_unsealed WHERE actor = 'ann'`, `UPDATE audit_unsealed SET actor = 'bob'`, `TRUNCATE audit_unsealed`,
		`WITH other AS (INSERT INTO audit (seq, id, site, at, kind, actor, action, outcome, hash) SELECT id, id, '', at, kind, 'bob', action, outcome, '' FROM audit_unsealed)
			DELETE FROM audit_unsealed`,
	} {
		if _, err := s.Pool().Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s was let through: %v", sql, err)
		}
	}
	asOwner(t, s, `UPDATE audit_unsealed SET at = at - interval '2 minutes' WHERE action = 'a1'`)
	if found := finding(t, s, sprout.AuditHead{}); found == nil || !strings.Contains(found.Reason, "1 audit records: unsealed since") {
		t.Errorf("found %+v", found)
	}
	if found := finding(t, s, sprout.AuditHead{}); found != nil { // the look before sealed it
		t.Error(found)
	}
}

// A replica of the version before appends to the chain by itself, under the lock.
func TestTheVersionBeforeWritesOn(t *testing.T) {
	s := storetest.New(t)
	audited(t, s, 2)
	seal(t, s)
	older := func() {
		last, _, err := s.AuditRecords(t.Context(), store.AuditFilter{Page: store.Page{Limit: 1}})
		if err != nil {
			t.Fatal(err)
		}
		r := sprout.AuditRecord{Seq: last[0].Seq + 1, At: last[0].At, Actor: "old", Action: "a", Outcome: "done"}
		_, err = s.Pool().Exec(t.Context(), `
			INSERT INTO audit (seq, site, at, actor, action, subject, name, outcome, detail, request, hash) VALUES ($1, '', $2, $3, $4, '', '', $5, '', '', $6)`,
			r.Seq, r.At, r.Actor, r.Action, r.Outcome, audit.Hash(last[0].Hash, r))
		if err != nil {
			t.Fatal(err)
		}
	}
	older()
	older()
	audited(t, s, 2)
	if head := seal(t, s); head.Records != 6 {
		t.Errorf("head %+v", head)
	}
	if found := finding(t, s, sprout.AuditHead{}); found != nil {
		t.Error(found)
	}
}

func TestAuditIsReadPageByPage(t *testing.T) {
	s := storetest.New(t)
	audited(t, s, 2100)
	if n, _, err := s.VerifyAudit(t.Context(), sprout.AuditHead{}); err != nil || n != 2100 {
		t.Errorf("%d, %v", n, err)
	}
	newest, next, err := s.AuditRecords(t.Context(), store.AuditFilter{Page: store.Page{Limit: 2}})
	if err != nil || len(newest) != 2 || newest[0].Seq != 2100 || next == "" {
		t.Errorf("%v, %s, %v", newest, next, err)
	}
	if part, err := s.AuditAfter(t.Context(), store.AuditFilter{Actor: "ann"}, 2095, 2099); err != nil || len(part) != 4 || part[0].Seq != 2096 {
		t.Errorf("%v, %v", part, err)
	}
	if r, err := s.AuditRecord(t.Context(), 7); err != nil || r.Seq != 7 || !slices.Equal([]byte(r.Changes[0].To), []byte(`"a \u003cb\u003e \u0026 \u0000"`)) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.AuditRecord(t.Context(), 2101); sprout.KindOf(err) != sprout.NotFound {
		t.Error(err)
	}
}
