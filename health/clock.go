package health

import (
	"sync"
	"time"
)

// A Clock is a clock that does not jump. It starts with the host's time and goes
// on by CLOCK_MONOTONIC, so that a host's clock that is set wrong, or right, ends
// no lease and no deadline. It is for deadlines that are kept on disk; where a
// time.Time never leaves the process, time.Now does as well.
type Clock struct {
	wall      func() time.Time     // what the host says; it may jump
	monotonic func() time.Duration // since any moment; it does not

	mu   sync.Mutex
	base time.Time
	at   time.Duration // monotonic at base
}

// NewClock starts with the host's time.
func NewClock() *Clock {
	began := time.Now()
	return ClockOf(func() time.Time { return time.Now().Round(0) }, func() time.Duration { return time.Since(began) })
}

// ClockOf is a clock on another's: wall may jump, monotonic counts what passes.
func ClockOf(wall func() time.Time, monotonic func() time.Duration) *Clock {
	c := &Clock{wall: wall, monotonic: monotonic}
	c.Adopt()
	return c
}

// Now is the time, without jumps.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base.Add(c.monotonic() - c.at)
}

// Ahead is how much the host's clock is ahead of this one: what it jumped by.
func (c *Clock) Ahead() time.Duration { return c.Wall().Sub(c.Now()) }

// Wall is the host's time.
func (c *Clock) Wall() time.Time { return c.wall() }

// Adopt goes on from the host's time: somebody who knows says that it is right.
func (c *Clock) Adopt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.at = c.wall(), c.monotonic()
}
