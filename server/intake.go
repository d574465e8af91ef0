package server

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
)

const (
	// A fact that is refused for no reason that we know is tried so often before
	// it is passed over.
	factTries = 4
	// A gap before a fact is a problem after missingFor: what comes again after
	// the end of a replica takes less.
	missingFor = time.Minute
	// evidenceBytes is how much of a fact a problem shows.
	evidenceBytes = 2000
)

// An intake takes the facts of every site, each once and in order: those that
// wait together in one transaction, and one by one around one that is refused.
type intake struct {
	*Server
	table   map[sprout.FactKind]func(context.Context, pgx.Tx, sprout.SiteID, sprout.Fact) error
	missing time.Duration // missingFor

	mu     sync.Mutex
	trying map[sprout.SiteID]trying
}

// trying is how often the next fact of a site was tried, and since when.
type trying struct {
	seq   int64
	times int
	since time.Time
}

// takings are facts that are being taken in one transaction, with what is
// written for all of them at its end.
type takings struct {
	tx     pgx.Tx
	site   sprout.SiteID
	steps  []store.SiteStep
	boots  []sprout.BootEvent
	leases []sprout.Lease
}

// takeFacts takes facts until ctx ends.
func (s *Server) takeFacts(ctx context.Context) error {
	return s.bus.ConsumeFacts(ctx, s.newIntake().take)
}

func (s *Server) newIntake() *intake {
	return &intake{Server: s, table: s.facts(), missing: missingFor, trying: map[sprout.SiteID]trying{}}
}

// take is a bus.Take.
func (in *intake) take(ctx context.Context, site sprout.SiteID, facts []sprout.Fact) (int, error) {
	for len(facts) > 1 {
		refused, err := in.together(ctx, site, facts)
		switch {
		case err == nil:
			return len(facts), nil
		case ctx.Err() != nil || sprout.KindOf(err) == sprout.Unavailable:
			return 0, err
		case refused == 0:
			facts = facts[:1]
		default:
			facts = facts[:refused]
		}
	}
	if err := in.alone(ctx, site, facts[0]); err != nil {
		return 0, err
	}
	return 1, nil
}

// together takes facts in one transaction. An error names the fact whose effects
// were refused; 0 where it may be any.
func (in *intake) together(ctx context.Context, site sprout.SiteID, facts []sprout.Fact) (refused int, err error) {
	err = in.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		before, err := in.store.TakeFacts(ctx, tx, site, facts)
		if err != nil || before == len(facts) {
			return err
		}
		workflows, machines := touched(facts[before:])
		if err := in.store.HoldForFacts(ctx, tx, workflows, machines); err != nil {
			return err
		}
		t := &takings{tx: tx, site: site}
		for i, f := range facts[before:] {
			if err := in.apply(ctx, t, f); err != nil {
				refused = before + i
				return err
			}
		}
		return in.write(ctx, t)
	})
	return refused, err
}

// touched lists the rows that facts change and others change too.
func touched(facts []sprout.Fact) (workflows []sprout.WorkflowID, machines []sprout.MachineID) {
	for _, f := range facts {
		switch f.Kind {
		case sprout.FactWorkEnded:
			workflows = append(workflows, workflowOf(f.Work))
		case sprout.FactInventory, sprout.FactTests, sprout.FactPower, sprout.FactBMC, sprout.FactRest:
			machines = append(machines, f.Machine)
		case sprout.FactDiscovered, sprout.FactStep, sprout.FactLease, sprout.FactBoot, sprout.FactNames:
		}
	}
	return workflows, machines
}

// alone takes one fact. What can never be taken is passed over, so that the
// site's later facts do not wait behind it for ever.
func (in *intake) alone(ctx context.Context, site sprout.SiteID, f sprout.Fact) error {
	tried := in.try(site, f.Seq)
	err := in.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		fresh, err := in.store.TakeFact(ctx, tx, site, f)
		if err != nil || !fresh {
			return err
		}
		refused := in.store.Try(ctx, tx, func(ctx context.Context) error {
			t := &takings{tx: tx, site: site}
			if err := in.apply(ctx, t, f); err != nil {
				return err
			}
			return in.write(ctx, t)
		})
		if refused == nil || !final(refused, tried.times) {
			return refused
		}
		return in.passOver(ctx, tx, site, f, refused)
	})
	if sprout.KindOf(err) == sprout.Conflict && time.Since(tried.since) > in.missing { // only TakeFact's is left: a gap
		if err := raiseAtSite(ctx, in.store, site, sprout.FactsMissing, err.Error(), fmt.Sprintf("fact %d (%s) waits since %s", f.Seq, f.Kind, tried.since.UTC().Format(time.RFC3339))); err != nil {
			in.log.Warn("cannot raise the problem of missing facts", "site", site, "error", err)
		}
	}
	if err == nil {
		in.mu.Lock()
		delete(in.trying, site)
		in.mu.Unlock()
	}
	return err
}

