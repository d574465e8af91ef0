package provision

import (
	"context"
	"time"

	"sprout"
	"sprout/workflow"
)

// Fast track: a machine may wait in the ramdisk after its commissioning. A deploy then
// begins with its first order, in the same boot attempt, and ends by kexec: the
// firmware has no part in it.

// wakeWithin is how long a ramdisk that waits may take to answer before the machine is
// started anew: it asks for orders all the time.
const wakeWithin = 20 * time.Second

// wakeUsually is how long it takes at most, unless something is wrong: then the BMC is
// asked whether the machine is on.
const wakeUsually = 2 * time.Second

// powerOffOrRest ends a commissioning: the machine waits in the ramdisk, if that was
// asked for and its ramdisk can; else it is switched off.
func (p site[T]) powerOffOrRest(ctx context.Context, c *workflow.Call[T]) error {
	var in sprout.CommissionWork
	if err := workOf(c, &in); err != nil {
		return err
	}
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	if in.FastTrack <= 0 || data.Restless != "" {
		return p.powerOff(ctx, c)
	}
	_, err = p.order(ctx, c, sprout.Order{Kind: sprout.OrderWait, Seconds: in.FastTrack})
	if f := failureOf(err); f != nil {
		data.Restless = f.Reason
		c.Detail("switched off: it cannot wait in its ramdisk: %s", f.Reason)
		if err := c.Keep(data); err != nil {
			return err
		}
		return p.powerOff(ctx, c)
	}
	if err != nil {
		return err
	}
	rest := sprout.Rest{Attempt: data.Attempt, Until: c.Now.Add(time.Duration(in.FastTrack) * time.Second).UTC(), Mode: data.Mode, Boot: data.Boot}
	c.Detail("waits in the ramdisk until %s", rest.Until.Format(time.DateTime))
	c.Commit(func(ctx context.Context, tx T) error { return p.Rest(ctx, tx, id, rest) })
	return p.fact(c, sprout.Fact{Kind: sprout.FactRest, Machine: id, Attempt: rest.Attempt}, rest)
}

// rested returns how the machine waits for this deploy; nil: it is to be started.
func (p site[T]) rested(ctx context.Context, c *workflow.Call[T], m sprout.SiteMachine) (*sprout.Rest, error) {
	if c.Run.Kind != Deploy || m.VirtualMedia {
		return nil, nil
	}
	rest, ok, err := p.Resting(ctx, m.ID)
	if err != nil || !ok || !rest.Until.After(c.Now.Add(wakeWithin)) {
		return nil, err
	}
	return &rest, nil
}

// undoIntent ends the boot attempt, but has a machine that waits go on with that: it
// was not touched yet.
func (p site[T]) undoIntent(ctx context.Context, c *workflow.Call[T]) error {
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	if _, still, err := p.Resting(ctx, id); err != nil || still {
		return err // the step was broken before it had begun
	}
	if data.Rest == nil || data.Awake || !data.Rest.Until.After(c.Now) {
		return p.clearIntent(ctx, c)
	}
	rest := *data.Rest
	c.Detail("waits in the ramdisk until %s", rest.Until.Format(time.DateTime))
	c.Commit(func(ctx context.Context, tx T) error {
		err := p.Rest(ctx, tx, id, rest)
		if sprout.KindOf(err) == sprout.NotFound && err != nil {
			return p.EndAttempt(ctx, tx, id) // it was started anew, and that was undone
		}
		return err
	})
	return nil
}

// wake tells whether the machine's ramdisk waits and has answered: then it needs no
// start. One that is silent has lost power, or hangs: the machine is started anew, and
// goes on in the same boot attempt.
func (p site[T]) wake(ctx context.Context, c *workflow.Call[T]) (bool, error) {
	id, data, err := p.state(c)
	if err != nil || data.Rest == nil {
		return false, err
	}
	ping := sprout.Order{ID: orderID(data.Attempt, c.Run.ID+"/"+c.Run.StepName), Kind: sprout.OrderWait, Seconds: int(c.Run.Deadline.Sub(c.Now).Seconds())}
	if c.Run.Deadline.IsZero() {
		ping.Seconds = int(deployBy.Seconds())
	}
	report, answered := p.done(c, ping.ID)
	switch {
	case answered && report.Outcome == "done":
		data.Awake, data.Mode, data.Boot = true, data.Rest.Mode, data.Rest.Boot
		c.Detail("it waited in the ramdisk: no power cycle")
		return true, c.Keep(data)
	case data.Order != ping.ID:
		data.Order = ping.ID
		c.Commit(func(ctx context.Context, tx T) error { return p.Give(ctx, tx, data.Attempt, ping) })
		if err := c.Keep(data); err != nil {
			return false, err
		}
		return false, workflow.WaitFor(SignalOrderDone, wakeUsually, "the ramdisk that waits to answer")
	case !answered && p.powered(ctx, c, id) != nil:
		data.Rest = nil
		c.Detail("it waits in the ramdisk no more, its BMC says that it is off: the machine is started anew")
		return false, c.Keep(data)
	case !answered && c.Now.Before(c.Run.StepStarted.Add(wakeWithin)):
		return false, workflow.WaitFor(SignalOrderDone, c.Run.StepStarted.Add(wakeWithin).Sub(c.Now), "the ramdisk that waits to answer")
	}
	data.Rest = nil
	c.Detail("the ramdisk that waited has said nothing for %s: the machine is started anew", wakeWithin)
	return false, c.Keep(data)
}
