package server

import (
	"context"
	"slices"
	"time"

	"sprout"
	"sprout/api"
	"sprout/diagnose"
	"sprout/provision"
	"sprout/store"
)

const (
	leastRuns     = 3  // past runs without which there are no figures
	evidenceShown = 16 // events of an explanation at most: a boot from its power-on to its script
	linesShown    = 15 // of a console
)

func (s *Server) machineExplain(ctx context.Context, in *api.MachineRef) (api.Explanation, error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return api.Explanation{}, err
	}
	last, _, err := s.store.Workflows(ctx, store.WorkflowFilter{Machine: m.ID, Page: store.Page{Limit: 1}})
	if err != nil {
		return api.Explanation{}, err
	}
	any := func(sprout.BootAttempt) bool { return true }
	if len(last) == 0 {
		return s.explain(ctx, m, nil, any)
	}
	return s.explain(ctx, m, &last[0], any)
}

func (s *Server) workflowExplain(ctx context.Context, in *api.WorkflowRef) (api.Explanation, error) {
	id, err := s.findWorkflow(ctx, in.Workflow)
	if err != nil {
		return api.Explanation{}, err
	}
	w, err := s.store.Workflow(ctx, id)
	if err != nil {
		return api.Explanation{}, err
	}
	m, err := s.store.Machine(ctx, w.Machine)
	if err != nil {
		return api.Explanation{}, err
	}
	return s.explain(ctx, m, &w, during(w))
}

// during chooses the boots that fell into the time of a workflow.
func during(w sprout.Workflow) func(sprout.BootAttempt) bool {
	return func(a sprout.BootAttempt) bool {
		return !a.LastAt.Before(w.CreatedAt) && (w.EndedAt == nil || !a.StartedAt.After(*w.EndedAt))
	}
}

// explain puts together what is known of a machine, of its workflow, which may
// be nil, and of the newest boot of those that are chosen.
func (s *Server) explain(ctx context.Context, m sprout.Machine, w *sprout.Workflow, chosen func(sprout.BootAttempt) bool) (api.Explanation, error) {
	e := api.Explanation{
		Machine: m.Name, Site: m.SiteName, State: m.State, Power: m.Power, At: time.Now().UTC(),
		Evidence: []sprout.BootEvent{}, Console: []sprout.BootEvent{}, Problems: filled(m.Problems), Help: []string{},
	}
	if w != nil {
		e.Workflow = explained(*w, e.At)
		if f := w.Error; f != nil && w.State == sprout.FailedRun {
			e.Cause = cause(&e, diagnose.Diagnosis{Code: f.Code, Reason: f.Reason, Evidence: f.Evidence})
		}
		if err := s.addSite(ctx, &e, m.Site, *w); err != nil {
			return e, err
		}
		if err := s.addLimit(ctx, &e, *w); err != nil {
			return e, err
		}
		if err := s.addUsual(ctx, &e, m, *w); err != nil {
			return e, err
		}
	}
	if err := s.addBoot(ctx, &e, m, w, chosen); err != nil {
		return e, err
	}
	addHelp(&e)
	return e, nil
}

// explained says where a workflow is, by the record of the step it is at.
func explained(w sprout.Workflow, now time.Time) *api.ExplainedWorkflow {
	x := &api.ExplainedWorkflow{
		ID: w.ID, Kind: w.Kind, State: w.State, Step: w.Step, Since: w.CreatedAt, Actor: w.Actor, EndedAt: w.EndedAt, Failure: w.Error,
	}
	if w.Error != nil && w.Error.Step != "" {
		x.Step = w.Error.Step
	}
	until := now
	if r, ok := recordOf(w, x.Step); ok {
		x.Since = r.StartedAt
		if r.EndedAt != nil {
			until = *r.EndedAt
		}
	}
	x.Seconds = max(until.Sub(x.Since).Seconds(), 0)
	if w.State.Ended() {
		return x
	}
	x.Progress = w.Progress
	if w.Wait != nil {
		x.Wait = w.Wait.For
		if !w.Wait.Until.IsZero() {
			x.Until = &w.Wait.Until
		}
	}
	return x
}

// addSite tells that running work is at a site that is not heard of.
func (s *Server) addSite(ctx context.Context, e *api.Explanation, site sprout.SiteID, w sprout.Workflow) error {
	if w.State.Ended() {
		return nil
	}
	agent, err := s.store.AgentOf(ctx, site)
	if err != nil && sprout.KindOf(err) != sprout.NotFound {
		return err
	}
	if e.Offline = !agent.Online; e.Offline {
		e.HeardAt = agent.LastSeen
	}
	return nil
}

// addLimit tells how long the step that the site is at may take: as its work was
// delegated, whatever has been set since.
func (s *Server) addLimit(ctx context.Context, e *api.Explanation, w sprout.Workflow) error {
	run, err := s.store.GetRun(ctx, string(w.ID))
	if err != nil {
		return err
	}
	for _, l := range provision.LimitsOf(run) {
		if l.Step != e.Workflow.Step {
			continue
		}
		e.Limit = &l
		until := e.Workflow.Since.Add(l.Duration())
		if known := e.Workflow.Until; !w.State.Ended() && (known == nil || until.Before(*known)) {
			e.Workflow.Until = &until // the site has not said so itself
		}
	}
	return nil
}

