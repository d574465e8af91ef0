package store

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// largestCrowd is how many asks one transaction answers.
const largestCrowd = 64

// errAlone says that an ask was not answered together with others, and has to
// be on its own.
var errAlone = errors.New("asked together with others, without an answer")

// lanes is how many transactions answer asks of a subnet at the same time: while
// one waits for the disk, another works.
const lanes = 2

// A crowd is who wants an address at the same time. The first to come answer
// themselves; who comes meanwhile waits, and the first of those answers all of
// them in one transaction. So it needs no worker, and somebody alone waits for
// nobody.
type crowd struct {
	mu    sync.Mutex
	lines map[sprout.SubnetID]*line // while somebody answers
}

// A line is who waits for an address of one subnet.
type line struct {
	answering int
	waiting   []*ask
}

// ask answers one ask, with others or for others. errAlone: try it alone.
func (c *crowd) ask(ctx context.Context, s *Store, want sprout.Address) (sprout.Address, error) {
	a := &ask{want: want, done: make(chan struct{}, 1)}
	if !c.join(a) {
		select {
		case <-a.done: // answered, or it is our turn
		case <-ctx.Done():
			if !c.leave(a) {
				<-a.done // somebody answers it now, or leaves its turn to us
			}
			if !a.leads {
				return want, ctx.Err()
			}
		}
		if !a.leads {
			return a.got, a.err
		}
	}
	asks := c.gather(a)
	s.answerAll(ctx, want.Subnet, asks)
	c.handOn(a, asks)
	return a.got, a.err
}

// answerAll answers each ask, if only by errAlone.
func (s *Store) answerAll(ctx context.Context, id sprout.SubnetID, asks []*ask) {
	err := s.placeTogether(ctx, id, asks)
	left := slices.DeleteFunc(slices.Clone(asks), func(a *ask) bool { return a.over })
	if err == nil && len(left) > 0 {
		err = s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.allocate(ctx, tx, id, left) })
	}
	if err == nil {
		return
	}
	s.pools.of(id).forget() // what was picked is free still
	for _, a := range left {
		if len(asks) > 1 {
			err = errAlone // one of them may be to blame, and not the others
		}
		a.answer(a.want, err)
	}
}

// join puts a in line; true if it must answer itself.
func (c *crowd) join(a *ask) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lines == nil {
		c.lines = map[sprout.SubnetID]*line{}
	}
	l := c.lines[a.want.Subnet]
	if l == nil {
		l = &line{}
		c.lines[a.want.Subnet] = l
	}
	if l.answering == lanes {
		l.waiting = append(l.waiting, a)
		return false
	}
	l.answering++
	return true
}

// leave takes a out of the line; false if it is not in it any more.
func (c *crowd) leave(a *ask) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[a.want.Subnet]
	if l == nil {
		return false
	}
	at := slices.Index(l.waiting, a)
	if at < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, at, at+1)
	return true
}

// gather takes who is in line, a first.
func (c *crowd) gather(a *ask) []*ask {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[a.want.Subnet]
	n := min(len(l.waiting), largestCrowd-1)
	asks := append([]*ask{a}, l.waiting[:n]...)
	l.waiting = slices.Clone(l.waiting[n:])
	return asks
}

// handOn wakes who was answered, and has the next in line answer.
func (c *crowd) handOn(a *ask, asks []*ask) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range asks[1:] {
		other.done <- struct{}{}
	}
	l := c.lines[a.want.Subnet]
	if len(l.waiting) > 0 {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		next.leads = true
		next.done <- struct{}{}
		return
	}
	if l.answering--; l.answering == 0 {
		delete(c.lines, a.want.Subnet)
	}
}
