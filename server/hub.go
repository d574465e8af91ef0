package server

import (
	"context"
	"sync"
	"time"

	"sprout"
	"sprout/store"
)

// A hub wakes those who watch a workflow when news of it arrives, at whichever
// replica it was made: PostgreSQL tells all of them.
type hub struct {
	mu      sync.Mutex
	waiting map[string]chan struct{} // by workflow; closed by news
	over    chan struct{}            // closed when the server stops
	once    sync.Once
	outbox  chan struct{} // holds one: changes wait to be published
}

func newHub() *hub {
	return &hub{waiting: map[string]chan struct{}{}, over: make(chan struct{}), outbox: make(chan struct{}, 1)}
}

// news is closed when the workflow changes after this call.
func (h *hub) news(workflow string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting[workflow] == nil {
		h.waiting[workflow] = make(chan struct{})
	}
	return h.waiting[workflow]
}

// tell wakes those who watch the workflow.
func (h *hub) tell(workflow string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.waiting[workflow]; c != nil {
		close(c)
		delete(h.waiting, workflow)
	}
}

// tellAll wakes everybody: news may have been missed.
func (h *hub) tellAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for workflow, c := range h.waiting {
		close(c)
		delete(h.waiting, workflow)
	}
}

// tellRelay says that changes wait to be published.
func (h *hub) tellRelay() {
	select {
	case h.outbox <- struct{}{}:
	default:
	}
}

func (h *hub) close() { h.once.Do(func() { close(h.over) }) }

// listen brings PostgreSQL's notifications to the hub until ctx ends. After a
// connection that broke everybody looks anew.
func (s *Server) listen(ctx context.Context) error {
	heard := func(channel, payload string) {
		switch channel {
		case store.EventChannel:
			s.feed.news()
		case store.OutboxChannel:
			s.hub.tellRelay()
		case store.LiveChannel:
			s.feed.progress(payload)
			s.hub.tell(payload)
		case store.WorkflowChannel:
			s.hub.tell(payload)
		}
	}
	ready := func() {
		// The database may be another one now: restored, or a standby that took over.
		if err := s.store.OpenEvents(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot open the event log", "error", err)
		}
		s.feed.news()
		s.ready.set("news", true)
		s.hub.tellAll()
		s.hub.tellRelay()
	}
	for {
		err := s.store.Listen(ctx, []string{store.OutboxChannel, store.WorkflowChannel, store.LiveChannel, store.EventChannel}, ready, heard)
		if ctx.Err() != nil {
			return nil
		}
		s.ready.set("news", false)
		s.log.Warn("news of the database broke off; listening again", "error", err)
		if sprout.Pause(ctx, time.Second) != nil {
			return nil
		}
	}
}
