package agent

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"sprout"
	"sprout/power"
)

const (
	consoleRecent = 16 << 10  // bytes of a console that a new view is told at once
	consoleRate   = 256 << 10 // bytes a second that are taken of a console
	consoleKeys   = 16        // batches of keys that may wait for a BMC
	consoleViews  = 16        // of one machine
	consoleOpens  = 25 * time.Second
	consoleLook   = time.Second
)

// consoles holds the serial consoles that are open. A BMC has one: all who look at
// a machine share it, and one of them at a time may type.
type consoles struct {
	power  func(sprout.MachineID) (power.Provider, error)
	say    func(sprout.Live) error
	record *recorders
	now    func() time.Time

	mu      sync.Mutex
	open    map[sprout.MachineID]*console
	closed  bool
	running sync.WaitGroup
}

// A console is one opening at a BMC.
type console struct {
	machine sprout.MachineID
	stretch string
	ready   chan struct{} // closed once line or err is set
	line    io.ReadWriteCloser
	err     error
	over    chan struct{} // closed when it is no more
	ended   bool          // nobody joins it any more
	keys    chan []byte

	at     int64
	recent []byte
	views  map[string]*view
	record bool // the recorder wants it open
}

// answer answers one question about a console.
func (c *consoles) answer(ctx context.Context, kind string, q sprout.ConsoleQuestion) (sprout.ConsoleAnswer, error) {
	switch kind {
	case sprout.OpenConsole:
		return c.join(ctx, q)
	case sprout.TypeConsole:
		return c.types(q)
	case sprout.CloseConsole:
		c.leave(q)
		return sprout.ConsoleAnswer{}, nil
	}
	return c.keep(q), nil
}

// join opens a view, and the console where nobody has it open.
func (c *consoles) join(ctx context.Context, q sprout.ConsoleQuestion) (a sprout.ConsoleAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, consoleOpens)
	defer cancel()
	for {
		one, err := c.get(q.Machine, false)
		if err != nil {
			return a, err
		}
		if err := await(ctx, one.ready); err != nil {
			return a, err
		}
		if a, joined, err := c.enter(one, q); joined || err != nil {
			return a, err
		}
		if err := await(ctx, one.over); err != nil { // it is being closed: a BMC has one
			return a, err
		}
	}
}

// await waits until done is closed.
func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return sprout.Errorf(sprout.Unavailable, "cannot open the console: the BMC has not done so within %s", consoleOpens)
	}
}

// get returns the machine's console, which may not be ready yet.
func (c *consoles) get(machine sprout.MachineID, record bool) (*console, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot open the console: the agent stops")
	}
	one := c.open[machine]
	if one == nil {
		one = &console{
			machine: machine, stretch: sprout.NewSecret()[:12], ready: make(chan struct{}), over: make(chan struct{}),
			keys: make(chan []byte, consoleKeys), views: map[string]*view{},
		}
		c.open[machine] = one
		c.running.Go(func() { c.carry(one) })
	}
	one.record = one.record || record
	return one, nil
}

// carry opens the console, carries what it says, and ends it.
func (c *consoles) carry(one *console) {
	ctx, cancel := context.WithTimeout(context.Background(), consoleOpens)
	defer cancel()
	provider, err := c.power(one.machine)
	if err == nil {
		one.line, err = provider.Console(ctx)
	}
	c.mu.Lock()
	if one.err = err; err != nil {
		c.drop(one)
	}
	stopped, record := c.closed, one.record
	close(one.ready)
	c.mu.Unlock()
	switch {
	case err != nil && record:
		c.record.failed(one.machine, err)
		return
	case err != nil:
		return
	case stopped:
		_ = one.line.Close()
	}
	c.running.Go(func() { one.hand() })
	why := c.listen(one)
	_ = one.line.Close() // what the BMC keeps of it ends by itself
	c.mu.Lock()
	c.drop(one)
	if c.closed {
		why = "the site's agent stops"
	}
	out := sprout.ConsoleOutput{Machine: one.machine, Stretch: one.stretch, At: one.at, Ended: why}
	c.mu.Unlock()
	_ = c.say(sprout.Live{Console: &out}) // who is not told now is told when it asks to keep its view
}

