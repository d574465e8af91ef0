package server_test

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/sitestore"
	"sprout/store/storetest"
)

// An agent loses its disk and another enrols in its place. Facts of the first
// that the centre had not taken stay its own, whatever their number; the second
// is filled although the changes before its snapshot are pruned.
func TestAnotherAgentInItsPlace(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	first := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:00:11")
	first.facts = 1 // number 1 never arrives: 2 waits in the stream
	first.report(sprout.FactPower, m.ID, "", sprout.PowerOff)

	db := must(pgx.Connect(t.Context(), url))(t)
	defer db.Close(context.Background()) //nolint:errcheck // only read and pruned
	if _, err := db.Exec(t.Context(), `UPDATE outbox SET published_at = now()`); err != nil {
		t.Fatal(err)
	}
	second := enrol(t, p, "lon1")
	if second.enrol.After == 0 {
		t.Fatal("its store would begin at 0, before changes that may be pruned")
	}
	if _, err := db.Exec(t.Context(), `DELETE FROM outbox WHERE seq <= $1`, second.enrol.After); err != nil {
		t.Fatal(err)
	}
	second.report(sprout.FactPower, m.ID, "", sprout.PowerOn)
	eventually(t, show(t, p, "m1"), func(m sprout.Machine) bool { return m.Power == sprout.PowerOn })
	boot := sprout.BootEvent{MAC: "52:54:00:00:00:11", What: "dhcp-offer"}
	second.report(sprout.FactBoot, m.ID, "", boot)
	second.report(sprout.FactBoot, m.ID, "", boot)
	last := func() (n int64, err error) {
		err = db.QueryRow(t.Context(), `SELECT last_fact FROM inbox`).Scan(&n)
		return n, err
	}
	eventually(t, last, func(n int64) bool { return n == 3 })
	if got := must(show(t, p, "m1")())(t); got.Power != sprout.PowerOn {
		t.Errorf("a fact of the agent that is gone was taken: power is %s", got.Power)
	}

	second.await(func(c sprout.Change) bool {
		return c.Kind == sprout.ChangeMachine && c.Key == string(m.ID) && c.Seq > second.enrol.After
	})
	site := must(sitestore.Open(filepath.Join(t.TempDir(), "site.db"), slog.New(slog.DiscardHandler)))(t)
	defer site.Close() //nolint:errcheck // of this test only
	if err := site.Begin(t.Context(), "enrolment", second.enrol, second.enrol.After); err != nil {
		t.Fatal(err)
	}
	second.mu.Lock()
	defer second.mu.Unlock()
	slices.SortFunc(second.changes, func(a, b sprout.Change) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, c := range second.changes {
		if err := site.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := site.MachineByMAC("52:54:00:00:00:11"); !ok || got.ID != m.ID {
		t.Errorf("the new store knows the machine as %+v", got)
	}
}

// machine registers a machine with a BMC.
func (p plane) machine(t *testing.T, site, name, mac string) sprout.Machine {
	t.Helper()
	var in api.CreateMachine
	in.Body = api.NewMachine{Site: site, Name: name, MACs: []string{mac}, BMC: &sprout.BMC{Driver: "redfish", URL: "http://127.0.0.1:1", Username: "u", Password: "p"}}
	return must(client.Call(t.Context(), p.admin, api.MachineCreate, in))(t)
}

// Who enrols is live to the operator from the first heartbeat on; when they
// stop a problem of the site says so, and it ends when they return.
func TestAgentOfflineIsAProblemUntilItReturns(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("par1")))(t) // no agent, no problem
	f := enrol(t, p, "lon1")
	beat := func() {
		t.Helper()
		if err := f.bus.PublishBeat(sprout.Heartbeat{Agent: f.enrol.Agent.ID, Version: "test", Address: "10.20.0.1", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	online := func() (sprout.Agent, error) {
		beat()
		return client.Call(t.Context(), p.admin, api.AgentShow, api.AgentRef{Agent: "lon1"})
	}
	eventually(t, online, func(a sprout.Agent) bool { return a.Online })
	problems := func() ([]sprout.Problem, error) {
		return client.List(t.Context(), p.admin, api.ProblemList, api.ListProblems{}, 0)
	}
	list := eventually(t, problems, func(l []sprout.Problem) bool { return len(l) > 0 })
	if len(list) != 1 || list[0].Code != sprout.AgentOffline || list[0].Site != site.ID || list[0].Name != "lon1" || list[0].Remedy == "" {
		t.Errorf("problems: %+v", list)
	}
	if silent := time.Since(*must(client.Call(t.Context(), p.admin, api.AgentShow, api.AgentRef{Agent: "lon1"}))(t).LastSeen); silent < sprout.OfflineAfter {
		t.Errorf("it counts as offline after %s", silent)
	}
	beat()
	eventually(t, problems, func(l []sprout.Problem) bool { return len(l) == 0 })
}

// A workflow whose site is to stop its work waits for the site's agent; once that is
// deleted nobody could confirm it, and the workflow ends at once.
func TestDeletingAnAgentEndsWhatIsCancelled(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	silent := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:00:11")
	begun := must(client.Call(t.Context(), p.admin, api.MachineCommission, api.CommissionMachine{MachineRef: api.MachineRef{Machine: string(m.ID)}}))(t)
	silent.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork })
	must(client.Call(t.Context(), p.admin, api.WorkflowCancel, api.WorkflowRef{Workflow: string(begun.ID)}))(t)
	is := func() (api.VersionedWorkflow, error) {
		return client.Call(t.Context(), p.admin, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: string(begun.ID)}})
	}
	eventually(t, is, func(w api.VersionedWorkflow) bool { return w.State == sprout.Unwinding && w.Wait != nil })
	must(client.Call(t.Context(), p.admin, api.AgentDelete, api.AgentRef{Agent: string(silent.enrol.Agent.ID)}))(t)
	eventually(t, is, func(w api.VersionedWorkflow) bool { return w.State.Ended() })
}
