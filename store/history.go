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
