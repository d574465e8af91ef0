package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"sprout"
	"sprout/workflow"
)

// forcedBy is how long a site may be away that is told later of a forced release.
const forcedBy = 365 * 24 * time.Hour

// releaseAtSite has the site release the machine, and waits for it; or, if that is
// forced, when it began or while it waits, leaves it to the site to do when it can.
func (p centre[T]) releaseAtSite(ctx context.Context, c *workflow.Call[T]) error {
	var in ReleaseInput
	var data centreData
	if err := c.Input(&in); err != nil {
		return err
	}
	if err := c.Data(&data); err != nil {
		return err
	}
	reason := in.Force
	var seen WorkEnded
	if raw, ok := c.Run.Signals[SignalWorkEnded]; ok && json.Unmarshal(raw, &seen) == nil && seen.Force != "" {
		c.Take(SignalWorkEnded)
		reason = seen.Force
	}
	if reason == "" {
		return p.atSite(Release, releaseBy, p.releaseWork)(ctx, c)
	}
	return p.leaveToSite(ctx, c, in, data, reason)
}

// leaveToSite takes the release back that the site was given, and gives it one that
// only switches the machine off and ends what it may boot. The site does that when
// it is there again, before anything newer; nothing waits for it. Newer work on the
// machine overtakes it: then it is refused by its generation.
func (p centre[T]) leaveToSite(ctx context.Context, c *workflow.Call[T], in ReleaseInput, data centreData, reason string) error {
	m, err := p.machineOf(ctx, c.Run)
	if err != nil {
		return err
	}
	if data.Work != "" && !data.Ended {
		older := data.Work
		c.Commit(func(ctx context.Context, tx T) error { return p.CancelWork(ctx, tx, m.Site, older) })
	}
	raw, err := json.Marshal(sprout.ReleaseWork{})
	if err != nil {
		return fmt.Errorf("cannot encode the work of %s: %w", c.Run.ID, err)
	}
	basis, err := p.Basis(ctx, m, Release)
	if err != nil {
		return err
	}
	data.Work = sprout.WorkID(c.Run.ID, c.Run.Retries+1, len(data.Others)+1)
	data.Limits = StepLimits(Release, basis)
	data.Ended, data.Forced, data.Undone = true, reason, p.undone(ctx, in, m)
	w := sprout.Work{
		ID: data.Work, Kind: Release, Workflow: sprout.WorkflowID(c.Run.ID), Machine: m.ID,
		Deadline: c.Now.Add(forcedBy), Limits: data.Limits, Input: raw,
	}
	c.Commit(func(ctx context.Context, tx T) error { return p.Delegate(ctx, tx, m.Site, w) })
	c.Detail("forced (%s): left to site %s", reason, m.SiteName)
	return c.Keep(data)
}

// undone lists what a forced release has not seen done.
func (p centre[T]) undone(ctx context.Context, in ReleaseInput, m sprout.Machine) []string {
	disks := "its disks are not erased"
	if !in.Erase {
		disks += " (nor was it asked for)"
	}
	why := ""
	if a, err := p.Agent(ctx, m.Site); err != nil {
		why = fmt.Sprintf(": site %s has no agent", m.SiteName)
	} else if !a.Online {
		why = fmt.Sprintf(": site %s is offline", m.SiteName)
	}
	return []string{
		disks,
		"it is not seen to be switched off" + why,
		fmt.Sprintf("what it may boot, and its credentials at site %s, end when the site hears of it", m.SiteName),
	}
}
