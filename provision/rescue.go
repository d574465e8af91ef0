package provision

import (
	"context"

	"sprout"
	"sprout/workflow"
)

// A rescue boots the ramdisk beside what is installed, which it does not touch, and
// lets in whoever holds one of the keys. An unrescue boots the disk again.

func (p centre[T]) rescue() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Rescue, At: "centre", OnEnd: p.onEnd, Steps: []workflow.Step[T]{
		{Name: "rescue-at-site", Do: p.atSite(Rescue, rescueBy, p.rescueWork), Quick: true, Undo: p.cancelAtSite, Timeout: rescueBy},
		{Name: "finish", Do: p.finishRescue, Quick: true, Timeout: shortStep},
	}}
}

func (p centre[T]) unrescue() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Unrescue, At: "centre", OnEnd: p.onEnd, Steps: []workflow.Step[T]{
		{Name: "unrescue-at-site", Do: p.atSite(Unrescue, rescueBy, p.noWork), Quick: true, Undo: p.cancelAtSite, Timeout: rescueBy},
		{Name: "finish", Do: p.finishUnrescue, Quick: true, Timeout: shortStep},
	}}
}

func (p centre[T]) rescueWork(_ context.Context, c *workflow.Call[T], _ sprout.Machine) (any, error) {
	var in RescueInput
	err := c.Input(&in)
	return sprout.RescueWork{SSHKeys: in.SSHKeys}, err
}

func (p centre[T]) noWork(context.Context, *workflow.Call[T], sprout.Machine) (any, error) {
	return struct{}{}, nil
}

// finishRescue keeps how to get in, and shows it.
func (p centre[T]) finishRescue(_ context.Context, c *workflow.Call[T]) error {
	var data centreData
	if err := c.Data(&data); err != nil {
		return err
	}
	id, err := MachineOf(c.Run)
	if err != nil {
		return err
	}
	if data.Shell == nil {
		return sprout.Fail(sprout.InternalFailure, "the site did not say how to get in", "work "+data.Work)
	}
	c.Detail("%s", data.Shell)
	c.Commit(func(ctx context.Context, tx T) error {
		if err := p.Let(ctx, tx, id, *data.Shell); err != nil {
			return err
		}
		return p.Move(ctx, tx, id, sprout.Rescue, cause(c.Run), sprout.Image{})
	})
	return nil
}

func (p centre[T]) finishUnrescue(_ context.Context, c *workflow.Call[T]) error {
	id, err := MachineOf(c.Run)
	if err != nil {
		return err
	}
	c.Commit(func(ctx context.Context, tx T) error {
		return p.Move(ctx, tx, id, sprout.Unrescue, cause(c.Run), sprout.Image{})
	})
	return nil
}

func (p site[T]) rescue() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Rescue, At: "site", OnEnd: p.onEnd, OnMove: p.onMove, Steps: []workflow.Step[T]{
		{Name: "take-machine", Do: p.takeMachine, Quick: true, Timeout: p.limits.TakeMachine},
		{Name: "set-boot-intent", Do: p.setIntent, Quick: true, Undo: p.clearIntent, Timeout: shortStep},
		{Name: "power-on", Do: p.powerOn, Undo: p.undoRescue, Timeout: p.limits.Power, Attempts: 3},
		{Name: "boot-ramdisk", Do: p.awaitRamdisk, Quick: true, Timeout: p.limits.BootRamdisk},
		{Name: "eject-media", Do: p.ejectMedia, Quick: true, Added: true, Timeout: p.limits.Power, Attempts: 3},
		{Name: "open-shell", Do: p.openShell, Quick: true, Timeout: p.limits.Order},
	}}
}

func (p site[T]) unrescue() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Unrescue, At: "site", OnEnd: p.onEnd, OnMove: p.onMove, Steps: []workflow.Step[T]{
		{Name: "take-machine", Do: p.takeMachine, Quick: true, Timeout: p.limits.TakeMachine},
		{Name: "start-disk", Do: p.startDisk, Timeout: p.limits.Power, Attempts: 3},
	}}
}

// openShell has the ramdisk let in who holds a key. From then on the machine boots
// its disk: one that restarts, by whatever cause, is not in rescue for ever.
func (p site[T]) openShell(ctx context.Context, c *workflow.Call[T]) error {
	var in sprout.RescueWork
	if err := workOf(c, &in); err != nil {
		return err
	}
	report, err := p.order(ctx, c, sprout.Order{Kind: sprout.OrderShell, Keys: in.SSHKeys})
	if err != nil {
		return err
	}
	if report.Shell == nil {
		return sprout.Fail(sprout.InternalFailure, "the ramdisk did not say how to get in", "order "+report.Order)
	}
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	data.Shell = report.Shell
	c.Detail("%s", report.Shell)
	c.Commit(func(ctx context.Context, tx T) error { return p.BootDisk(ctx, tx, id) })
	return c.Keep(data)
}

// startDisk starts the machine from its disk, and ends the credentials of its
// ramdisk.
func (p site[T]) startDisk(ctx context.Context, c *workflow.Call[T]) error {
	id, bmc, err := p.stop(ctx, c)
	if err != nil {
		return err
	}
	if err := bmc.Set(ctx, sprout.PowerOn); err != nil {
		return err
	}
	return p.factPower(c, id, sprout.PowerOn)
}

// undoRescue starts what is installed again, where the BMC lets us.
func (p site[T]) undoRescue(ctx context.Context, c *workflow.Call[T]) error {
	return p.unlessRefused(ctx, c, p.startDisk)
}
