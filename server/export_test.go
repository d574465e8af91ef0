package server

import (
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
