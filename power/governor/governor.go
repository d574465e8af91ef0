// Package governor stands before every BMC: service processors are small, and a
// burst of requests freezes them. It has one operation at a time, spaces them out,
// looks whether each was done, leaves a BMC that does not answer alone for a while,
// and knows when a session is idle. It must not know how a BMC is spoken to, nor
// what for.
package governor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"sprout"
	"sprout/power"
)

// A Config says how much a BMC is asked. The zero value works.
type Config struct {
	Burst    int           // operations that may follow one another at once; 10 if zero
	Interval time.Duration // between operations after a burst; 1 s if zero

	Failures int           // in a row, of a BMC that does not answer, until it is left alone; 3 if zero
	Rest     time.Duration // for which it is then left alone, doubled each time; 15 s if zero
	MaxRest  time.Duration // 2 min if zero

	Settle time.Duration // for the power to follow an order; 2 min if zero
	Poll   time.Duration // between looks whether an order was done; 1 s if zero

	Log   *slog.Logger
	Now   func() time.Time                       // time.Now if nil
	After func(d time.Duration) <-chan time.Time // time.After if nil
}

// A Governor is the power.Provider of a driver.
type Governor struct {
	inner  power.Driver
	config Config
	log    *slog.Logger

	turn chan struct{} // holds one token: whoever has it talks to the BMC

	mu     sync.Mutex
	used   time.Time // when an operation last ended
	paced  time.Time // when the BMC will have rested from all that was asked
	silent breaker
	about  sprout.BMCAbout
}

var _ power.Provider = (*Governor)(nil)

// New returns a governor of inner, which nobody else may use.
func New(inner power.Driver, config Config) *Governor {
	config.defaults()
	g := &Governor{inner: inner, config: config, log: config.Log, turn: make(chan struct{}, 1), used: config.Now()}
	g.turn <- struct{}{}
	return g
}

func (c *Config) defaults() {
	if c.Burst == 0 {
		c.Burst = 10
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.Failures == 0 {
		c.Failures = 3
	}
	if c.Rest == 0 {
		c.Rest = 15 * time.Second
	}
	if c.MaxRest == 0 {
		c.MaxRest = 2 * time.Minute
	}
	if c.Settle == 0 {
		c.Settle = 2 * time.Minute
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.After == nil {
		c.After = time.After
	}
}

// Status asks the BMC.
func (g *Governor) Status(ctx context.Context) (sprout.PowerState, error) {
	is := power.Reading{Power: sprout.PowerUnknown}
	err := g.do(ctx, func() (err error) { is, err = g.inner.Power(ctx); return err })
	if err != nil {
		return sprout.PowerUnknown, err
	}
	return is.Power, nil
}

// Set turns power on or off, and returns when it is so.
func (g *Governor) Set(ctx context.Context, want sprout.PowerState) error {
	if err := known(want); err != nil {
		return err
	}
	return g.do(ctx, func() error { return g.set(ctx, want) })
}

// BootOnce chooses the device of the next start only.
func (g *Governor) BootOnce(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	return g.do(ctx, func() error { return g.bootOnce(ctx, device, mode) })
}

// InsertMedia has the BMC insert the CD image at the URL.
func (g *Governor) InsertMedia(ctx context.Context, url string) error {
	return g.do(ctx, func() error { return g.insert(ctx, url) })
}

// EjectMedia has the BMC take out what is in.
func (g *Governor) EjectMedia(ctx context.Context) error {
	return g.do(ctx, func() error { return g.eject(ctx) })
}

// Systems reads what the BMC tells of each machine behind it.
func (g *Governor) Systems(ctx context.Context) (all []sprout.FoundSystem, err error) {
	err = g.do(ctx, func() error { all, err = g.inner.Systems(ctx); return err })
	return all, err
}

// Console opens the serial console. The BMC's turn ends when it is open.
func (g *Governor) Console(ctx context.Context) (line io.ReadWriteCloser, err error) {
	err = g.do(ctx, func() error { line, err = g.inner.Console(ctx); return err })
	return line, err
}

// About is what was known of the BMC when it was last asked something.
func (g *Governor) About() sprout.BMCAbout {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.about
}

// Close ends the session with the BMC, after the operation that is under way. It
// is not an operation of its own: it goes past the pace and the rest.
func (g *Governor) Close(ctx context.Context) error {
	if err := g.take(ctx); err != nil {
		return err
	}
	defer g.give()
	return g.inner.Close(ctx)
}

// Idle tells whether nobody has used the BMC since then, and nothing is known of
// it that is worth keeping.
func (g *Governor) Idle(since time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.turn) == 1 && g.used.Before(since) && !g.silent.resting(g.config.Now())
}

// Touch says that the BMC is about to be used.
func (g *Governor) Touch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used = g.config.Now()
}

// do runs one operation when those before it have ended and the BMC may be asked.
func (g *Governor) do(ctx context.Context, operate func() error) error {
	if err := g.refuse(); err != nil {
		return err
	}
	if err := g.take(ctx); err != nil {
		return err
	}
	defer g.give()
	if err := g.refuse(); err != nil { // the one before may have found it silent
		return err
	}
	if err := g.wait(ctx); err != nil {
		return err
	}
	err := operate()
	g.learn(ctx, err)
	about := g.inner.About()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.about = about
	return err
}

// take waits for the turn; give ends it.
func (g *Governor) take(ctx context.Context) error {
	select {
	case <-g.turn:
		return nil
	case <-ctx.Done():
		return unasked(ctx, "an earlier operation on the BMC had not ended")
	}
}

func (g *Governor) give() {
	g.Touch()
	g.turn <- struct{}{}
}

// wait spaces operations out: a burst at once, the rest at intervals.
func (g *Governor) wait(ctx context.Context) error {
	g.mu.Lock()
	now := g.config.Now()
	if g.paced.Before(now) {
		g.paced = now
	}
	g.paced = g.paced.Add(g.config.Interval)
	pause := g.paced.Sub(now) - time.Duration(g.config.Burst)*g.config.Interval
	g.mu.Unlock()
	if pause <= 0 {
		return nil
	}
	g.log.Debug("BMC is given time", "pause", pause)
	select {
	case <-g.config.After(pause):
		return nil
	case <-ctx.Done():
		return unasked(ctx, fmt.Sprintf("the BMC had been asked more than %d times, and was given %s", g.config.Burst, pause))
	}
}

func unasked(ctx context.Context, why string) error {
	return sprout.Fail(sprout.BMCUnreachable, "cannot ask the BMC: "+ctx.Err().Error(), why)
}
