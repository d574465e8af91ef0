package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// MachineNetwork returns the network configuration of a machine, nil if nobody
// has set one.
func (s *Store) MachineNetwork(ctx context.Context, id sprout.MachineID) (*sprout.NetworkConfig, error) {
	c, err := one(ctx, s.db, pgx.RowTo[*sprout.NetworkConfig], `SELECT network FROM machine WHERE id = $1`, id)
	return c, orNotFound(err, "machine", string(id))
}

// SetMachineNetwork keeps the network configuration of a machine; nil takes it
// away. The site does not learn of it: a deploy carries what comes of it.
func (s *Store) SetMachineNetwork(ctx context.Context, tx pgx.Tx, id sprout.MachineID, c *sprout.NetworkConfig) error {
	n, err := exec(ctx, tx, `UPDATE machine SET network = $2, changed_at = now() WHERE id = $1`, id, c)
	return mustTouch(n, err, "machine", string(id))
}
