package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/alloc"
	"sprout/api"
	"sprout/store"
)

const (
	// queueEvery is how often the queue is looked at without news: for what is told
	// by no event, such as a replica that died.
	queueEvery = 15 * time.Second
	// queueRest is how long it is left alone at least, however much is told.
	queueRest = 250 * time.Millisecond
	// queueAtOnce is how many that wait are looked at.
	queueAtOnce = 1000
	tidyEvery   = 10 * time.Minute
	// unseenFor is after how long a retired machine that boots no more is no problem.
	unseenFor = 24 * time.Hour
)

// A queue is the allocations that wait, and those whose time ends. The database holds
// it; each replica looks at it when machines become free, when somebody changes it
// here, and from time to time, and one at a time serves it. While nobody waits, no
// events are read for it.
type queue struct {
	server *Server
	wake   chan struct{} // holds one: it was changed here
	feed   *watcher      // nil: nobody waits
	stock  store.Stock
	tidied time.Time
}

func newQueue(s *Server) *queue { return &queue{server: s, wake: make(chan struct{}, 1)} }

// news says that it has changed.
func (q *queue) news() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run serves the queue and ends reservations until ctx ends.
func (q *queue) run(ctx context.Context) error {
	defer q.listen(ctx, false) //nolint:errcheck // it only leaves
	for {
		next := q.look(ctx)
		if sprout.Pause(ctx, queueRest) != nil {
			return nil
		}
		timer := time.NewTimer(max(0, next-queueRest))
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-q.told():
			if _, ended := q.feed.next(); ended != "" {
				_ = q.listen(ctx, false)
			}
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// told is ready when there is news that may concern who waits.
func (q *queue) told() <-chan struct{} {
	if q.feed == nil {
		return nil
	}
	return q.feed.ready
}

// look does what is due, and returns how long there is nothing to do unasked.
func (q *queue) look(ctx context.Context) time.Duration {
	s := q.server
	next, err := s.endReservations(ctx)
	if err == nil {
		var waits bool
		if waits, err = s.store.AnyQueued(ctx); err == nil {
			err = q.listen(ctx, waits) // before it is served: what comes later is told
		}
		if err == nil && waits {
			_, err = s.store.Alone(ctx, "allocation queue", q.serve)
		}
	}
	if err == nil && time.Since(q.tidied) > tidyEvery {
		q.tidied = time.Now()
		err = s.tidy(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("cannot look after the allocations; trying again", "error", err)
		return queueEvery
	}
	return next
}

// tidy forgets what is over for long.
func (s *Server) tidy(ctx context.Context) error {
	if err := s.store.ForgetAllocations(ctx, 1000); err != nil {
		return err
	}
	return s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return s.store.EndStale(ctx, tx, sprout.RetiredBooted, unseenFor)
	})
}

// listen has events read for those who wait, or no longer.
func (q *queue) listen(ctx context.Context, waits bool) error {
	switch f := q.server.feed; {
	case waits && q.feed == nil:
		w := newWatcher(store.EventFilter{Nouns: []sprout.Noun{sprout.NounMachine, sprout.NounAllocation}}, false, "")
		w.only = mayFree
		if _, err := f.join(ctx, w); err != nil {
			return err
		}
		q.feed = w
	case !waits && q.feed != nil:
		f.leave(q.feed)
		q.feed = nil
	}
	return nil
}

// mayFree tells whether somebody may be served after an event. A change without a
// state may be of a lock, a problem or a tag.
func mayFree(e sprout.WatchEvent) bool {
	return e.State == "" || e.State == string(sprout.Ready) || e.Noun == sprout.NounAllocation
}

// serve gives machines to those who wait, the oldest first. What an older one waits
// for is not given to a younger: as many as it wants of those that fit are set aside.
func (q *queue) serve(ctx context.Context) error {
	s := q.server
	waiting, err := s.store.Queue(ctx, queueAtOnce)
	if err != nil {
		return err
	}
	free, err := s.store.ReadStock(ctx, &q.stock)
	if err != nil {
		return err
	}
	p := pass{server: s, free: free}
	for _, a := range waiting {
		if len(p.free) == 0 {
			return nil
		}
		if err := p.serve(ctx, a); err != nil {
			s.log.Warn("cannot serve an allocation that waits; trying again", "allocation", a.ID, "error", err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// A pass is one look at all who wait.
type pass struct {
	server *Server
	free   []sprout.Machine // given to nobody, and set aside for nobody
}

// serve gives one allocation its machines if they are there, and if not sets aside
// those that are.
func (p *pass) serve(ctx context.Context, a sprout.Allocation) error {
	s := p.server
	ctx = asBefore(ctx, a)
	o, err := s.orderOf(ctx, a)
	if err != nil {
		return nil //nolint:nilerr // a site or network of it is gone: show says so
	}
	o.record = s.record(ctx, api.AllocationCreate.Name)
	fit, _ := s.desk.shelf.provider.Choose(o.want, at(o.sites, p.free))
	zones, err := p.zones(ctx, o, len(fit))
	if err != nil {
		return err
	}
	chosen := o.pick(zones, fit)
	if len(chosen) == 0 {
		p.setAside(fit[:min(len(fit), o.count)])
		return nil
	}
	err = s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		now, err := s.store.LockAllocation(ctx, tx, a.ID, true)
		if sprout.KindOf(err) == sprout.NotFound || err == nil && now.State != sprout.AllocationQueued {
			return nil // somebody cancels it
		}
		if err != nil {
			return err
		}
		return s.desk.hand(ctx, tx, o, chosen, func(ctx context.Context, tx pgx.Tx, given []sprout.Machine) error {
			if err := s.store.FillAllocation(ctx, tx, now, given); err != nil {
				return err
			}
			return s.store.Audit(ctx, tx, allocationRecord(o.record, now, given))
		})
	})
	if sprout.KindOf(err) == sprout.Conflict { // its owner may have no more: it is in nobody's way
		return nil
	}
	p.setAside(chosen)
	if errors.Is(err, errTaken) {
		s.queue.news()
		return nil
	}
	return err
}

// zones are those that an order is spread over.
func (p *pass) zones(ctx context.Context, o order, fit int) ([]string, error) {
	if !o.spread || fit < o.count {
		return nil, nil
	}
	machines, err := p.server.desk.everything(ctx, o.sites)
	return p.server.desk.zones(o.want, machines), err
}

func (p *pass) setAside(some []sprout.Machine) {
	gone := make(map[sprout.MachineID]bool, len(some))
	for _, m := range some {
		gone[m.ID] = true
	}
	var left []sprout.Machine
	for _, m := range p.free {
		if !gone[m.ID] {
			left = append(left, m)
		}
	}
	p.free = left
}

// at are the machines of the sites.
func at(sites sprout.Sites, machines []sprout.Machine) []sprout.Machine {
	if sites.Every() {
		return machines
	}
	var some []sprout.Machine
	for _, m := range machines {
		if sites.Has(m.Site) {
			some = append(some, m)
		}
	}
	return some
}

// asBefore is a context in which Sprout does for who asked for an allocation what he
// asked for then, at the sites that were his.
func asBefore(ctx context.Context, a sprout.Allocation) context.Context {
	return context.WithValue(ctx, bearerKey{}, bearing{token: sprout.Token{Name: a.AskedBy}, sites: a.Sites})
}

// whyWaiting says why an allocation is still in the queue, by what there is now.
func (s *Server) whyWaiting(ctx context.Context, a sprout.Allocation) (w api.AllocationWait, err error) {
	w.Removed = []alloc.Removal{}
	ctx = asBefore(ctx, a)
	o, err := s.orderOf(ctx, a)
	if k := sprout.KindOf(err); err != nil && k != sprout.Internal && k != sprout.Unavailable {
		w.Why = err.Error()
		return w, nil
	}
	if err != nil {
		return w, err
	}
	machines, err := s.desk.everything(ctx, o.sites)
	if err != nil {
		return w, err
	}
	l := s.desk.look(o, machines)
	w.Fit, w.Of, w.Removed = l.fit, l.of, filled(l.removed)
	if l.refusal != nil {
		if w.Why = fmt.Sprintf("%d of %d machines fit, and %d are wanted", l.fit, l.of, a.Count); l.fit >= a.Count {
			w.Why = l.refusal.Message
		}
		return w, nil
	}
	q, err := s.store.Quota(ctx, a.Owner)
	switch {
	case err == nil && q.Room() < a.Count:
		w.Why = q.Refuse(a.Count).Message
	case err != nil && sprout.KindOf(err) != sprout.NotFound:
		return w, err
	case a.Place > 1:
		w.Why = "machines that fit are kept for who asked before"
	default:
		w.Why = "machines that fit are there, and are about to be given"
	}
	return w, nil
}
