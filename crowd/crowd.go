// Package crowd has those who ask for the same thing at the same time answered
// together. It knows nothing of what they ask for.
package crowd

import (
	"context"
	"slices"
	"sync"
)

const (
	// largest is how many asks are answered together.
	largest = 64
	// lanes is how many answer asks of one line at the same time: while one waits
	// for the disk, another works.
	lanes = 2
)

// A Crowd is who asks now. The first to come answer themselves; who comes
// meanwhile waits, and the first of those answers all of them. So it needs no
// worker, and somebody alone waits for nobody. A zero Crowd works.
type Crowd[K comparable, A any] struct {
	mu    sync.Mutex
	lines map[K]*line[A] // while somebody answers
}

// A line is who asks for things of one kind.
type line[A any] struct {
	answering int
	waiting   []*member[A]
}

// A member of the crowd has one ask.
type member[A any] struct {
	ask   A
	leads bool          // it answers itself and who waits
	done  chan struct{} // holds one: it is answered, or leads
}

// Ask returns once answer was called with ask, here or by somebody else, alone or
// beside others of the same kind; answer must answer each of them. When ctx ends
// first, its error is returned: nobody will answer ask then. What answer is given
// does not end with ctx, for others wait for it too.
func (c *Crowd[K, A]) Ask(ctx context.Context, kind K, ask A, answer func(ctx context.Context, asks []A)) error {
	m := &member[A]{ask: ask, done: make(chan struct{}, 1)}
	if !c.join(kind, m) {
		select {
		case <-m.done:
		case <-ctx.Done():
			if c.leave(kind, m) {
				return ctx.Err()
			}
			<-m.done // somebody answers it now, or leaves its turn to us
		}
		if !m.leads {
			return nil
		}
	}
	all := c.gather(kind, m)
	asks := make([]A, len(all))
	for i, other := range all {
		asks[i] = other.ask
	}
	answer(context.WithoutCancel(ctx), asks)
	c.handOn(kind, all)
	return nil
}

// join puts m in line; true if it must answer itself.
func (c *Crowd[K, A]) join(kind K, m *member[A]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lines == nil {
		c.lines = map[K]*line[A]{}
	}
	l := c.lines[kind]
	if l == nil {
		l = &line[A]{}
		c.lines[kind] = l
	}
	if l.answering == lanes {
		l.waiting = append(l.waiting, m)
		return false
	}
	l.answering++
	return true
}

// leave takes m out of the line; false if it is not in it any more.
func (c *Crowd[K, A]) leave(kind K, m *member[A]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[kind]
	if l == nil {
		return false
	}
	at := slices.Index(l.waiting, m)
	if at < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, at, at+1)
	return true
}

// gather takes who is in line, m first.
func (c *Crowd[K, A]) gather(kind K, m *member[A]) []*member[A] {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[kind]
	n := min(len(l.waiting), largest-1)
	all := append([]*member[A]{m}, l.waiting[:n]...)
	l.waiting = slices.Clone(l.waiting[n:])
	return all
}

// handOn wakes who was answered, and has the next in line answer.
func (c *Crowd[K, A]) handOn(kind K, answered []*member[A]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range answered[1:] {
		other.done <- struct{}{}
	}
	l := c.lines[kind]
	if len(l.waiting) > 0 {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		next.leads = true
		next.done <- struct{}{}
		return
	}
	if l.answering--; l.answering == 0 {
		delete(c.lines, kind)
	}
}
