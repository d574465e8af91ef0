package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A MachineMove is one row of a machine's history.
type MachineMove struct {
	Machine sprout.MachineID `json:"machine"`
	At      time.Time        `json:"at"`
	Actor   string           `json:"actor"`
	From    sprout.State     `json:"from,omitempty"` // empty: it was made
	Event   sprout.Event     `json:"event"`
	To      sprout.State     `json:"to"`
	Reason  string           `json:"reason,omitempty"`
}

func (s *Store) addHistory(ctx context.Context, tx pgx.Tx, h MachineMove) error {
	_, err := exec(ctx, tx, `
		INSERT INTO machine_history (site, machine, actor, from_state, event, to_state, reason)
		SELECT site, id, $2, $3, $4, $5, $6 FROM machine WHERE id = $1`, h.Machine, h.Actor, h.From, h.Event, h.To, h.Reason)
	return err
}

// MachineHistory lists the last moves of a machine, the latest first.
func (s *Store) MachineHistory(ctx context.Context, id sprout.MachineID, limit int) ([]MachineMove, error) {
	return many(ctx, s.db, pgx.RowToStructByPos[MachineMove], `
		SELECT machine, at, actor, from_state, event, to_state, reason
		FROM machine_history WHERE machine = $1 ORDER BY seq DESC LIMIT $2`, id, Page{Limit: limit}.limit())
}
