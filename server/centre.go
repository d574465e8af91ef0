package server

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/audit"
	"sprout/dns"
	"sprout/ipam"
	"sprout/provision"
	"sprout/store"
	"sprout/workflow"
)

// A centre is what the steps of workflows need of the control plane.
type centre struct {
	store *store.Store
	ipam  ipam.Provider
	dns   dns.Provider
	past  past
}

var _ provision.Centre[pgx.Tx] = (*centre)(nil)

func (c *centre) IPAM() ipam.Provider { return c.ipam }
func (c *centre) DNS() dns.Provider   { return c.dns }

func (c *centre) Machine(ctx context.Context, id sprout.MachineID) (sprout.Machine, error) {
	return c.store.MachinePorts(ctx, id)
}

func (c *centre) Site(ctx context.Context, id sprout.SiteID) (sprout.Site, error) {
	return c.store.FindSite(ctx, string(id))
}

func (c *centre) Agent(ctx context.Context, site sprout.SiteID) (sprout.Agent, error) {
	return c.store.AgentOf(ctx, site)
}

func (c *centre) Subnet(ctx context.Context, _ sprout.SiteID, id sprout.SubnetID) (sprout.Subnet, error) {
	return c.store.Subnet(ctx, id)
}

// Move moves a machine on behalf of a workflow and audits it under the name of
// who asked for the workflow.
func (c *centre) Move(ctx context.Context, tx pgx.Tx, id sprout.MachineID, event sprout.Event, by provision.Cause, image sprout.Image) error {
	origin, err := c.origin(ctx, tx, by)
	if err != nil {
		return err
	}
	before, err := c.store.In(tx).Bare().Machine(ctx, id)
	if err != nil {
		return err
	}
	to, err := c.store.MoveMachine(ctx, tx, id, event, origin.Actor, fmt.Sprintf("%s %s", by.Kind, by.Workflow))
	if err != nil {
		return err
	}
	after := before
	after.State = to
	if event == sprout.Installed || event == sprout.Released || event == sprout.LeftBehind {
		change := store.MachineChange{Image: &image}
		if after.Image, after.ImageDigest = image.Name, image.Digest; event != sprout.Installed {
			after.Owner, change.Owner = "", new("")
		}
		if err := c.store.UpdateMachine(ctx, tx, id, change); err != nil {
			return err
		}
	}
	return c.store.Audit(ctx, tx, sprout.AuditRecord{
		Kind: sprout.AuditWorkflow, Site: before.Site, Actor: origin.Actor, Action: "machine " + string(event), Subject: string(id), Name: before.Name,
		Outcome: "done", Request: origin.Request, Detail: fmt.Sprintf("now %s, by %s", to, by.Workflow),
		Changes: audit.Diff(before, after),
	})
}

// origin is who asked for a workflow, and in which request.
func (c *centre) origin(ctx context.Context, tx pgx.Tx, by provision.Cause) (store.Origin, error) {
	return c.store.In(tx).OriginOf(ctx, by.Workflow)
}

func (c *centre) Delegate(ctx context.Context, tx pgx.Tx, site sprout.SiteID, w sprout.Work) error {
	m, err := c.store.In(tx).Bare().Machine(ctx, w.Machine)
	if err != nil {
		return err
	}
	w.Generation = m.Generation
	return c.store.ReplicateWork(ctx, tx, site, w)
}

func (c *centre) CancelWork(ctx context.Context, tx pgx.Tx, site sprout.SiteID, work string) error {
	return c.store.Replicate(ctx, tx, site, sprout.ChangeCancel, work, struct{}{})
}

func (c *centre) Let(ctx context.Context, tx pgx.Tx, id sprout.MachineID, how sprout.Shell) error {
	return c.store.UpdateMachine(ctx, tx, id, store.MachineChange{Shell: &how})
}

func (c *centre) SkippedTests(ctx context.Context, tx pgx.Tx, id sprout.MachineID, skipped string) error {
	if skipped != "" {
		// Results of an earlier run are no longer about this commissioning.
		return c.store.SetTests(ctx, tx, id, nil, skipped)
	}
	return c.store.TestsRun(ctx, tx, id)
}

