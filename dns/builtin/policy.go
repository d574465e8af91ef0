package builtin

import "sync"

// A Policy holds the rules of a site, which may change while it is served.
type Policy struct {
	mu   sync.Mutex
	is   *Rules
	next chan struct{} // closed when there are others
}

// NewPolicy makes a Policy that lets nobody do anything.
func NewPolicy() *Policy { return &Policy{is: &Rules{}, next: make(chan struct{})} }

// Set takes other rules.
func (p *Policy) Set(r *Rules) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.is = r
	close(p.next)
	p.next = make(chan struct{})
}

// now returns the rules and what is closed when there are others.
func (p *Policy) now() (*Rules, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.is, p.next
}
