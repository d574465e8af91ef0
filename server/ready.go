package server

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"sprout"
)

// readyParts must work before the server is ready; each says so by itself.
var readyParts = []string{"engine", "news"}

// A readiness knows which parts of Run have started.
type readiness struct {
	mu      sync.Mutex
	started map[string]bool
	changed chan struct{}
}

// set notes that a part works, or no longer does.
func (r *readiness) set(part string, works bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started == nil {
		r.started = map[string]bool{}
	}
	r.started[part] = works
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// missing lists the parts that have not started, and what tells of a change.
func (r *readiness) missing() ([]string, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	var names []string
	for _, part := range readyParts {
		if !r.started[part] {
			names = append(names, part)
		}
	}
	return names, r.changed
}

// wait returns true once every part has started, false when ctx ends first.
func (r *readiness) wait(ctx context.Context) bool {
	for {
		names, changed := r.missing()
		if len(names) == 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// serveHealth says that the process lives.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"alive"}` + "\n"))
}

// serveReady says whether requests can be carried out, and where agents find
// the bus. It names what is not ready: 503 then.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	notReady := map[string]string{}
	names, _ := s.ready.missing()
	for _, name := range names {
		notReady[name] = "has not started"
	}
	if err := s.store.Ping(ctx); err != nil {
		notReady["database"] = err.Error()
	}
	if err := s.bus.Ready(); err != nil {
		notReady["bus"] = err.Error()
	}
	answer := map[string]any{"status": "ready", "version": sprout.Version, "bus": s.BusURL()}
	if troubles, _ := s.condition.List(); len(troubles) > 0 {
		answer["troubles"] = troubles
	}
	w.Header().Set("Content-Type", "application/json")
	if len(notReady) > 0 {
		answer = map[string]any{"status": "not ready", "notReady": notReady, "parts": slices.Sorted(maps.Keys(notReady))}
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}
