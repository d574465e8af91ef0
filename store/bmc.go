package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// SetBMC sets the BMC of a machine and seals its password. An empty password
// keeps the one that is known.
func (s *Store) SetBMC(ctx context.Context, tx pgx.Tx, id sprout.MachineID, b sprout.BMC) error {
	if err := b.Check(); err != nil {
		return err
	}
	var sealed []byte
	if b.Password != "" {
		var err error
		if sealed, err = s.config.Key.Seal(string(id), []byte(b.Password)); err != nil {
			return err
		}
	}
	n, err := exec(ctx, tx, `
		INSERT INTO bmc (site, machine, driver, url, username, system, insecure, secret)
		SELECT site, id, $2, $3, $4, $5, $6, $7 FROM machine WHERE id = $1
		ON CONFLICT (site, machine) DO UPDATE SET driver = excluded.driver, url = excluded.url,
			username = excluded.username, system = excluded.system, insecure = excluded.insecure,
			secret = coalesce(excluded.secret, bmc.secret),
			about = CASE WHEN bmc.driver = excluded.driver AND bmc.url = excluded.url THEN bmc.about END`,
		id, b.Driver, b.URL, b.Username, b.System, b.Insecure, sealed)
	if err := mustTouch(n, err, "machine", string(id)); err != nil {
		return err
	}
	return s.replicateMachine(ctx, tx, id)
}

// SetBMCAbout keeps what the BMC of a machine told of itself. Where that has another URL
// now it is of another BMC, and nothing is kept.
func (s *Store) SetBMCAbout(ctx context.Context, tx pgx.Tx, id sprout.MachineID, told sprout.BMCFact) error {
	n, err := exec(ctx, tx, `
		UPDATE bmc SET about = $3 WHERE machine = $1 AND url = $2 AND about IS DISTINCT FROM $3`, id, told.URL, told.BMCAbout)
	if err != nil || n == 0 {
		return err
	}
	return s.touch(ctx, tx, changed("", id))
}

// DeleteBMC forgets the BMC of a machine; none is no error.
func (s *Store) DeleteBMC(ctx context.Context, tx pgx.Tx, id sprout.MachineID) error {
	if _, err := exec(ctx, tx, `DELETE FROM bmc WHERE machine = $1`, id); err != nil {
		return err
	}
	return s.replicateMachine(ctx, tx, id)
}

// BMCPassword opens the password of a machine's BMC; empty: it has none.
func (s *Store) BMCPassword(ctx context.Context, id sprout.MachineID) (string, error) {
	sealed, err := one(ctx, s.db, pgx.RowTo[[]byte], `SELECT secret FROM bmc WHERE machine = $1`, id)
	if err != nil || len(sealed) == 0 {
		return "", orNotFound(err, "the BMC of machine", string(id))
	}
	secret, err := s.config.Key.Open(string(id), sealed)
	return string(secret), err
}
