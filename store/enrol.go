package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// CreateEnrolToken makes the single-use token by which one agent may enrol at
// the site within ttl. The secret is shown once.
func (s *Store) CreateEnrolToken(ctx context.Context, tx pgx.Tx, site sprout.SiteID, ttl time.Duration) (secret string, expires time.Time, err error) {
	secret = sprout.NewSecret()
	expires, err = one(ctx, tx, pgx.RowTo[time.Time], `
		INSERT INTO enrol_token (site, hash, expires_at)
		SELECT id, $2, now() + $3::interval FROM site WHERE id = $1
		RETURNING expires_at`, site, hashOf(secret), ttl)
	return secret, expires, orNotFound(err, "site", string(site))
}

// TakeEnrolToken consumes the token and returns its site. Denied, saying why,
// if it is unknown, was used, or has expired. Follow it with KeepEnrolment.
func (s *Store) TakeEnrolToken(ctx context.Context, tx pgx.Tx, secret string) (sprout.SiteID, error) {
	hash := hashOf(secret)
	site, err := one(ctx, tx, pgx.RowTo[sprout.SiteID], `
		UPDATE enrol_token SET used_at = now()
		WHERE hash = $1 AND used_at IS NULL AND expires_at > now()
		RETURNING site`, hash)
	if !errors.Is(err, pgx.ErrNoRows) {
		return site, err
	}
	type row struct {
		Expires time.Time
		Used    *time.Time
	}
	why, err := one(ctx, tx, pgx.RowToStructByPos[row], `SELECT expires_at, used_at FROM enrol_token WHERE hash = $1`, hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", refuseEnrol("it is not known")
	case err != nil:
		return "", err
	case why.Used != nil:
		return "", refuseEnrol("it was used at " + why.Used.UTC().Format(time.RFC3339))
	}
	return "", refuseEnrol("it expired at " + why.Expires.UTC().Format(time.RFC3339))
}

// An Enrolled is what an enrolment was answered with.
type Enrolled struct {
	Agent sprout.Agent
	After int64  // the number of the last change before its snapshot
	Token string // its bearer token of the API
}

// KeepEnrolment remembers, for the life of the enrolment token, whom it let in
// and with which API token (sealed): the answer may be lost on its way.
func (s *Store) KeepEnrolment(ctx context.Context, tx pgx.Tx, secret string, agent sprout.AgentID, token string) error {
	sealed, err := s.config.Key.Seal(string(agent), []byte(token))
	if err != nil {
		return err
	}
	n, err := exec(ctx, tx, `UPDATE enrol_token SET agent = $2, sealed = $3 WHERE hash = $1`, hashOf(secret), agent, sealed)
	return mustTouch(n, err, "enrolment token of", string(agent))
}

// EnrolAgain returns what was answered before to the same token and the same
// keys, for an agent that never got it: one that nothing was heard of since.
// False where there is no such agent, or the token has expired.
func (s *Store) EnrolAgain(ctx context.Context, tx pgx.Tx, secret, publicKey, sealKey string) (e Enrolled, again bool, err error) {
	type row struct {
		Agent  sprout.AgentID
		After  int64
		Sealed []byte
	}
	r, err := one(ctx, tx, pgx.RowToStructByPos[row], `
		SELECT a.id, a.begins_after, e.sealed
		FROM enrol_token e JOIN agent a ON a.site = e.site AND a.id = e.agent JOIN inbox i ON i.site = e.site AND i.agent = a.id
		WHERE e.hash = $1 AND e.expires_at > now() AND a.public_key = $2 AND a.seal_key = $3
		  AND a.retired_at IS NULL AND a.last_seen IS NULL AND i.last_fact = 0
		FOR UPDATE OF e`, hashOf(secret), publicKey, sealKey)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	token, err := s.config.Key.Open(string(r.Agent), r.Sealed)
	if err != nil {
		return e, false, err
	}
	e.After, e.Token = r.After, string(token)
	e.Agent, err = s.In(tx).Agent(ctx, r.Agent)
	return e, err == nil, err
}

func refuseEnrol(reason string) error {
	e := sprout.Errorf(sprout.Denied, "cannot enrol with this token: %s", reason)
	e.Field = "token"
	return e.WithRemedy("make a new one with: sprout agent token create SITE")
}
