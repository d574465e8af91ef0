package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// KeepKeys is how long the answer of a request with an Idempotency-Key is kept.
const KeepKeys = 24 * time.Hour

// What stands against carrying out a request with an Idempotency-Key.
var (
	ErrKeyBusy  = errors.New("a request with this key is being carried out")
	ErrKeyOther = errors.New("another request had this key")
	ErrKeyLost  = errors.New("a request with this key was carried out, but its answer was lost")
)

// A RequestKey is a request that must not be carried out twice.
type RequestKey struct {
	ID     []byte // digest of its bearer and its Idempotency-Key
	Digest []byte // of what it asks for
}

// TakeKey claims the key until tx, which is to hold all of the request's
// changes, ends; then PutAnswer. It returns the answer if the request was
// carried out before; ErrKeyBusy while another transaction has the key.
func (s *Store) TakeKey(ctx context.Context, tx pgx.Tx, k RequestKey) (answer []byte, err error) {
	lock := int64(binary.BigEndian.Uint64(k.ID)) //nolint:gosec // any 64 bits will do
	free, err := one(ctx, tx, pgx.RowTo[bool], `SELECT pg_try_advisory_xact_lock($1)`, lock)
	if err != nil {
		return nil, err
	}
	if !free {
		return nil, ErrKeyBusy
	}
	return s.In(tx).Answer(ctx, k)
}

// TakeKeys is TakeKey of several requests that are carried out in one transaction:
// it returns the ids of those that nobody has, or had before.
func (s *Store) TakeKeys(ctx context.Context, tx pgx.Tx, keys []RequestKey) (free map[string]bool, err error) {
	free = map[string]bool{}
	var ids [][]byte
	var locks []int64
	for _, k := range keys {
		ids, locks = append(ids, k.ID), append(locks, int64(binary.BigEndian.Uint64(k.ID))) //nolint:gosec // any 64 bits will do
	}
	if len(ids) == 0 {
		return free, nil
	}
	taken, err := many(ctx, tx, pgx.RowTo[[]byte], `
		SELECT id FROM unnest($1::bytea[], $2::bigint[]) k (id, lock) WHERE pg_try_advisory_xact_lock(lock)`, ids, locks)
	if err != nil {
		return nil, err
	}
	for _, id := range taken {
		free[string(id)] = true
	}
	// A statement of its own: it sees what whoever had a lock has left.
	known, err := many(ctx, tx, pgx.RowTo[[]byte], `SELECT id FROM request_key WHERE id = ANY ($1)`, ids)
	for _, id := range known {
		delete(free, string(id))
	}
	return free, err
}

// PutAnswers is PutAnswer of several.
func (s *Store) PutAnswers(ctx context.Context, tx pgx.Tx, keys []RequestKey, answers [][]byte) error {
	if len(keys) == 0 {
		return nil
	}
	var ids, digests, sealed [][]byte
	for i, k := range keys {
		text, err := s.config.Key.Seal(k.owner(), answers[i])
		if err != nil {
			return err
		}
		ids, digests, sealed = append(ids, k.ID), append(digests, k.Digest), append(sealed, text)
	}
	_, err := exec(ctx, tx, `INSERT INTO request_key (id, digest, sealed) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[])`, ids, digests, sealed)
	return err
}

// Answer returns what a request was answered before; nil if it was not carried
// out, or too long ago.
func (s *Store) Answer(ctx context.Context, k RequestKey) ([]byte, error) {
	type row struct {
		Digest, Sealed []byte
		Old            bool
	}
	r, err := one(ctx, s.db, pgx.RowToStructByPos[row], `
		SELECT digest, sealed, created_at <= now() - $2::interval FROM request_key WHERE id = $1`, k.ID, KeepKeys)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case r.Old:
		_, err := exec(ctx, s.db, `DELETE FROM request_key WHERE id = $1 AND created_at <= now() - $2::interval`, k.ID, KeepKeys)
		return nil, err
	case !bytes.Equal(r.Digest, k.Digest):
		return nil, ErrKeyOther
	case r.Sealed == nil:
		return nil, ErrKeyLost
	}
	answer, err := s.config.Key.Open(k.owner(), r.Sealed)
	if err != nil {
		return nil, ErrKeyLost // sealed by a key that is gone
	}
	return answer, nil
}

// PutAnswer keeps the answer, sealed, in the transaction that took the key.
func (s *Store) PutAnswer(ctx context.Context, tx pgx.Tx, k RequestKey, answer []byte) error {
	sealed, err := s.config.Key.Seal(k.owner(), answer)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, `INSERT INTO request_key (id, digest, sealed) VALUES ($1, $2, $3)`, k.ID, k.Digest, sealed)
	return err
}

func (k RequestKey) owner() string { return "request " + hex.EncodeToString(k.ID) }

// A Claim is held by who carries out a request that is not one transaction.
type Claim struct {
	Key  RequestKey
	By   string // unique to this attempt
	lost atomic.Bool
}

// Lost tells whether another attempt was there first.
func (c *Claim) Lost() bool { return c.lost.Load() }