// recordOf is the latest record of a step.
func recordOf(w sprout.Workflow, step string) (sprout.StepRecord, bool) {
	for _, r := range slices.Backward(w.Steps) {
		if r.Name == step {
			return r, true
		}
	}
	return sprout.StepRecord{}, false
}

// addUsual tells how long the step takes on such machines.
func (s *Server) addUsual(ctx context.Context, e *api.Explanation, m sprout.Machine, w sprout.Workflow) error {
	if m.Inventory == nil || m.Inventory.Model == "" || e.Workflow.Step == "" {
		return nil
	}
	all, err := s.store.UsualSteps(ctx, w.Kind, m.Inventory.Vendor, m.Inventory.Model)
	if err != nil {
		return err
	}
	usual := all[e.Workflow.Step]
	e.Usual = &api.Usual{Step: e.Workflow.Step, Vendor: m.Inventory.Vendor, Model: m.Inventory.Model, Runs: usual.Runs}
	e.Usual.P50, e.Usual.P95 = figures(usual)
	return nil
}

// addBoot adds what was seen of the newest boot that is chosen, and why it
// stopped where a step waits for it.
func (s *Server) addBoot(ctx context.Context, e *api.Explanation, m sprout.Machine, w *sprout.Workflow, chosen func(sprout.BootAttempt) bool) error {
	boots, _, err := s.store.BootAttempts(ctx, m, store.Page{Limit: 1000})
	if err != nil {
		return err
	}
	newest := slices.IndexFunc(boots, chosen)
	if newest < 0 {
		return nil
	}
	events, err := s.store.BootEvents(ctx, m.Site, boots[newest].ID)
	if err != nil {
		return err
	}
	e.Attempt = boots[newest].ID
	for _, b := range events {
		to := &e.Evidence
		if b.What == sprout.SawConsole {
			to = &e.Console
		}
		*to = append(*to, b)
	}
	e.Evidence = e.Evidence[max(0, len(e.Evidence)-evidenceShown):]
	e.Console = e.Console[max(0, len(e.Console)-linesShown):]
	if w == nil || w.State.Ended() || w.Step != diagnose.StepRamdisk && w.Step != diagnose.StepHome {
		return nil
	}
	subnets, _, err := s.store.ListSubnets(ctx, store.SubnetFilter{Sites: sprout.At(m.Site), Page: store.Page{Limit: 1000}})
	if err != nil {
		return err
	}
	if d, ok := diagnose.Diagnose(diagnose.Evidence{Step: w.Step, NoDHCP: sprout.NoDHCPIn(subnets), Events: events}); ok {
		e.Cause = cause(e, d)
	}
	return nil
}

// cause says what a code means and what helps.
func cause(e *api.Explanation, d diagnose.Diagnosis) *api.Cause {
	c := &api.Cause{Code: d.Code, Type: d.Code.Type(), Reason: d.Reason, Evidence: d.Evidence}
	_, c.Remedy = sprout.Explain(d.Code, e.Machine, string(e.Workflow.ID), e.Site)
	for _, p := range sprout.Problems {
		if p.Code == d.Code {
			c.Means = p.Means
		}
	}
	return c
}

// addHelp lists the commands that help, the best first.
func addHelp(e *api.Explanation) {
	add := func(command string) {
		if command != "" && !slices.Contains(e.Help, command) {
			e.Help = append(e.Help, command)
		}
	}
	if w := e.Workflow; w != nil && w.State == sprout.FailedRun {
		if e.Cause != nil {
			add(e.Cause.Remedy)
		}
		add("sprout workflow retry " + string(w.ID))
	}
	for _, p := range e.Problems {
		add(p.Remedy)
	}
	if e.Offline {
		add("sprout agent list")
	}
	if w := e.Workflow; w != nil && !w.State.Ended() {
		if e.Cause != nil {
			add("sprout boot show " + e.Machine)
		}
		add("sprout workflow wait " + string(w.ID))
		add("sprout workflow cancel " + string(w.ID))
	}
	if e.Attempt != "" {
		add("sprout boot show " + e.Machine)
	}
	if e.Cause != nil {
		add("sprout problem explain " + string(e.Cause.Code))
	}
	add(nextCommand(*e))
}

// nextCommand is what can be done with a machine that does nothing.
func nextCommand(e api.Explanation) string {
	if e.Workflow != nil && !e.Workflow.State.Ended() {
		return ""
	}
	switch e.State {
	case sprout.Discovered:
		return "sprout machine accept " + e.Machine
	case sprout.Registered:
		return "sprout machine commission " + e.Machine
	case sprout.Ready, sprout.Allocated:
		return "sprout machine deploy " + e.Machine + " --image …"
	case sprout.Deployed:
		return "sprout machine release " + e.Machine
	case sprout.Rescued:
		return "sprout machine unrescue " + e.Machine
	case sprout.Broken:
		return "sprout machine mark-fixed " + e.Machine
	case sprout.Retired:
	}
	return ""
}
