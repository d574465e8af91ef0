package server

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A site that lags behind for lagFor is sent what it lacks again; its outbox is
// pruned every pruneEvery.
const (
	lagFor     = 5 * time.Second
	pruneEvery = 10 * time.Minute
)

// lags remembers since when each site is behind, and at which change.
type lags struct {
	mu     sync.Mutex
	at     map[sprout.SiteID]int64
	since  map[sprout.SiteID]time.Time
	pruned map[sprout.SiteID]time.Time
}

// behind notes how far a site is and tells whether it has stood still for too
// long with changes to apply.
func (l *lags) behind(site sprout.SiteID, applied, wanted int64, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, known := l.at[site]
	if applied >= wanted || !known || last != applied {
		l.at[site], l.since[site] = applied, now
		return false
	}
	if now.Sub(l.since[site]) < lagFor {
		return false
	}
	l.since[site] = now
	return true
}

// mayPrune tells, at most once in pruneEvery, that a site's outbox is due.
func (l *lags) mayPrune(site sprout.SiteID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.pruned[site]) < pruneEvery {
		return false
	}
	l.pruned[site] = now
	return true
}

// takeBeats notes that agents live, repairs what they missed, and watches for
// those that fall silent.
func (s *Server) takeBeats(ctx context.Context) error {
	told := &troubled{}
	l := &lags{at: map[sprout.SiteID]int64{}, since: map[sprout.SiteID]time.Time{}, pruned: map[sprout.SiteID]time.Time{}}
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		// Agents that were silent because this server was away come back first.
		for wait := sprout.OfflineAfter; sprout.Pause(ctx, wait) == nil; wait = sprout.OfflineAfter / 4 {
			if err := s.store.RaiseSilent(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("cannot look for silent agents", "error", err)
			}
		}
	}()
	err := s.bus.ConsumeBeats(ctx, func(beats []sprout.Beat) {
		if err := s.hear(ctx, l, told, beats); err != nil && ctx.Err() == nil {
			s.log.Warn("heartbeats not taken", "error", err)
		}
	})
	<-silent
	return err
}

// hear takes the newest heartbeat of each agent that spoke: in one statement for
// all, as there is nothing to do about most.
func (s *Server) hear(ctx context.Context, l *lags, told *troubled, beats []sprout.Beat) (err error) {
	by := map[[2]string]sprout.Beat{}
	for _, beat := range beats {
		if refused := sprout.CheckProtocol(beat.Protocol); refused != nil {
			err = errors.Join(err, refused, s.raiseVersion(ctx, beat, refused))
			continue
		}
		by[beat.From()] = beat
	}
	if len(by) == 0 {
		return err
	}
	agents, heard := s.store.Heartbeats(ctx, slices.Collect(maps.Values(by)))
	if heard != nil {
		return errors.Join(err, heard)
	}
	for _, a := range agents {
		from := sprout.Beat{Site: a.Site, Heartbeat: sprout.Heartbeat{Agent: a.ID}}.From()
		err = errors.Join(err, s.takeBeat(ctx, l, told, a, by[from].Heartbeat))
		delete(by, from)
	}
	for _, beat := range by {
		err = errors.Join(err, sprout.Errorf(sprout.Denied, "cannot take a heartbeat of agent %s from site %s: it is retired, or of another site", beat.Agent, beat.Site))
	}
	return err
}

// takeBeat does what a heartbeat asks for; a is what was known of its agent before.
func (s *Server) takeBeat(ctx context.Context, l *lags, told *troubled, a sprout.Agent, beat sprout.Heartbeat) error {
	if !a.Online {
		err := s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.store.AgentBack(ctx, tx, a) })
		if err != nil {
			return err
		}
	}
	if err := s.takeTroubles(ctx, told, a, beat); err != nil {
		return err
	}
	now := time.Now()
	if l.behind(a.Site, beat.Applied, a.Wanted, now) {
		return s.repair(ctx, a.Site, beat.Applied)
	}
	if !l.mayPrune(a.Site, now) {
		return nil
	}
	_, err := s.store.PruneOutbox(ctx, a.Site, beat.Applied)
	return err
}

// raiseVersion opens the problem of an agent that this control plane cannot work
// with; the first heartbeat that is taken closes it.
func (s *Server) raiseVersion(ctx context.Context, beat sprout.Beat, why error) error {
	a, err := s.store.Agent(ctx, beat.Agent)
	if err != nil || a.Site != beat.Site {
		return err
	}
	severity, remedy := sprout.Explain(sprout.AgentVersion, "", "", a.SiteName)
	return s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return s.store.RaiseProblem(ctx, tx, sprout.Problem{
			Code: sprout.AgentVersion, Severity: severity, Site: a.Site, Subject: string(a.ID), Name: a.SiteName,
			Reason: why.Error(), Evidence: "agent version " + beat.Version + ", control plane version " + sprout.Version, Remedy: remedy,
		})
	})
}

// takeLive keeps what running work looks like, for those who watch.
func (s *Server) takeLive(ctx context.Context) error {
	return s.bus.ConsumeLive(ctx, func(_ sprout.SiteID, live sprout.Live) {
		if live.Answer != nil || live.Console != nil {
			return // whoever asked takes it
		}
		if err := s.store.SaveLive(ctx, workflowOf(live.Work), live); err != nil && ctx.Err() == nil {
			s.log.Debug("progress not kept", "work", live.Work, "error", err)
		}
	})
}

// workflowOf returns the workflow that a piece of site work belongs to.
func workflowOf(work string) sprout.WorkflowID {
	id, _, _ := strings.Cut(work, "/")
	return sprout.WorkflowID(id)
}
