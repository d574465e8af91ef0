package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
)

const (
	relayEvery = 5 * time.Second // also without a notification, and for what was refused
	relayBatch = 500
	// A change that is refused so often, for a reason that may pass, is a problem.
	refusals = 3
)

// A refusal is what the relay knows of a site whose first change was refused.
type refusal struct {
	seq   int64
	times int
	again time.Time // when it is tried again
}

// A relayer publishes the changes that transactions left in the outbox: in order
// for each site, each until the bus has it. It may run in every replica at
// once: the bus knows a change by its number, and the site by its own count.
type relayer struct {
	store   *store.Store
	log     *slog.Logger
	bus     publisher
	clock   func() time.Time
	refused map[sprout.SiteID]refusal
}

// A publisher is the bus as the relay needs it.
type publisher interface {
	Ready() error
	Publish(ctx context.Context, site sprout.SiteID, change sprout.Change) error
}

func newRelayer(s *store.Store, log *slog.Logger, bus publisher) *relayer {
	return &relayer{store: s, log: log, bus: bus, clock: time.Now, refused: map[sprout.SiteID]refusal{}}
}

// relay runs until ctx ends.
func (s *Server) relay(ctx context.Context) error {
	r := newRelayer(s.store, s.log, s.bus)
	tick := time.NewTicker(relayEvery)
	defer tick.Stop()
	for {
		more, err := r.publish(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Warn("changes wait for the bus", "error", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.hub.outbox:
		case <-tick.C:
			if err := s.store.ClearSettled(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("cannot look for problems that are over", "error", err)
			}
		}
	}
}

// publish hands one batch to the bus; more tells whether others wait. A site
// whose change is refused is passed over, with a problem, and tried again later:
// the sites beside it do not wait.
func (r *relayer) publish(ctx context.Context) (more bool, err error) {
	rows, err := r.store.Unpublished(ctx, relayBatch, r.waiting()...)
	if err != nil {
		return false, err
	}
	done, stuck := map[sprout.SiteID]int64{}, map[sprout.SiteID]bool{}
	for _, row := range rows {
		if stuck[row.Site] {
			continue
		}
		failed := r.bus.Publish(ctx, row.Site, row.Change)
		if failed == nil {
			done[row.Site] = row.Seq
			delete(r.refused, row.Site)
			continue
		}
		if away := r.bus.Ready(); away != nil || ctx.Err() != nil { // no site's fault
			err = errors.Join(failed, away)
			break
		}
		stuck[row.Site] = true
		r.refuse(ctx, row, failed)
	}
	for site, seq := range done {
		if err := r.store.MarkPublished(ctx, site, seq); err != nil {
			return false, err
		}
	}
	return len(rows) == relayBatch, err
}

// waiting lists the sites whose refused change is not to be tried yet.
func (r *relayer) waiting() (sites []sprout.SiteID) {
	now := r.clock()
	for site, what := range r.refused {
		if what.again.After(now) {
			sites = append(sites, site)
		}
	}
	return sites
}

// refuse notes that a change was refused, and raises the problem of its site
// once that is no passing trouble.
func (r *relayer) refuse(ctx context.Context, row store.OutboxRow, why error) {
	what := r.refused[row.Site]
	if what.seq != row.Seq {
		what = refusal{seq: row.Seq}
	}
	what.times++
	what.again = r.clock().Add(relayEvery)
	r.refused[row.Site] = what
	r.log.Warn("change refused by the bus; its site waits", "site", row.Site, "seq", row.Seq, "kind", row.Kind, "key", row.Key, "times", what.times, "error", why)
	if sprout.KindOf(why) != sprout.Invalid && what.times < refusals {
		return
	}
	reason := fmt.Sprintf("change %d (%s %s) is not taken by the bus, and later ones wait for it", row.Seq, row.Kind, row.Key)
	if err := raiseAtSite(ctx, r.store, row.Site, sprout.ChangeRefused, reason, why.Error()); err != nil && ctx.Err() == nil {
		r.log.Warn("cannot raise the problem of a refused change", "site", row.Site, "error", err)
	}
}

// raiseAtSite opens a problem about a site.
func raiseAtSite(ctx context.Context, s *store.Store, id sprout.SiteID, code sprout.Code, reason, evidence string) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		site, err := s.In(tx).FindSite(ctx, string(id))
		if err != nil {
			return err
		}
		severity, remedy := sprout.Explain(code, "", "", site.Name)
		return s.RaiseProblem(ctx, tx, sprout.Problem{
			Code: code, Severity: severity, Site: id, Subject: string(id), Name: site.Name, Reason: reason, Evidence: evidence, Remedy: remedy,
		})
	})
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
