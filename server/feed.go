package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"sprout"
	"sprout/store"
)

const (
	feedEvery = 5 * time.Second // the log is read also without news
	feedBatch = 500             // rows that are read at once

	// What is kept of the log: who was away for longer is told to list again.
	keepEvents    = 24 * time.Hour
	keepEventRows = 2_000_000
	pruneAtOnce   = 5_000
	pruneFeed     = 10 * time.Minute

	streamsPerToken = 256
	streamsInAll    = 8192
)

// A feed reads the event log once for all who watch at this replica, when
// PostgreSQL says that there is news, and gives each what it asked for. Nobody
// watches: nothing is read.
type feed struct {
	store *store.Store
	log   *slog.Logger
	wake  chan struct{} // holds one: there is news

	mu       sync.Mutex // held while a part is read and given out: it sees all watchers, or they begin after it
	at       store.Position
	watchers map[*watcher]bool

	running sync.Mutex
	further map[string]bool // workflows whose work is further
}

func newFeed(s *store.Store, log *slog.Logger) *feed {
	return &feed{store: s, log: log, wake: make(chan struct{}, 1), watchers: map[*watcher]bool{}, further: map[string]bool{}}
}

// news says that the log has grown, or may have.
func (f *feed) news() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// progress says that a workflow's work is further.
func (f *feed) progress(workflow string) {
	f.running.Lock()
	f.further[workflow] = true
	f.running.Unlock()
	f.news()
}

// run gives out what is new until ctx ends, and keeps the log short.
func (f *feed) run(ctx context.Context) error {
	look, prune := time.NewTicker(feedEvery), time.NewTicker(pruneFeed)
	defer look.Stop()
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-look.C:
		case <-prune.C:
			f.prune(ctx)
			continue
		}
		if err := f.giveOut(ctx); err != nil && ctx.Err() == nil {
			f.log.Warn("cannot read the event log; trying again", "error", err)
		}
	}
}

// prune removes what is too old, a bounded number of rows at a time.
func (f *feed) prune(ctx context.Context) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = f.store.PruneEvents(ctx, keepEvents, keepEventRows, pruneAtOnce); err != nil && ctx.Err() == nil {
			f.log.Warn("cannot prune the event log", "error", err)
		}
	}
}

func (f *feed) giveOut(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	further := f.takeFurther()
	if len(f.watchers) == 0 {
		return nil
	}
	if err := f.read(ctx); err != nil {
		return err
	}
	return f.giveProgress(ctx, further)
}

func (f *feed) takeFurther() []string {
	f.running.Lock()
	defer f.running.Unlock()
	list := slices.Collect(maps.Keys(f.further))
	clear(f.further)
	return list
}

// read gives out all that the log holds now. The caller holds f.mu.
func (f *feed) read(ctx context.Context) error {
	for {
		part, err := f.store.EventsAfter(ctx, f.at, store.EventFilter{}, feedBatch)
		if err != nil {
			return err
		}
		list := part.List
		if part.Lost {
			list = []sprout.WatchEvent{resetAt(part.At)}
		}
		if err := f.give(ctx, list); err != nil {
			return err
		}
		f.at = part.At
		if !part.More {
			return nil
		}
	}
}

func resetAt(at store.Position) sprout.WatchEvent {
	return sprout.WatchEvent{What: sprout.Reset, ID: at.String(), Reason: "what was missed is no longer known: list again"}
}

// give hands events to those who asked for them.
func (f *feed) give(ctx context.Context, list []sprout.WatchEvent) error {
	wanted := make([][]*watcher, len(list))
	var subjects []string
	for i, e := range list {
		for w := range f.watchers {
			if e.Noun == sprout.NounToken && e.Subject == string(w.token) {
				w.end("the token was revoked")
			}
			if !w.wants(e) {
				continue
			}
			wanted[i] = append(wanted[i], w)
			if w.resource && !slices.Contains(subjects, e.Subject) {
				subjects = append(subjects, e.Subject)
			}
		}
	}
	encode, err := f.encoder(ctx, subjects)
	if err != nil {
		return err
	}
	for i, e := range list {
		var plain, full *message
		for _, w := range wanted[i] {
			to := &plain
			if w.resource {
				to = &full
			}
			if *to == nil {
				if *to, err = encode(e, w.resource); err != nil {
					return err
				}
			}
			w.take(*to)
		}
	}
	return nil
}

// A message is an event as it goes over the wire.
type message struct{ text []byte }

// encoder returns what writes events, with the subjects as they are now.
func (f *feed) encoder(ctx context.Context, subjects []string) (func(e sprout.WatchEvent, resource bool) (*message, error), error) {
	found := map[string]any{}
	if len(subjects) > 0 {
		var err error
		if found, err = f.store.Subjects(ctx, subjects); err != nil {
			return nil, err
		}
	}
	return func(e sprout.WatchEvent, resource bool) (*message, error) {
		if thing, is := found[e.Subject]; resource && is && e.What != sprout.WasDeleted {
			raw, err := json.Marshal(thing)
			if err != nil {
				return nil, err
			}
			e.Resource = raw
		}
		return encode(e)
	}, nil
}

// encode writes an event as the HTML standard (section 9.2.5) has it.
func encode(e sprout.WatchEvent) (*message, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var text []byte
	if e.ID != "" {
		text = append(append(append(text, "id: "...), e.ID...), '\n')
	}
	text = append(append(append(text, "event: "...), e.What...), '\n')
	text = append(append(append(text, "data: "...), data...), '\n', '\n')
	return &message{text}, nil
}

// giveProgress tells those who get resources how far running work is: of the
// workflow, and of its machine. It is in no log, and has no id.
func (f *feed) giveProgress(ctx context.Context, workflows []string) error {
	if len(workflows) == 0 || !slices.ContainsFunc(slices.Collect(maps.Keys(f.watchers)), func(w *watcher) bool { return w.resource }) {
		return nil
	}
	found, err := f.store.Subjects(ctx, workflows)
	if err != nil {
		return err
	}
	var list []sprout.WatchEvent
	for _, thing := range found {
		w, is := thing.(sprout.Workflow)
		if !is {
			continue
		}
		e := sprout.WatchEvent{What: sprout.Progresses, Noun: sprout.NounWorkflow, Subject: string(w.ID), Name: w.MachineName,
			Site: w.Site, SiteName: w.SiteName, Machine: w.Machine}
		list = append(list, e)
		if e.Machine != "" {
			e.Noun, e.Subject = sprout.NounMachine, string(w.Machine)
			list = append(list, e)
		}
	}
	return f.give(ctx, list)
}
