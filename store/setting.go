package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Setting returns the secret kept under name, or keeps and returns the one that
// fresh makes if there is none. Replicas that start together get the same.
func (s *Store) Setting(ctx context.Context, name string, fresh func() ([]byte, error)) ([]byte, error) {
	const read = `SELECT sealed FROM setting WHERE name = $1`
	sealed, err := one(ctx, s.db, pgx.RowTo[[]byte], read, name)
	if errors.Is(err, pgx.ErrNoRows) {
		if err = s.keepSetting(ctx, name, fresh); err == nil {
			sealed, err = one(ctx, s.db, pgx.RowTo[[]byte], read, name)
		}
	}
	if err != nil {
		return nil, err
	}
	return s.config.Key.Open("setting "+name, sealed)
}

func (s *Store) keepSetting(ctx context.Context, name string, fresh func() ([]byte, error)) error {
	secret, err := fresh()
	if err != nil {
		return err
	}
	sealed, err := s.config.Key.Seal("setting "+name, secret)
	if err != nil {
		return err
	}
	_, err = exec(ctx, s.db, `INSERT INTO setting (name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, sealed)
	return err
}

// RetiredKeys lists the public keys of agents that may no longer connect.
func (s *Store) RetiredKeys(ctx context.Context) ([]string, error) {
	return many(ctx, s.db, pgx.RowTo[string], `SELECT public_key FROM agent WHERE retired_at IS NOT NULL ORDER BY retired_at`)
}
