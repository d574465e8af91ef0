package store

import (
	"cmp"
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

// Of a token that a server of before made, site is all that tells of its sites.
const tokenColumns = `id, name, CASE WHEN first THEN 'first' WHEN login THEN 'login' WHEN role = 'agent' THEN 'agent' ELSE 'made' END, role,
	coalesce(sites, CASE WHEN site IS NOT NULL THEN ARRAY[site] END), grants, expires_at, created_at, last_used_at, revoked_at`

func scanToken(row pgx.CollectableRow) (t sprout.Token, err error) {
	err = row.Scan(&t.ID, &t.Name, &t.Kind, &t.Role, &t.Sites, &t.Grants, &t.ExpiresAt, &t.CreatedAt, &t.LastUsedAt, &t.RevokedAt)
	return t, err
}

// CreateToken makes a token of the API. The secret is shown once.
func (s *Store) CreateToken(ctx context.Context, tx pgx.Tx, t sprout.Token) (made sprout.Token, secret string, err error) {
	secret = sprout.NewSecret()
	made, err = s.PutToken(ctx, tx, t, secret)
	return made, secret, err
}

// PutToken makes a token of the API with a secret that the caller chose (the
// first administrator's, an agent's). A server of before takes it for one of the
// first of its sites: for less than it is, never for more.
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
		INSERT INTO token (id, site, sites, grants, name, hash, role, first, login, expires_at) VALUES ($1, ($2::text[])[1], $2, $3, $4, $5, $6, $7, $8, $9)
		RETURNING `+tokenColumns, t.ID, t.Sites, orEmpty(t.Grants), t.Name, hashOf(secret), t.Role, t.Kind == sprout.FirstToken, t.Kind == sprout.LoginToken, t.ExpiresAt)
}

// CreateLogin makes a person's token. proof is the hash of what the person logged in
// with: Denied if it has served before.
func (s *Store) CreateLogin(ctx context.Context, tx pgx.Tx, t sprout.Token, proof []byte) (sprout.Token, string, error) {
	before, err := one(ctx, tx, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM token WHERE proof = $1)`, proof)
	if err != nil {
		return t, "", err
	}
	if before {
		return t, "", sprout.Errorf(sprout.Denied, "cannot accept the id token: it has served for a login before").WithRemedy("sprout login URL --oidc")
	}
	made, secret, err := s.CreateToken(ctx, tx, t)
	if err != nil {
		return made, secret, err
	}
	_, err = exec(ctx, tx, `UPDATE token SET proof = $2 WHERE id = $1`, made.ID, proof) // of two at once the second is a conflict
	return made, secret, err
}

// TokenNamed tells whether there is a token of that name that is no login.
func (s *Store) TokenNamed(ctx context.Context, name string) (bool, error) {
	return one(ctx, s.db, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM token WHERE name = $1 AND revoked_at IS NULL AND NOT login)`, name)
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

// UseTokens records that tokens were used now, unless that was recorded less than
// a minute ago.
func (s *Store) UseTokens(ctx context.Context, ids []sprout.TokenID) error {
	_, err := exec(ctx, s.db, `
		UPDATE token SET last_used_at = now()
		WHERE id = ANY ($1) AND (last_used_at IS NULL OR last_used_at <= now() - interval '1 minute')`, ids)
	return err
}

// RevokeToken ends the token that ref names (id, or name of one not revoked).
func (s *Store) RevokeToken(ctx context.Context, tx pgx.Tx, ref string) (sprout.Token, error) {
	t, err := one(ctx, tx, scanToken, `
		UPDATE token SET revoked_at = now() WHERE (id = $1 OR name = $1) AND revoked_at IS NULL
		RETURNING `+tokenColumns, ref)
	if err != nil {
		return t, orNotFound(err, "a valid token", ref)
	}
	return t, s.touch(ctx, tx, happened(sprout.WasDeleted, t.Sites.Only(), t.ID)) // ends what it watches
}

// TokenRevoked tells whether the token was revoked. One that is not kept here is
// not.
func (s *Store) TokenRevoked(ctx context.Context, id sprout.TokenID) (bool, error) {
	return one(ctx, s.db, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM token WHERE id = $1 AND revoked_at IS NOT NULL)`, id)
}

// A TokenFilter restricts a list of tokens; zero fields do not.
type TokenFilter struct {
	Sites sprout.Sites // good for no others
	Page
}

var tokenListing = listing[sprout.Token]{"token", "created", map[string]order[sprout.Token]{
	"created": {[]key{text("id")}, func(t sprout.Token) []string { return []string{string(t.ID)} }},
}}

// Tokens lists tokens in the order they were made, revoked ones included.
func (s *Store) Tokens(ctx context.Context, f TokenFilter) ([]sprout.Token, string, error) {
	var q selection
	if !f.Sites.Every() {
		q.where(`coalesce(sites, ARRAY[site]) <@ %[1]s AND NOT EXISTS (SELECT FROM jsonb_array_elements(grants) g
			WHERE NOT (g ? 'sites' AND ARRAY(SELECT jsonb_array_elements_text(g -> 'sites')) <@ %[1]s))`, f.Sites)
	}
	return page(tokenListing, f.Page, q, func(tail string, args ...any) ([]sprout.Token, error) {
		list, err := many(ctx, s.db, scanToken, `SELECT `+tokenColumns+` FROM token `+tail, args...)
		if err != nil {
			return nil, err
		}
		return list, s.NameSites(ctx, list...)
	})
}

// NameSites fills in the names of the sites that tokens are good for. One that
// was deleted keeps its id.
func (s *Store) NameSites(ctx context.Context, tokens ...sprout.Token) error {
	var ids sprout.Sites
	for _, t := range tokens {
		for _, g := range t.All() {
			ids = append(ids, g.Sites...)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	sites, err := many(ctx, s.db, scanSite, `SELECT `+siteColumns+` FROM site WHERE id = ANY ($1)`, ids)
	if err != nil {
		return err
	}
	names := map[sprout.SiteID]string{}
	for _, site := range sites {
		names[site.ID] = site.Name
	}
	called := func(sites sprout.Sites) (list []string) {
		for _, id := range sites {
			list = append(list, cmp.Or(names[id], string(id)))
		}
		return list
	}
	for i := range tokens {
		t := &tokens[i]
		t.SiteNames = called(t.Sites)
		for j := range t.Grants {
			t.Grants[j].SiteNames = called(t.Grants[j].Sites)
		}
	}
	return nil
}
