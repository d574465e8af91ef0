package faults_test

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"testing"
)

// A place is one step of one workflow, and who takes it: centre, site, or the
// machine itself where nobody has a workflow yet.
type place struct{ Kind, At, Step string }

func (p place) String() string {
	if p.At == "centre" {
		return p.Kind + "/centre:" + p.Step
	}
	return p.Kind + "/" + p.Step
}

// A pass is a machine's workflow that has done a step, and has not saved it.
type pass struct {
	Machine string
	place
}

// A gatekeeper holds workflows in the middle of a step: what the step did is
// done, and nobody has it on record.
type gatekeeper struct {
	path string
	mu   sync.Mutex
	held map[pass]*hold
	left int           // steps of the site until rush
	rush chan struct{} // closed then; nil: nobody waits for it
}

// A hold is one place where one machine's workflow is to be held, once.
type hold struct {
	reached chan struct{} // closed when it is there
	open    chan struct{} // closed when it may go on
	once    sync.Once
}

func newGatekeeper(t *testing.T, path string) *gatekeeper {
	t.Helper()
	g := &gatekeeper{path: path, held: map[pass]*hold{}}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: g} //nolint:gosec // of our own processes
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return g
}

// hold has the workflow held when it next comes there.
func (g *gatekeeper) hold(p pass) *hold {
	h := &hold{reached: make(chan struct{}), open: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[p] = h
	return h
}

// after is closed once the site has taken so many steps from now.
func (g *gatekeeper) after(steps int) <-chan struct{} {
	rush := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left, g.rush = steps, rush
	return rush
}

// release lets the workflow go on, and pass from now on.
func (g *gatekeeper) release(p pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h := g.held[p]; h != nil {
		delete(g.held, p)
		close(h.open)
	}
}

func (g *gatekeeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var p pass
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	h := g.held[p]
	if p.At == "site" && g.rush != nil {
		if g.left--; g.left == 0 {
			close(g.rush)
			g.rush = nil
		}
	}
	g.mu.Unlock()
	if h == nil {
		return
	}
	h.once.Do(func() { close(h.reached) })
	select {
	case <-h.open:
	case <-r.Context().Done():
	}
}