// listen passes on what the console says until it ends, and returns why. It takes no
// more than a serial port brings: what is faster waits at the BMC.
func (c *consoles) listen(one *console) string {
	pace := rate.NewLimiter(consoleRate, consoleRate)
	buffer := make([]byte, 4096)
	for {
		n, err := one.line.Read(buffer)
		if n > 0 {
			data := append([]byte(nil), buffer[:n]...)
			c.mu.Lock()
			out := sprout.ConsoleOutput{Machine: one.machine, Stretch: one.stretch, At: one.at, Data: data}
			one.at += int64(n)
			one.recent = newest(append(one.recent, data...), consoleRecent)
			watched, private := len(one.views) > 0, one.private()
			c.mu.Unlock()
			if watched {
				_ = c.say(sprout.Live{Console: &out}) // while the bus is away it is lost, which shows in At
			}
			c.record.heard(one.machine, data, private)
			_ = pace.WaitN(context.Background(), n) // n is never above the burst
		}
		if err != nil {
			return whyEnded(err)
		}
	}
}

func whyEnded(err error) string {
	var f *sprout.Failure
	switch {
	case errors.As(err, &f):
		return f.Reason
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
		return "the BMC has ended it"
	}
	return "the connection to the BMC broke: " + err.Error()
}

// newest is the end of b, of at most so many bytes.
func newest(b []byte, most int) []byte {
	if len(b) <= 2*most {
		return b[max(0, len(b)-most):]
	}
	return append([]byte(nil), b[len(b)-most:]...)
}

// drop takes a console out that is closed; c.mu is held.
func (c *consoles) drop(one *console) {
	one.ended = true
	close(one.over)
	delete(c.open, one.machine)
}

// hand hands keys to the BMC until the console ends.
func (one *console) hand() {
	for {
		select {
		case <-one.over:
			return
		case keys := <-one.keys:
			if _, err := one.line.Write(keys); err != nil {
				_ = one.line.Close() // its reader says why
				return
			}
		}
	}
}

// endIdle ends a console that nobody wants; c.mu is held.
func (c *consoles) endIdle(one *console) {
	if len(one.views) > 0 || one.record || one.ended {
		return
	}
	select {
	case <-one.ready:
		one.ended = true
		c.running.Go(func() { _ = one.line.Close() }) // it may take as long as the BMC
	default: // somebody waits for it
	}
}

// run ends what nobody keeps and opens what is to be recorded, until ctx ends; then
// it ends everything.
func (c *consoles) run(ctx context.Context) error {
	defer c.close()
	return every(ctx, consoleLook, func() {
		c.expire()
		c.watch()
	})
}

// watch opens the consoles of machines whose boots are recorded, and lets go of
// those whose boot is over.
func (c *consoles) watch() {
	wanted := c.record.settle()
	c.mu.Lock()
	for _, one := range c.open {
		if one.record = wanted[one.machine]; !one.record {
			c.endIdle(one)
		}
	}
	c.mu.Unlock()
	for machine := range wanted {
		if c.record.due(machine) {
			_, _ = c.get(machine, true) // it fails only once the agent stops
		}
	}
}

// close ends every console and waits.
func (c *consoles) close() {
	c.mu.Lock()
	c.closed = true
	for _, one := range c.open {
		clear(one.views)
		one.record = false
		c.endIdle(one)
	}
	c.mu.Unlock()
	c.running.Wait()
}

// failureOf is what a driver said of why.
func failureOf(err error) *sprout.Failure {
	var f *sprout.Failure
	if errors.As(err, &f) {
		return f
	}
	return sprout.Fail(sprout.BMCFailed, err.Error(), "")
}
