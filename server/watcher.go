package server

import (
	"context"
	"sync"

	"sprout"
	"sprout/store"
)

// How much waits for a watcher that reads slowly. One that lets more gather is
// told to resume: the log has it all.
const (
	queueEvents = 1024
	queueBytes  = 1 << 20
)

// A watcher is one stream at this replica.
type watcher struct {
	filter   store.EventFilter
	resource bool
	token    sprout.TokenID
	only     func(sprout.WatchEvent) bool // nil: all that the filter lets pass

	ready chan struct{} // holds one: something waits, or it has ended

	mu    sync.Mutex
	queue []*message
	bytes int
	ended string // why the stream ends; "": it goes on
}

func newWatcher(filter store.EventFilter, resource bool, token sprout.TokenID) *watcher {
	return &watcher{filter: filter, resource: resource, token: token, ready: make(chan struct{}, 1)}
}

// wants tells whether the watcher asked for e.
func (w *watcher) wants(e sprout.WatchEvent) bool {
	switch {
	case e.What == sprout.Reset:
		return true
	case e.Noun == sprout.NounToken, e.What == sprout.Progresses && !w.resource:
		return false
	}
	return w.filter.Match(e) && (w.only == nil || w.only(e))
}

// take queues a message; it never waits.
func (w *watcher) take(m *message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != "" {
		return
	}
	if len(w.queue) >= queueEvents || (w.bytes+len(m.text) > queueBytes && len(w.queue) > 0) {
		w.endLocked("the client reads too slowly")
		return
	}
	w.queue, w.bytes = append(w.queue, m), w.bytes+len(m.text)
	w.signal()
}

// end lets the stream end once what waits is written.
func (w *watcher) end(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLocked(why)
}

func (w *watcher) endLocked(why string) {
	if w.ended == "" {
		w.ended = why
	}
	w.signal()
}

func (w *watcher) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// next returns what waits, and why the stream ends after it, if it does.
func (w *watcher) next() (list []*message, ended string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, w.queue, w.bytes = w.queue, nil, 0
	return list, w.ended
}

// join adds a watcher, which is given all that commits after the position that
// is returned. That is now: whatever position a client was ever given lies
// before it. Unavailable if there are too many.
func (f *feed) join(ctx context.Context, w *watcher) (store.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.room(w.token); err != nil {
		return f.at, err
	}
	if len(f.watchers) > 0 {
		if err := f.read(ctx); err != nil {
			return f.at, err
		}
	} else {
		now, err := f.store.EventsNow(ctx)
		if err != nil {
			return now, err
		}
		f.at = now
	}
	f.watchers[w] = true
	return f.at, nil
}

func (f *feed) room(token sprout.TokenID) error {
	own := 0
	for w := range f.watchers {
		if w.token == token {
			own++
		}
	}
	switch {
	case own >= streamsPerToken:
		return sprout.Errorf(sprout.Unavailable, "cannot open another stream: the token has %d open here", own).
			WithRemedy("close one, or use another token: sprout token create NAME --role viewer")
	case len(f.watchers) >= streamsInAll:
		return sprout.Errorf(sprout.Unavailable, "cannot open another stream: %d are open here", len(f.watchers)).
			WithRemedy("add a replica of the server")
	}
	return nil
}

func (f *feed) leave(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
}
