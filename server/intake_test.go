package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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

// factsOf makes facts of an agent, numbered from 1.
func factsOf(t *testing.T, agent sprout.AgentID, list ...sprout.Fact) []sprout.Fact {
	t.Helper()
	for i := range list {
		list[i].Agent, list[i].Seq, list[i].At = agent, int64(i+1), time.Now().UTC()
	}
	return list
}

func aFact(t *testing.T, kind sprout.FactKind, machine sprout.MachineID, work string, body any) sprout.Fact {
	t.Helper()
	return sprout.Fact{Kind: kind, Machine: machine, Work: work, Body: must(json.Marshal(body))(t)}
}

// Facts are handed over in batches of chance, some again, some while the one
// before was not finished; some can never be taken. Each has its effect once, in
// order, and those that were passed over are problems.
func TestFactsInBatchesAreTakenOnceAndInOrder(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:04:01")
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, api.CommissionMachine{MachineRef: api.MachineRef{Machine: "m1"}}))(t)
	work := f.awaitWork("commission").ID
	nul := inventory("52:54:00:00:04:01")
	nul.Serial = "SN\x00" // as firmware has been seen to say; PostgreSQL has no such text
	const steps = 120
	var list []sprout.Fact
	began := time.Now().UTC().Truncate(time.Microsecond)
	for i := range steps {
		step := sprout.StepRecord{Name: fmt.Sprintf("step-%d", i), At: "site", Attempt: 1, Outcome: "running", StartedAt: began}
		list = append(list, aFact(t, sprout.FactStep, m.ID, work, step))
		switch i % 40 {
		case 10:
			list = append(list, aFact(t, sprout.FactInventory, m.ID, work, nul))
		case 20:
			list = append(list, aFact(t, sprout.FactPower, m.ID, work, 3)) // no PowerState
		case 30:
			list = append(list, aFact(t, sprout.FactPower, "mch_gone", "", sprout.PowerOn), aFact(t, "of-a-later-version", m.ID, "", 1))
		}
		step.Outcome, step.EndedAt = "done", &began
		list = append(list, aFact(t, sprout.FactStep, m.ID, work, step))
	}
	list = append(list, aFact(t, sprout.FactPower, m.ID, work, sprout.PowerOn), aFact(t, sprout.FactWorkEnded, m.ID, work, sprout.WorkResult{State: sprout.Succeeded}))
	facts := factsOf(t, f.enrol.Agent.ID, list...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	take := p.TakeFacts(time.Hour)
	for at := 0; at < len(facts); {
		first := max(0, at-chance.IntN(5)) // those before come again
		n, err := take(t.Context(), f.enrol.Site.ID, facts[first:min(len(facts), first+1+chance.IntN(100))])
		if err != nil && sprout.KindOf(err) != sprout.Internal {
			t.Fatalf("fact %d: %v", facts[first+n].Seq, err)
		}
		at = max(at, first+n)
	}
	if done := must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t); done.State != sprout.Succeeded || countDone(done) != steps {
		t.Errorf("workflow is %s with %d steps done", done.State, countDone(done))
	}
	db := must(pgx.Connect(t.Context(), url))(t)
	defer db.Close(context.Background()) //nolint:errcheck // only read
	var last, rows, ordered int64
	if err := db.QueryRow(t.Context(), `
		SELECT (SELECT last_fact FROM inbox), count(*), count(*) FILTER (WHERE name = 'step-' || n - 1)
		FROM (SELECT name, row_number() OVER (ORDER BY seq) AS n FROM site_step) s`).Scan(&last, &rows, &ordered); err != nil {
		t.Fatal(err)
	}
	if last != int64(len(facts)) || rows != steps || ordered != steps {
		t.Errorf("facts taken up to %d of %d; %d steps, %d in order", last, len(facts), rows, ordered)
	}
}

func countDone(w sprout.Workflow) (n int) {
	for _, s := range w.Steps {
		if strings.HasPrefix(s.Name, "step-") && s.Outcome == "done" {
			n++
		}
	}
	return n
}

// What cannot be used comes over the bus and holds up nothing behind it; the
// problem shows it, about the machine, and the machine's next success ends it.
func TestPoisonFactIsAProblemAndStopsNothing(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:04:02")
	nul := inventory("52:54:00:00:04:02")
	nul.Serial = "SN\x00"
	f.report(sprout.FactInventory, m.ID, "", nul)
	f.report(sprout.FactPower, m.ID, "", sprout.PowerOn)
	eventually(t, show(t, p, "m1"), func(m sprout.Machine) bool { return m.Power == sprout.PowerOn })
	problem := p.awaitProblem(t, sprout.FactRefused)
	if problem.Subject != string(m.ID) || !strings.Contains(problem.Evidence, `SN\u0000`) || !strings.Contains(problem.Remedy, "sprout machine commission m1") {
		t.Errorf("problem: %+v", problem)
	}
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, api.CommissionMachine{MachineRef: api.MachineRef{Machine: "m1"}}))(t)
	f.report(sprout.FactWorkEnded, m.ID, f.awaitWork("commission").ID, sprout.WorkResult{State: sprout.Succeeded})
	must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t)
	p.awaitNoProblem(t, sprout.FactRefused)
}

// Facts behind a gap wait, with a problem, and go on by themselves when what was
// missing comes.
func TestMissingFactsAreAProblem(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:04:03")
	facts := factsOf(t, f.enrol.Agent.ID, aFact(t, sprout.FactPower, m.ID, "", sprout.PowerOff), aFact(t, sprout.FactPower, m.ID, "", sprout.PowerOn))
	take := p.TakeFacts(0)
	for range 2 {
		if n, err := take(t.Context(), f.enrol.Site.ID, facts[1:]); n != 0 || sprout.KindOf(err) != sprout.Conflict {
			t.Fatalf("took %d facts behind a gap: %v", n, err)
		}
	}
	if problem := p.awaitProblem(t, sprout.FactsMissing); !strings.Contains(problem.Reason, "fact 1 has not arrived") || !strings.Contains(problem.Remedy, "sprout agent token create lon1") {
		t.Errorf("problem: %+v", problem)
	}
	if n, err := take(t.Context(), f.enrol.Site.ID, facts); n != 2 || err != nil {
		t.Fatalf("took %d facts: %v", n, err)
	}
	p.awaitNoProblem(t, sprout.FactsMissing)
}
