package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// seconds is every operation that changes a machine, as it is asked for while
// something runs on it. What is not refused changes nothing that runs.
var seconds = map[string]struct {
	ask   func(ctx context.Context, c *client.Client, m sprout.Machine) error
	legal bool // also on a busy machine
}{
	"machine commission": {ask: asked(api.MachineCommission, func(in *api.CommissionMachine, m string) { in.Machine = m })},
	"machine deploy":     {ask: asked(api.MachineDeploy, func(in *api.DeployMachine, m string) { in.Machine, in.Body.Image = m, "debian-12" })},
	"machine release":    {ask: asked(api.MachineRelease, func(in *api.ReleaseMachine, m string) { in.Machine = m })},
	"machine rescue": {ask: asked(api.MachineRescue, func(in *api.RescueMachine, m string) {
		in.Machine, in.Body.SSHKeys = m, []string{"ssh-ed25519 AAAA"}
	})},
	"machine unrescue":    {ask: asked(api.MachineUnrescue, func(in *api.MachineRef, m string) { in.Machine = m })},
	"machine delete":      {ask: asked(api.MachineDelete, func(in *api.MachineRef, m string) { in.Machine = m })},
	"machine accept":      {ask: asked(api.MachineAccept, func(in *api.MachineRef, m string) { in.Machine = m })},
	"machine mark-broken": {ask: asked(api.MachineMarkBroken, func(in *api.MarkMachine, m string) { in.Machine = m })},
	"machine mark-fixed":  {ask: asked(api.MachineMarkFixed, func(in *api.MarkMachine, m string) { in.Machine = m })},
	"machine retire":      {ask: asked(api.MachineRetire, func(in *api.MarkMachine, m string) { in.Machine = m })},
	"machine allocate":    {ask: asked(api.MachineAllocate, func(in *api.AllocateMachine, _ string) {})},
	"machine update":      {ask: asked(api.MachineUpdate, func(in *api.UpdateMachine, m string) { in.Machine, in.Body.Pool = m, new("p") }), legal: true},
	"machine network set": {ask: asked(api.MachineNetworkSet, func(in *api.SetMachineNetwork, m string) {
		in.Machine, in.Body.Interfaces = m, []sprout.InterfaceConfig{}
	}), legal: true}, // the next deploy reads it
	"machine console type": {ask: asked(api.MachineConsoleType, func(in *api.TypeConsole, m string) {
		in.Machine, in.Body.View, in.Body.Keys = m, "none", []byte("x") // whoever has it open types, whatever runs
	})},
	"machine hardware accept": {ask: asked(api.MachineHardwareAccept, func(in *api.MachineRef, m string) { in.Machine = m })},
	"machine lock":            {ask: asked(api.MachineLock, func(in *api.MachineRef, m string) { in.Machine = m }), legal: true},
	"machine unlock":          {ask: asked(api.MachineUnlock, func(in *api.MachineRef, m string) { in.Machine = m }), legal: true},
}

func asked[In, Out any](op api.Op[In, Out], about func(in *In, machine string)) func(context.Context, *client.Client, sprout.Machine) error {
	return func(ctx context.Context, c *client.Client, m sprout.Machine) error {
		var in In
		about(&in, string(m.ID))
		_, err := client.Call(ctx, c, op, in)
		return err
	}
}

// Whatever runs on a machine, a second change is refused with the reason, or is
// none of its business; the first always succeeds.
func TestSecondChangeNeverKillsTheFirst(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "n", "10.20.0.0/16"
	subnet := must(client.Call(t.Context(), p.admin, api.NetworkCreate, network))(t).Subnets[0].ID
	f := enrol(t, p, "lon1")
	db := must(pgx.Connect(t.Context(), url))(t)
	defer db.Close(context.Background()) //nolint:errcheck // a test's own
	type pair struct {
		name string
		m    sprout.Machine
		w    sprout.Workflow
	}
	var all []pair
	from := map[string]sprout.State{"commission": sprout.Registered, "deploy": sprout.Allocated, "release": sprout.Deployed}
	for first, state := range from {
		for name, second := range seconds {
			n := len(all)
			m := p.machine(t, "lon1", fmt.Sprintf("m%d", n), fmt.Sprintf("52:54:00:00:06:%02x", n))
			must(db.Exec(t.Context(), `UPDATE machine SET state = $2 WHERE id = $1`, m.ID, state))(t)
			m.State = state
			w := must(p.Begin(t.Context(), first, m, subnet))(t)
			err := second.ask(t.Context(), p.admin, m)
			switch {
			case err == nil && !second.legal:
				t.Errorf("%s during %s is not refused", name, first)
			case err == nil:
			case second.legal:
				t.Errorf("%s during %s: %v", name, first, err)
			case name == "machine allocate": // it chooses, and never a busy one
			case name == "machine deploy" && sprout.KindOf(err) == sprout.NotFound: // there is no image: that comes first
			case sprout.KindOf(err) != sprout.Conflict || !strings.HasPrefix(err.Error(), "cannot ") && !strings.Contains(err.Error(), ": cannot "):
				t.Errorf("%s during %s is refused without a reason: %v", name, first, err)
			}
			all = append(all, pair{first + " and " + name, m, w})
		}
	}
	for _, one := range all {
		key := string(one.w.ID) + "/1"
		f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork && c.Key == key })
		f.report(sprout.FactWorkEnded, one.m.ID, key, sprout.WorkResult{State: sprout.Succeeded})
	}
	for _, one := range all {
		if done := must(p.admin.Follow(t.Context(), one.w.ID, func(sprout.Workflow) {}))(t); done.State != sprout.Succeeded {
			t.Errorf("%s: the first ended as %s: %+v", one.name, done.State, done.Error)
		}
	}
	for _, op := range api.Operations() {
		spec := op.Spec()
		aboutOne := strings.HasPrefix(spec.Path, "/v1/machines/{machine}") && spec.Method != "GET"
		if _, tried := seconds[spec.Name]; aboutOne && !tried {
			t.Errorf("%s is not among the operations of this test", spec.Name)
		}
	}
}

// A retry is a second change too: of a machine that is locked, or that something
// else runs on, it is refused with the reason.
func TestARetryIsRefusedWithTheReason(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:09:01")
	ref := api.MachineRef{Machine: string(m.ID)}
	commission := func() sprout.Workflow {
		return must(client.Call(t.Context(), p.admin, api.MachineCommission, api.CommissionMachine{MachineRef: ref}))(t)
	}
	first := commission()
	f.report(sprout.FactWorkEnded, m.ID, f.awaitWork("commission").ID, sprout.WorkResult{State: sprout.FailedRun, Failure: sprout.Fail(sprout.BMCFailed, "no", "")})
	if done := must(p.admin.Follow(t.Context(), first.ID, func(sprout.Workflow) {}))(t); done.State != sprout.FailedRun {
		t.Fatalf("it ended as %s", done.State)
	}
	refused := func(why string) {
		t.Helper()
		_, err := client.Call(t.Context(), p.admin, api.WorkflowRetry, api.WorkflowRef{Workflow: string(first.ID)})
		if sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), why) {
			t.Errorf("not %q: %v", why, err)
		}
	}
	must(client.Call(t.Context(), p.admin, api.MachineLock, ref))(t)
	refused("it is locked")
	must(client.Call(t.Context(), p.admin, api.MachineUnlock, ref))(t)
	second := commission()
	refused(string(second.ID) + " runs on it")
}
