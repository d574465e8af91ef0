package governor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sprout"
	"sprout/power"
)

// This file gives orders to a BMC and looks whether it did them: some accept what
// they drop, and many take their time.

// looks is how often an order is read back that is not about power.
const looks = 10

// set brings the power to what is wanted. A change of another hand's that is under
// way is waited for first: its end is what the order would meet.
func (g *Governor) set(ctx context.Context, want sprout.PowerState) error {
	deadline := g.config.After(g.config.Settle)
	is, err := g.settled(ctx, deadline, func(r power.Reading) bool { return !r.Passing })
	if err != nil {
		return err
	}
	if is.Power == want && !is.Passing {
		return nil
	}
	g.log.Info("power", "want", want)
	if err := g.inner.Switch(ctx, want); err != nil {
		// A BMC may refuse what has just become so by another hand.
		if now, again := g.inner.Power(ctx); again == nil && now.Power == want && !now.Passing {
			return nil
		}
		return err
	}
	began := time.Now()
	is, err = g.settled(ctx, g.config.After(g.config.Settle), func(r power.Reading) bool { return r.Power == want && !r.Passing })
	switch {
	case err != nil:
		return err
	case is.Power == want && !is.Passing:
		return nil
	}
	why := fmt.Sprintf("it did not follow within %s", g.config.Settle)
	if ctx.Err() != nil {
		why = fmt.Sprintf("gave up after %s: %v", time.Since(began).Round(time.Millisecond), ctx.Err())
	}
	return sprout.Fail(sprout.PowerNotChanged, fmt.Sprintf("cannot turn the machine %s: %s", want, why),
		fmt.Sprintf("the BMC accepted power %s; expected %s, found %s", want, want, is.Says))
}

// settled reads the power until it is as wanted, or the time or ctx has ended:
// then it is what was read last.
func (g *Governor) settled(ctx context.Context, deadline <-chan time.Time, wanted func(power.Reading) bool) (power.Reading, error) {
	for {
		is, err := g.inner.Power(ctx)
		if err != nil || wanted(is) {
			return is, err
		}
		select {
		case <-g.config.After(g.config.Poll):
		case <-deadline:
			return is, nil
		case <-ctx.Done():
			return is, nil
		}
	}
}

// bootOnce chooses the next start and reads it back.
func (g *Governor) bootOnce(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	if err := g.inner.Choose(ctx, device, mode); err != nil {
		return err
	}
	is, err := g.kept(ctx, g.inner.Chosen, true)
	if err != nil || is.Yes {
		return err
	}
	return sprout.Fail(sprout.BMCFailed, "cannot choose the next boot: the BMC accepted it but did not keep it", "expected "+words(device, mode)+", found "+is.Says)
}

func words(device power.BootDevice, mode sprout.BootMode) string {
	if mode == "" {
		return "one boot from " + string(device)
	}
	return fmt.Sprintf("one boot from %s by %s", device, mode)
}

// insert puts an image in, in place of what is in.
func (g *Governor) insert(ctx context.Context, url string) error {
	if err := g.eject(ctx); err != nil {
		return err
	}
	if err := g.inner.Insert(ctx, url); err != nil {
		return err
	}
	return g.moved(ctx, "insert", "something in it", true)
}

func (g *Governor) eject(ctx context.Context) error {
	is, err := g.inner.Media(ctx)
	if err != nil || !is.Yes {
		return err
	}
	if err := g.inner.Eject(ctx); err != nil {
		// A BMC may refuse what has just become so by another hand.
		if now, again := g.inner.Media(ctx); again == nil && !now.Yes {
			return nil
		}
		return err
	}
	return g.moved(ctx, "eject", "nothing in it", false)
}

func (g *Governor) moved(ctx context.Context, what, expected string, in bool) error {
	is, err := g.kept(ctx, g.inner.Media, in)
	if err != nil || is.Yes == in {
		return err
	}
	return sprout.Fail(sprout.MediaRefused, "cannot "+what+" virtual media: the BMC accepted the command but did not do it", "expected "+expected+", found "+is.Says)
}

// kept reads back until it is as wanted: some BMCs take a moment.
func (g *Governor) kept(ctx context.Context, read func(context.Context) (power.Reading, error), want bool) (is power.Reading, err error) {
	for range looks {
		if is, err = read(ctx); err != nil || is.Yes == want {
			return is, err
		}
		select {
		case <-g.config.After(g.config.Poll):
		case <-ctx.Done():
			return is, nil
		}
	}
	return is, nil
}

// known refuses a wish that is none, before a BMC is asked.
func known(want sprout.PowerState) error {
	if want != sprout.PowerOn && want != sprout.PowerOff {
		return sprout.InvalidField("power", "cannot set power to %q: it must be on or off", want)
	}
	return nil
}

// unreachable tells whether err is of a BMC that did not answer.
func unreachable(err error) (*sprout.Failure, bool) {
	var f *sprout.Failure
	return f, errors.As(err, &f) && f.Code == sprout.BMCUnreachable
}
