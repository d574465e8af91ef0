package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/alloc"
	"sprout/api"
)

func (s *Server) machineAllocate(ctx context.Context, in *api.AllocateMachine) (sprout.Machine, error) {
	return s.Allocate(ctx, in)
}

// Allocate gives the machine that fits best to an owner. Machines that others take
// meanwhile are passed over. In this process it may be called without a request:
// then Sprout itself asks.
func (s *Server) Allocate(ctx context.Context, in *api.AllocateMachine) (sprout.Machine, error) {
	sites, want, err := s.wanted(ctx, in.Body.Constraints)
	if err != nil {
		return sprout.Machine{}, err
	}
	owner := cmp.Or(in.Body.Owner, actor(ctx))
	if err := sprout.CheckWord("owner", owner); err != nil {
		return sprout.Machine{}, err
	}
	ask := func() (sprout.Machine, error) {
		return s.desk.ask(ctx, &ask{sites: sites, want: want, owner: owner, record: s.record(ctx, api.MachineAllocate.Name), key: keyOf(ctx)})
	}
	m, err := ask()
	if errors.Is(err, errAlone) && keyOf(ctx) == nil {
		err = s.store.Join(ctx, func(joined context.Context, _ pgx.Tx) (err error) {
			ctx = joined
			m, err = ask()
			return err
		})
	}
	return m, err
}

// tooFew says that so few machines fit of those there are: which constraint removed
// how many, and which were near.
func tooFew(asked, fit, of int, removed []alloc.Removal) *sprout.Error {
	what := fmt.Sprintf("cannot allocate: none of %d machines fits: ", of)
	if asked > 1 {
		what = fmt.Sprintf("cannot allocate %d machines: %d of %d fit: ", asked, fit, of)
	}
	return sprout.Errorf(sprout.Conflict, "%s%s", what, reasons(of, removed))
}

func reasons(of int, removed []alloc.Removal) string {
	var why []string
	for _, r := range removed {
		if r.Removed == 0 {
			continue
		}
		line := fmt.Sprintf("%q removed %d", r.Constraint, r.Removed)
		if len(r.Nearest) > 0 {
			line += " (nearest: " + strings.Join(r.Nearest, ", ") + ")"
		}
		why = append(why, line)
	}
	if of == 0 {
		why = append(why, "there are none at all")
	}
	if len(why) == 0 {
		why = append(why, "all fit")
	}
	return strings.Join(why, "; ")
}
