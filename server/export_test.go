package server

import (
	"context"
	"time"

	"sprout/bus"
)

// TakeFacts is how the server takes facts, without the bus; a gap is a problem
// after missing.
func (s *Server) TakeFacts(missing time.Duration) bus.Take {
	in := s.newIntake()
	in.missing = missing
	return in.take
}

// LookForLost does at once what the driver does by the clock.
func (s *Server) LookForLost(ctx context.Context) {
	s.driver.catchLost(ctx, time.Now())
	s.driver.recognise(ctx)
}