type claimKey struct{}

// WithClaim makes every transaction of ctx bear witness that the request was
// carried out, at least in part. One that finds the key in the hands of another
// claim fails with ErrKeyBusy: nothing is changed twice.
func WithClaim(ctx context.Context, c *Claim) context.Context {
	return context.WithValue(ctx, claimKey{}, c)
}

// witness writes what WithClaim asked for.
func witness(ctx context.Context, tx pgx.Tx) error {
	c, ok := ctx.Value(claimKey{}).(*Claim)
	if !ok {
		return nil
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO request_key (id, digest, claim) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`, c.Key.ID, c.Key.Digest, c.By); err != nil {
		return err
	}
	by, err := one(ctx, tx, pgx.RowTo[string], `SELECT claim FROM request_key WHERE id = $1`, c.Key.ID)
	if err == nil && by != c.By {
		c.lost.Store(true)
		return ErrKeyBusy
	}
	return err
}

// KeepAnswer keeps the answer of what was carried out under a claim.
func (s *Store) KeepAnswer(ctx context.Context, c *Claim, answer []byte) error {
	sealed, err := s.config.Key.Seal(c.Key.owner(), answer)
	if err != nil {
		return err
	}
	_, err = exec(ctx, s.db, `
		INSERT INTO request_key (id, digest, claim, sealed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed WHERE request_key.claim = excluded.claim`, c.Key.ID, c.Key.Digest, c.By, sealed)
	return err
}

// ForgetKeys removes up to limit answers that were kept long enough, and
// returns how many. Any number of replicas may call it.
func (s *Store) ForgetKeys(ctx context.Context, limit int) (int64, error) {
	return exec(ctx, s.db, `
		DELETE FROM request_key WHERE id IN (
			SELECT id FROM request_key WHERE created_at <= now() - $1::interval ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, KeepKeys, limit)
}

// locks is what Lock does for each noun.
var locks = map[string]string{
	"dnsrecord":  `SELECT id FROM dns_record WHERE id = $1 FOR UPDATE`,
	"dhcpoption": `SELECT id FROM dhcp_option WHERE id = $1 FOR UPDATE`,
	"dnskey":     `SELECT name FROM dns_key WHERE site || '/' || name = $1 FOR UPDATE`,
	"site":       `SELECT id FROM site WHERE id = $1 FOR UPDATE`,
	"agent":      `SELECT id FROM agent WHERE id = $1 FOR UPDATE`,
	"network":    `SELECT id FROM network WHERE id = $1 FOR UPDATE`,
	"subnet":     `SELECT id FROM subnet WHERE id = $1 FOR UPDATE`,
	"machine":    `SELECT id FROM machine WHERE id = $1 FOR UPDATE`,
	"image":      `SELECT id FROM image WHERE id = $1 FOR UPDATE`,
	"alias":      `SELECT name FROM image_name WHERE name = $1 AND NOT own FOR UPDATE`,
	"workflow":   `SELECT id FROM workflow WHERE id = $1 FOR UPDATE`,
	"address":    `SELECT id FROM address WHERE id = $1 FOR UPDATE`,
	"allocation": `SELECT id FROM allocation WHERE id = $1 FOR UPDATE`,
	"quota":      `SELECT owner FROM quota WHERE owner = $1 FOR UPDATE`,
}

// Lock keeps others from changing one of a noun until the transaction ends: for
// checks that must still be true when it commits. NotFound if it is gone.
func (s *Store) Lock(ctx context.Context, tx pgx.Tx, noun, id string) error {
	if noun == "model" { // it is what machines have in common: no row of its own
		_, err := exec(ctx, tx, `LOCK TABLE model_limit IN SHARE ROW EXCLUSIVE MODE`)
		return err
	}
	if noun == "rule" { // whoever takes a machine by one holds them all
		if _, err := s.LockRules(ctx, tx); err != nil {
			return err
		}
		_, err := s.In(tx).Rule(ctx, id)
		return err
	}
	statement, ok := locks[noun]
	if !ok {
		return sprout.Errorf(sprout.Internal, "cannot lock a %s", noun)
	}
	_, err := one(ctx, tx, pgx.RowTo[string], statement, id)
	return orNotFound(err, noun, id)
}

// LastAudit returns the latest record of what was done to a subject, which may be
// unsealed yet; false if there is none.
func (s *Store) LastAudit(ctx context.Context, subject string) (r sprout.AuditRecord, found bool, err error) {
	for _, latest := range []string{
		`SELECT 0::bigint, '', ` + auditWords + ` FROM audit_unsealed WHERE subject = $1 AND outcome = 'done' ORDER BY id DESC LIMIT 1`,
		auditSelect + `WHERE subject = $1 AND outcome = 'done' ORDER BY seq DESC LIMIT 1`,
	} {
		r, err = one(ctx, s.db, scanAudit, latest, subject)
		if !errors.Is(err, pgx.ErrNoRows) {
			return r, err == nil, err
		}
	}
	return r, false, nil
}
