package server

import (
	"context"
	"time"

	"sprout"
)

// resealPause is how long to wait after a database that did not answer.
const resealPause = 10 * time.Second

// reseal seals with the key of now what another sealed, once at each start, and
// then waits for ctx. What it cannot open is said and left.
func (s *Server) reseal(ctx context.Context) error {
	for {
		n, err := s.store.Reseal(ctx)
		if n > 0 {
			s.log.Info("secrets are sealed anew with the first key", "count", n)
		}
		if err == nil || ctx.Err() != nil {
			break
		}
		s.log.Error("cannot seal every secret anew: is a key of before missing?", "error", err)
		if sprout.Pause(ctx, resealPause) != nil {
			break
		}
	}
	<-ctx.Done()
	return nil
}
