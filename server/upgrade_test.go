package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// An agent that the control plane cannot work with is refused by name, and taken
// again once it can.
func TestAgentOfAnotherProtocolIsRefused(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	var in api.EnrolAgent
	in.Body.Token, in.Body.Name, in.Body.PublicKey, in.Body.SealKey, in.Body.Protocol = "t", "far", "U", "X", sprout.Protocol+1
	if _, err := client.Call(t.Context(), p.as(t, ""), api.AgentEnrol, in); sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "protocol") {
		t.Errorf("a newer agent may enrol: %v", err)
	}
	f := enrol(t, p, "lon1") // one that does not say what it speaks
	beat := sprout.Heartbeat{Agent: f.enrol.Agent.ID, Version: "9.0", Address: "10.20.0.1", At: time.Now(), Protocol: sprout.Protocol + 1}
	if err := f.bus.PublishBeat(beat); err != nil {
		t.Fatal(err)
	}
	problem := p.awaitProblem(t, sprout.AgentVersion)
	if problem.Subject != string(beat.Agent) || !strings.Contains(problem.Evidence, "9.0") || !strings.Contains(problem.Remedy, "lon1") {
		t.Errorf("problem: %+v", problem)
	}
	beat.Protocol = sprout.OldestProtocol
	if err := f.bus.PublishBeat(beat); err != nil {
		t.Fatal(err)
	}
	p.awaitNoProblem(t, sprout.AgentVersion)
}

// A workflow whose step this version does not know is parked with a problem that
// names it, and goes on by itself with a version that does.
func TestUnknownStepAfterADowngrade(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:05:01")
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, api.CommissionMachine{MachineRef: api.MachineRef{Machine: "m1"}}))(t)
	work := f.awaitWork("commission").ID
	db := must(pgx.Connect(t.Context(), url))(t)
	defer db.Close(context.Background()) //nolint:errcheck // a test's own
	// A later version would have called the step otherwise, and run it now.
	step := func(name string) {
		t.Helper()
		must(db.Exec(t.Context(), `
			UPDATE workflow SET version = version + 1, step_name = $2, next_at = CASE WHEN next_at IS NULL THEN NULL ELSE now() END,
			       run = jsonb_set(jsonb_set(run, '{stepName}', to_jsonb($2::text)), '{nextAt}', CASE WHEN next_at IS NULL THEN run -> 'nextAt' ELSE to_jsonb(now()) END)
			WHERE id = $1`, w.ID, name))(t)
	}
	step("commission-by-robot")
	p.LookForLost(t.Context())
	problem := p.awaitProblem(t, sprout.UnknownStep)
	if problem.Subject != string(w.ID) || !strings.Contains(problem.Reason, "commission-by-robot") || !strings.Contains(problem.Remedy, string(w.ID)) {
		t.Errorf("problem: %+v", problem)
	}
	p.LookForLost(t.Context())
	if now := must(client.Call(t.Context(), p.admin, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: string(w.ID)}}))(t); now.State != sprout.Running {
		t.Errorf("parked, but %s", now.State)
	}
	step("commission-at-site")
	p.LookForLost(t.Context())
	p.awaitNoProblem(t, sprout.UnknownStep)
	f.report(sprout.FactWorkEnded, m.ID, work, sprout.WorkResult{State: sprout.Succeeded})
	if done := must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t); done.State != sprout.Succeeded {
		t.Errorf("it ended as %s: %+v", done.State, done.Error)
	}
}
