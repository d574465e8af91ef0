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
	relaySites = 16 // that are published to at once
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

// publish hands one batch to the bus, sites side by side; more tells whether
// others wait. A site whose change is refused is passed over, with a problem, and
// tried again later: the sites beside it do not wait.
func (r *relayer) publish(ctx context.Context) (more bool, err error) {
	rows, err := r.store.Unpublished(ctx, relayBatch, r.waiting()...)
	if err != nil {
		return false, err
	}
	sites := map[sprout.SiteID][]store.OutboxRow{}
	for _, row := range rows {
		sites[row.Site] = append(sites[row.Site], row)
	}
	results := make(chan handedOn, len(sites))
	free := make(chan struct{}, relaySites)
	for _, of := range sites {
		go func() {
			free <- struct{}{}
			results <- r.handOn(ctx, of)
			<-free
		}()
	}
	for range len(sites) {
		site := <-results
		err = errors.Join(err, r.settle(ctx, site))
	}
	return len(rows) == relayBatch, err
}

// A handedOn tells how far a site's changes came: of rows so many, and why the
// next one was refused, if it was.
type handedOn struct {
	rows    []store.OutboxRow
	done    int
	refused error
}

// handOn publishes changes of one site in their order, up to one that is refused.
func (r *relayer) handOn(ctx context.Context, rows []store.OutboxRow) handedOn {
	for i, row := range rows {
		if err := r.bus.Publish(ctx, row.Site, row.Change); err != nil {
			return handedOn{rows, i, err}
		}
	}
	return handedOn{rows, len(rows), nil}
}

// settle notes what was handed on, and what was refused. The error is of the bus
// or of the store, and no site's fault.
func (r *relayer) settle(ctx context.Context, h handedOn) error {
	site := h.rows[0].Site
	if h.done > 0 {
		delete(r.refused, site)
		if err := r.store.MarkPublished(ctx, site, h.rows[h.done-1].Seq); err != nil {
			return err
		}
	}
	if h.refused == nil {
		return nil
	}
	if away := r.bus.Ready(); away != nil || ctx.Err() != nil {
		return errors.Join(h.refused, away)
	}
	r.refuse(ctx, h.rows[h.done], h.refused)
	return nil
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

// repair sends a site again what it never applied, although it was published for
// long enough to have come: the bus had dropped it. What waits for the relay is
// not lost.
func (s *Server) repair(ctx context.Context, site sprout.SiteID, applied int64) error {
	missing, err := s.store.PublishedAfter(ctx, site, applied, lagFor, relayBatch)
	if err != nil || len(missing) == 0 {
		return err
	}
	kept, full, err := s.bus.Kept(ctx, site)
	if err != nil { // the site is sent what it lacks all the same
		s.log.Warn("cannot tell whether the bus dropped changes", "site", site, "error", err)
	}
	if err == nil && full && kept < len(missing) {
		reason := "the bus dropped changes that the site had not taken: they are sent again"
		if err := raiseAtSite(ctx, s.store, site, sprout.BusFull, reason, fmt.Sprintf("its stream down is full; change %d is the first that the site lacks", missing[0].Seq)); err != nil {
			return err
		}
	}
	return s.sendAgain(ctx, site, missing)
}

// sendAgain sends a site changes that the bus may have had before.
func (s *Server) sendAgain(ctx context.Context, site sprout.SiteID, changes []sprout.Change) error {
	for _, change := range changes {
		if err := s.bus.Republish(ctx, site, change); err != nil {
			return err
		}
	}
	s.log.Info("changes sent to a site again", "site", site, "from", changes[0].Seq, "count", len(changes))
	return nil
}
