package store

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// errAlone says that an ask was not answered together with others, and has to
// be on its own.
var errAlone = errors.New("asked together with others, without an answer")

// askTogether answers one ask, with others of its subnet or for others. errAlone:
// try it alone.
func (s *Store) askTogether(ctx context.Context, want sprout.Address) (sprout.Address, error) {
	a := &ask{want: want}
	err := s.crowd.Ask(ctx, want.Subnet, a, func(ctx context.Context, asks []*ask) { s.answerAll(ctx, want.Subnet, asks) })
	if err != nil {
		return want, err
	}
	return a.got, a.err
}

// answerAll answers each ask, if only by errAlone.
func (s *Store) answerAll(ctx context.Context, id sprout.SubnetID, asks []*ask) {
	err := s.placeTogether(ctx, id, asks)
	left := slices.DeleteFunc(slices.Clone(asks), func(a *ask) bool { return a.over })
	if err == nil && len(left) > 0 {
		err = s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.allocate(ctx, tx, id, left) })
	}
	if err == nil {
		return
	}
	s.pools.of(id).forget() // what was picked is free still
	for _, a := range left {
		if len(asks) > 1 {
			err = errAlone // one of them may be to blame, and not the others
		}
		a.answer(a.want, err)
	}
}
