package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// hashOf is what is stored of a token. Tokens have 130 random bits, so a plain
// hash cannot be searched.
func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

const tokenColumns = `id, name, role, coalesce(site, ''), expires_at, created_at, revoked_at`

func scanToken(row pgx.CollectableRow) (t sprout.Token, err error) {
	err = row.Scan(&t.ID, &t.Name, &t.Role, &t.Site, &t.ExpiresAt, &t.CreatedAt, &t.RevokedAt)
	return t, err
}

// CreateToken makes a token of the API. The secret is shown once.
func (s *Store) CreateToken(ctx context.Context, tx pgx.Tx, t sprout.Token) (made sprout.Token, secret string, err error) {
	secret = sprout.NewSecret()
	made, err = s.PutToken(ctx, tx, t, secret)
	return made, secret, err
}

// PutToken makes a token of the API with a secret that the caller chose (the
// first administrator's, an agent's).
func (s *Store) PutToken(ctx context.Context, tx pgx.Tx, t sprout.Token, secret string) (sprout.Token, error) {
	if t.Name == "" {
		return t, sprout.InvalidField("name", "a token needs a name")
	}
	if len(secret) < 20 {
		return t, sprout.InvalidField("secret", "a token needs at least 20 characters")
	}
	if t.ID == "" {
		t.ID = sprout.NewID[sprout.TokenID](sprout.PrefixToken)
	}
	return one(ctx, tx, scanToken, `
		INSERT INTO token (id, site, name, hash, role, expires_at) VALUES ($1, nullif($2, ''), $3, $4, $5, $6)
		RETURNING `+tokenColumns, t.ID, t.Site, t.Name, hashOf(secret), t.Role, t.ExpiresAt)
}

// TokenBySecret returns the token whose bearer shows secret. Denied, saying
// why, if it is unknown, revoked or expired.
func (s *Store) TokenBySecret(ctx context.Context, secret string) (sprout.Token, error) {
	t, err := one(ctx, s.db, scanToken, `SELECT `+tokenColumns+` FROM token WHERE hash = $1`, hashOf(secret))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return t, sprout.Errorf(sprout.Denied, "cannot accept the token: it is not known")
	case err != nil:
		return t, err
	case t.RevokedAt != nil:
		return t, sprout.Errorf(sprout.Denied, "cannot accept the token %s: it was revoked at %s", t.Name, t.RevokedAt.UTC().Format(time.RFC3339))
	case t.ExpiresAt != nil && !time.Now().Before(*t.ExpiresAt):
		return t, sprout.Errorf(sprout.Denied, "cannot accept the token %s: it expired at %s", t.Name, t.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return t, nil
}

// RevokeToken ends the token that ref names (id, or name of one not revoked).
func (s *Store) RevokeToken(ctx context.Context, tx pgx.Tx, ref string) (sprout.Token, error) {
	t, err := one(ctx, tx, scanToken, `
		UPDATE token SET revoked_at = now() WHERE (id = $1 OR name = $1) AND revoked_at IS NULL
		RETURNING `+tokenColumns, ref)
	if err != nil {
		return t, orNotFound(err, "a valid token", ref)
	}
	return t, s.touch(ctx, tx, happened(sprout.WasDeleted, t.Site, t.ID)) // ends what it watches
}

// TokenRevoked tells whether the token was revoked. One that is not kept here is
// not.
func (s *Store) TokenRevoked(ctx context.Context, id sprout.TokenID) (bool, error) {
	return one(ctx, s.db, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM token WHERE id = $1 AND revoked_at IS NOT NULL)`, id)
}

// A TokenFilter restricts a list of tokens; zero fields do not.
type TokenFilter struct {
	Site sprout.SiteID // good for this site only
	Page
}

var tokenListing = listing[sprout.Token]{"token", "created", map[string]order[sprout.Token]{
	"created": {[]key{text("id")}, func(t sprout.Token) []string { return []string{string(t.ID)} }},
}}

// Tokens lists tokens in the order they were made, revoked ones included.
func (s *Store) Tokens(ctx context.Context, f TokenFilter) ([]sprout.Token, string, error) {
	var q selection
	equal(&q, "site", f.Site)
	return page(tokenListing, f.Page, q, func(tail string, args ...any) ([]sprout.Token, error) {
		return many(ctx, s.db, scanToken, `SELECT `+tokenColumns+` FROM token `+tail, args...)
	})
}