func (c *centre) Raise(ctx context.Context, tx pgx.Tx, id sprout.MachineID, by provision.Cause, f sprout.Failure) error {
	m, err := c.store.In(tx).Bare().Machine(ctx, id)
	if err != nil {
		return err
	}
	severity, remedy := sprout.Explain(f.Code, m.Name, string(by.Workflow), m.SiteName)
	if f.Remedy != "" {
		remedy = f.Remedy
	}
	reason := f.Reason
	if f.Step != "" {
		reason = fmt.Sprintf("%s failed at %s: %s", by.Kind, f.Step, f.Reason)
	}
	return c.store.RaiseProblem(ctx, tx, sprout.Problem{
		Code: f.Code, Severity: severity, Site: m.Site, Subject: string(id), Name: m.Name, Reason: reason, Evidence: f.Evidence, Remedy: remedy,
	})
}

// lasting are the problems that a workflow's success does not close by itself.
var lasting = append(slices.Clone(hardwareCodes), sprout.DisksNotErased)

func (c *centre) Clear(ctx context.Context, tx pgx.Tx, id sprout.MachineID, also ...sprout.Code) error {
	stay := slices.DeleteFunc(slices.Clone(lasting), func(code sprout.Code) bool { return slices.Contains(also, code) })
	_, err := c.store.ClearProblemsBut(ctx, tx, string(id), stay...)
	return err
}

func (c *centre) Ended(ctx context.Context, tx pgx.Tx, by provision.Cause, id sprout.MachineID, state sprout.WorkflowState, f *sprout.Failure) error {
	origin, err := c.origin(ctx, tx, by)
	if err != nil {
		return err
	}
	m, err := c.store.In(tx).Bare().Machine(ctx, id)
	if err != nil {
		return err
	}
	r := sprout.AuditRecord{
		Kind: sprout.AuditWorkflow, Site: m.Site, Actor: origin.Actor, Request: origin.Request, Action: "workflow " + by.Kind, Subject: string(by.Workflow), Name: m.Name,
		Outcome: "done", Detail: string(state),
	}
	if f != nil {
		r.Outcome, r.Detail = "failed", fmt.Sprintf("%s at %s: %s", state, f.Step, f.Error())
	}
	return c.store.Audit(ctx, tx, r)
}

// audited has every end of a step of the definitions' runs recorded, with the
// change itself.
func audited(s *store.Store, defs ...workflow.Definition[pgx.Tx]) []workflow.Definition[pgx.Tx] {
	for i := range defs {
		defs[i].OnMove = func(ctx context.Context, tx pgx.Tx, before, after workflow.Run) error {
			return s.AuditSteps(ctx, tx, sprout.WorkflowID(after.ID), before.Steps, after.Steps)
		}
	}
	return defs
}

// parked records that a run is parked, or goes on. It raises the problem of one
// that is parked at a step which this version does not know, and closes it.
func (c *centre) parked(ctx context.Context, tx pgx.Tx, run workflow.Run) error {
	origin, err := c.store.In(tx).OriginOf(ctx, sprout.WorkflowID(run.ID))
	if err != nil {
		return err
	}
	if !run.Parked() {
		if _, err := c.store.ClearProblems(ctx, tx, run.ID, sprout.UnknownStep); err != nil || run.State.Ended() {
			return err
		}
		return c.store.AuditRun(ctx, tx, sprout.WorkflowID(run.ID), run.StepName, "done", "no longer parked")
	}
	why := "parked"
	if run.Wait != nil {
		why += ": waits for " + run.Wait.For
	}
	if err := c.store.AuditRun(ctx, tx, sprout.WorkflowID(run.ID), run.StepName, "failed", why); err != nil {
		return err
	}
	if !run.Unknown {
		return nil
	}
	severity, remedy := sprout.Explain(sprout.UnknownStep, "", run.ID, "")
	return c.store.RaiseProblem(ctx, tx, sprout.Problem{
		Code: sprout.UnknownStep, Severity: severity, Site: origin.Site, Subject: run.ID, Name: run.Kind, Reason: run.Wait.For, Remedy: remedy,
	})
}
