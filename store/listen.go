package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Listen calls heard for every notification on the channels until ctx ends (nil)
// or the connection breaks (an error: call it again, and look for what was
// missed meanwhile). Ready, if not nil, is called once it listens. It holds one
// connection of the pool.
func (s *Store) Listen(ctx context.Context, channels []string, ready func(), heard func(channel, payload string)) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	defer func() {
		// A connection that listens must not go back to the pool.
		_ = conn.Hijack().Close(context.WithoutCancel(ctx))
	}()
	for _, c := range channels {
		if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{c}.Sanitize()); err != nil {
			return fmt.Errorf("cannot listen on %s: %w", c, err)
		}
	}
	if ready != nil {
		ready()
	}
	for {
		n, err := conn.Conn().WaitForNotification(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot listen any longer: %w", err)
		}
		heard(n.Channel, n.Payload)
	}
}
