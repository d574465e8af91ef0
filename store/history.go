package store

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A MachineMove is one row of a machine's history.
type MachineMove struct {
	Seq     int64            `json:"-"`
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

var historyListing = listing[MachineMove]{"move", "-created", map[string]order[MachineMove]{
	"created": {[]key{number("seq")}, func(m MachineMove) []string { return []string{strconv.FormatInt(m.Seq, 10)} }},
}}

// MachineHistory lists the moves of a machine, the latest first.
func (s *Store) MachineHistory(ctx context.Context, m sprout.Machine, p Page) ([]MachineMove, string, error) {
	var q selection
	q.where("site = %s AND machine = %s", m.Site, m.ID)
	return page(historyListing, p, q, func(tail string, args ...any) ([]MachineMove, error) {
		return many(ctx, s.db, pgx.RowToStructByPos[MachineMove], `
			SELECT seq, machine, at, actor, from_state, event, to_state, reason FROM machine_history `+tail, args...)
	})
}
