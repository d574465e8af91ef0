package governor_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/governor"
)

// A clock stands still until it is moved; waiting moves it.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.move(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slept = append(c.slept, d)
	done := make(chan time.Time, 1)
	done <- c.now
	return done
}

// A bmc counts what it is asked, and how much of it at once.
type bmc struct {
	asked, now, most atomic.Int64
	answer           func(ctx context.Context) error
}

func (b *bmc) Power(ctx context.Context) (power.Reading, error) {
	b.asked.Add(1)
	if now := b.now.Add(1); now > b.most.Load() {
		b.most.Store(now)
	}
	defer b.now.Add(-1)
	if b.answer == nil {
		return power.Reading{Power: sprout.PowerOn}, nil
	}
	return power.Reading{Power: sprout.PowerOn}, b.answer(ctx)
}

func (b *bmc) Switch(context.Context, sprout.PowerState) error { return nil }
func (b *bmc) Choose(context.Context, power.BootDevice, sprout.BootMode) error {
	return nil
}
func (b *bmc) Systems(context.Context) ([]sprout.FoundSystem, error) { return nil, nil }
func (b *bmc) Chosen(context.Context) (power.Reading, error)         { return power.Reading{Yes: true}, nil }
func (b *bmc) Insert(context.Context, string) error                  { return nil }
func (b *bmc) Eject(context.Context) error                           { return nil }
func (b *bmc) Media(context.Context) (power.Reading, error)          { return power.Reading{}, nil }
func (b *bmc) Console(context.Context) (io.ReadWriteCloser, error)   { return nil, io.EOF }
func (b *bmc) About() sprout.BMCAbout                                { return sprout.BMCAbout{Model: "test"} }
func (b *bmc) Close(context.Context) error                           { return nil }

func silent(context.Context) error {
	return sprout.Fail(sprout.BMCUnreachable, "cannot reach the BMC", "no route to host")
}

func govern(b *bmc) (*governor.Governor, *clock) {
	c := &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	return governor.New(b, governor.Config{Now: c.Now, After: c.After}), c
}

func status(t *testing.T, g power.Provider) error {
	t.Helper()
	_, err := g.Status(t.Context())
	return err
}

func TestOneOperationAtATime(t *testing.T) {
	b := &bmc{answer: func(context.Context) error { <-time.After(time.Millisecond); return nil }}
	g, _ := govern(b)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { _ = g.Set(t.Context(), sprout.PowerOn) })
	}
	all.Wait()
	if b.asked.Load() != 8 || b.most.Load() != 1 {
		t.Errorf("it was asked %d times, %d at once; want 8, one at a time", b.asked.Load(), b.most.Load())
	}
}

func TestBurstsAreSpacedOut(t *testing.T) {
	g, c := govern(&bmc{})
	for range 12 {
		if err := status(t, g); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.slept) != 2 || c.slept[0] != time.Second || c.slept[1] != time.Second {
		t.Errorf("12 operations at once waited %v, want the last two a second each", c.slept)
	}
	c.move(time.Minute)
	for range 10 {
		_ = status(t, g)
	}
	if len(c.slept) != 2 {
		t.Errorf("ten operations after a minute waited too: %v", c.slept)
	}
}

func TestSilentBMCIsLeftAlone(t *testing.T) {
	b := &bmc{answer: silent}
	g, c := govern(b)
	for range 3 {
		if err := status(t, g); !strings.Contains(err.Error(), "cannot reach the BMC") {
			t.Fatal(err)
		}
	}
	for _, rest := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 2 * time.Minute} {
		asked := b.asked.Load()
		c.move(rest - time.Second)
		var f *sprout.Failure
		if err := g.Set(t.Context(), sprout.PowerOn); !errors.As(err, &f) || f.Code != sprout.BMCUnreachable ||
			!strings.Contains(f.Reason, "times in a row, and is asked again in 1s") || f.Evidence != "no route to host" {
			t.Fatalf("while it rests: %+v", err)
		}
		if g.Idle(c.Now().Add(time.Hour)) {
			t.Error("what is known of it may be forgotten while it rests")
		}
		if b.asked.Load() != asked {
			t.Fatal("it was asked while it rests")
		}
		c.move(time.Second)
		if _ = status(t, g); b.asked.Load() != asked+1 {
			t.Fatalf("after %s it was asked %d times, want once", rest, b.asked.Load()-asked)
		}
	}
	c.move(2 * time.Minute)
	b.answer = nil
	for range 3 {
		if err := status(t, g); err != nil {
			t.Fatalf("after it answered: %v", err)
		}
	}
	b.answer = silent
	if err := status(t, g); strings.Contains(err.Error(), "in a row") {
		t.Errorf("one failure after it answered: %v", err)
	}
	if err := status(t, g); strings.Contains(err.Error(), "in a row") {
		t.Errorf("two failures after it answered: %v", err)
	}
}

// Whoever queued up behind the operation that found the BMC silent is told at
// once, and does not wait as long again.
func TestQueueBehindASilentBMC(t *testing.T) {
	release := make(chan struct{})
	b := &bmc{answer: func(ctx context.Context) error { <-release; return silent(ctx) }}
	g, _ := govern(b)
	errs := make(chan error, 20)
	for range 20 {
		go func() { errs <- g.Set(t.Context(), sprout.PowerOn) }()
	}
	close(release)
	for range 20 {
		if err := <-errs; err == nil {
			t.Error("an operation succeeded")
		}
	}
	if b.asked.Load() != 3 {
		t.Errorf("20 operations asked a silent BMC %d times, want 3", b.asked.Load())
	}
}

// A refusal is an answer, and what its caller ends says nothing.
func TestWhatDoesNotCount(t *testing.T) {
	for name, answer := range map[string]func(context.Context) error{
		"denied":   func(context.Context) error { return sprout.Fail(sprout.BMCDenied, "r", "e") },
		"failed":   func(context.Context) error { return sprout.Fail(sprout.BMCFailed, "r", "e") },
		"internal": func(context.Context) error { return errors.New("x") },
	} {
		t.Run(name, func(t *testing.T) {
			b := &bmc{answer: answer}
			g, _ := govern(b)
			for range 9 {
				_ = status(t, g)
			}
			if b.asked.Load() != 9 {
				t.Errorf("it was asked %d times of 9", b.asked.Load())
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		b := &bmc{answer: silent}
		g, _ := govern(b)
		for range 9 {
			ctx, cancel := context.WithCancel(t.Context())
			b.answer = func(ctx context.Context) error { cancel(); return silent(ctx) }
			if _, err := g.Status(ctx); err == nil {
				t.Error("it answered")
			}
			cancel()
		}
		if b.asked.Load() != 9 {
			t.Errorf("it was asked %d times of 9", b.asked.Load())
		}
	})
}

func TestIdle(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	b := &bmc{}
	g, c := govern(b)
	_ = status(t, g)
	if g.Idle(c.Now()) || !g.Idle(c.Now().Add(1)) {
		t.Error("it is idle since its last operation, and no longer")
	}
	b.answer = func(context.Context) error { close(held); <-hold; return nil }
	done := make(chan error)
	go func() { _, err := g.Status(context.Background()); done <- err }()
	<-held
	if g.Idle(c.Now().Add(time.Hour)) {
		t.Error("it is idle during an operation")
	}
	close(hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
