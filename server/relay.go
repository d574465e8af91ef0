package server

import (
	"context"
	"time"

	"sprout"
)

const (
	relayEvery = 5 * time.Second // also without a notification
	relayBatch = 500
)

// relay publishes the changes that transactions left in the outbox: in order
// for each site, each until the bus has it. It may run in every replica at
// once: the bus knows a change by its number, and the site by its own count.
func (s *Server) relay(ctx context.Context) error {
	for {
		more, err := s.publish(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Warn("changes wait for the bus", "error", err)
		}
		if more && err == nil {
			continue
		}
		timer := time.NewTimer(relayEvery)
		select {
		case <-ctx.Done():
		case <-s.hub.outbox:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// publish hands one batch to the bus; more tells whether others wait.
func (s *Server) publish(ctx context.Context) (more bool, err error) {
	rows, err := s.store.Unpublished(ctx, relayBatch)
	if err != nil {
		return false, err
	}
	done := map[sprout.SiteID]int64{}
	for _, row := range rows {
		if err = s.bus.Publish(ctx, row.Site, row.Change); err != nil {
			break
		}
		done[row.Site] = row.Seq
	}
	for site, seq := range done {
		if err := s.store.MarkPublished(ctx, site, seq); err != nil {
			return false, err
		}
	}
	return len(rows) == relayBatch, err
}

// repair sends a site again what it never applied, although it was published:
// the bus had dropped it.
func (s *Server) repair(ctx context.Context, site sprout.SiteID, applied int64) error {
	missing, err := s.store.OutboxAfter(ctx, site, applied, relayBatch)
	if err != nil {
		return err
	}
	for _, change := range missing {
		if err := s.bus.Republish(ctx, site, change); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		s.log.Info("changes sent to a site again", "site", site, "from", applied+1, "count", len(missing))
	}
	return nil
}