// try counts one more try of a fact.
func (in *intake) try(site sprout.SiteID, seq int64) trying {
	in.mu.Lock()
	defer in.mu.Unlock()
	t := in.trying[site]
	if t.seq != seq {
		t = trying{seq: seq, since: time.Now()}
	}
	t.times++
	in.trying[site] = t
	return t
}

// final tells that trying again is of no use. What the database says of its own
// state is not; a defect of ours is believed only when it repeats.
func final(refused error, times int) bool {
	switch sprout.KindOf(refused) {
	case sprout.NotFound, sprout.Invalid, sprout.Conflict, sprout.Denied:
		return true
	case sprout.Internal:
		return times >= factTries
	case sprout.Unavailable:
	}
	return false
}

// passOver leaves a fact without effects, and says so: in the log where it is
// about what is gone, else as a problem too.
func (in *intake) passOver(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact, why error) error {
	in.log.Warn("fact passed over", "site", site, "seq", f.Seq, "kind", f.Kind, "machine", f.Machine, "error", why)
	if sprout.KindOf(why) == sprout.NotFound {
		return nil
	}
	at, err := in.store.In(tx).FindSite(ctx, string(site))
	if err != nil {
		return err
	}
	subject, name := string(site), at.Name
	if m, err := in.machineAt(ctx, tx, site, f); err == nil {
		subject, name = string(m.ID), m.Name
	} else if sprout.KindOf(err) != sprout.NotFound {
		return err
	}
	severity, remedy := sprout.Explain(sprout.FactRefused, name, "", at.Name)
	return in.store.RaiseProblem(ctx, tx, sprout.Problem{
		Code: sprout.FactRefused, Severity: severity, Site: site, Subject: subject, Name: name,
		Reason:   fmt.Sprintf("fact %d (%s) of %s was passed over: %v", f.Seq, f.Kind, f.At.UTC().Format(time.RFC3339), why),
		Evidence: string(f.Body[:min(len(f.Body), evidenceBytes)]), Remedy: remedy,
	})
}

// apply is what one fact does. A panic is a refusal like others: the next start
// would meet the same fact.
func (in *intake) apply(ctx context.Context, t *takings, f sprout.Fact) (err error) {
	defer func() {
		if p := recover(); p != nil {
			in.log.Error("taking a fact panicked", "site", t.site, "seq", f.Seq, "kind", f.Kind, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("cannot take fact %d (%s): a defect of Sprout: %v", f.Seq, f.Kind, p)
		}
	}()
	switch f.Kind {
	case sprout.FactStep:
		step, err := body[sprout.StepRecord](f)
		t.steps = append(t.steps, store.SiteStep{Workflow: workflowOf(f.Work), Work: f.Work, StepRecord: step})
		return err
	case sprout.FactBoot:
		events, err := bootsIn(f)
		t.boots = append(t.boots, events...)
		return err
	case sprout.FactLease:
		lease, err := body[sprout.Lease](f)
		t.leases = append(t.leases, lease)
		return err
	case sprout.FactDiscovered, sprout.FactInventory, sprout.FactTests, sprout.FactPower, sprout.FactBMC, sprout.FactRest, sprout.FactWorkEnded, sprout.FactNames:
		return in.table[f.Kind](ctx, t.tx, t.site, f)
	}
	in.log.Warn("fact of an unknown kind", "site", t.site, "seq", f.Seq, "kind", f.Kind)
	return nil
}

// write is what facts do together.
func (in *intake) write(ctx context.Context, t *takings) error {
	if err := in.store.ReportSteps(ctx, t.tx, t.site, t.steps); err != nil {
		return err
	}
	if err := in.store.SetLeases(ctx, t.tx, t.site, t.leases); err != nil {
		return err
	}
	declined := slices.DeleteFunc(slices.Clone(t.leases), func(l sprout.Lease) bool { return l.State != "declined" })
	if err := in.store.Declined(ctx, t.tx, declined); err != nil {
		return err
	}
	return in.store.RecordBoots(ctx, t.tx, t.site, t.boots)
}
