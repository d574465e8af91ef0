package server_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// A change that the bus refuses, of the site that comes first, holds up no other
// site, is a problem that says what helps, and what it says does help.
func TestRefusedChangeStopsNoOtherSite(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	first := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("par1")))(t)
	enrol(t, p, "lon1")
	other := enrol(t, p, "par1")
	db := must(pgx.Connect(t.Context(), url))(t)
	defer db.Close(context.Background()) //nolint:errcheck // a test's own
	poison(t, db, first.ID)

	m := p.machine(t, "par1", "m1", "52:54:00:00:03:01")
	other.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeMachine && c.Key == string(m.ID) })
	waiting := p.machine(t, "lon1", "m2", "52:54:00:00:03:02")
	problem := p.awaitProblem(t, sprout.ChangeRefused)
	if problem.Site != first.ID || problem.Name != "lon1" || !strings.Contains(problem.Remedy, "sprout agent token create lon1") || !strings.Contains(problem.Evidence, "bytes") {
		t.Errorf("problem: %+v", problem)
	}
	anew := enrol(t, p, "lon1") // as the remedy says
	anew.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeMachine && c.Key == string(waiting.ID) })
	p.awaitNoProblem(t, sprout.ChangeRefused)
}

// poison leaves a change in a site's outbox that is larger than any message.
func poison(t *testing.T, db *pgx.Conn, site sprout.SiteID) {
	t.Helper()
	if _, err := db.Exec(t.Context(), `
		WITH s AS (UPDATE site SET outbox_seq = outbox_seq + 1 WHERE id = $1 RETURNING outbox_seq)
		INSERT INTO outbox (site, seq, kind, key, deleted, body) SELECT $1, outbox_seq, 'record', 'large', false, to_jsonb(repeat('x', 5000000)) FROM s`, site); err != nil {
		t.Fatal(err)
	}
}

func (p plane) problems(t *testing.T) func() ([]sprout.Problem, error) {
	t.Helper()
	return func() ([]sprout.Problem, error) {
		return client.List(t.Context(), p.admin, api.ProblemList, api.ListProblems{}, 0)
	}
}

// awaitProblem returns the open problem of the code.
func (p plane) awaitProblem(t *testing.T, code sprout.Code) (found sprout.Problem) {
	t.Helper()
	eventually(t, p.problems(t), func(list []sprout.Problem) bool {
		for _, found = range list {
			if found.Code == code {
				return true
			}
		}
		return false
	})
	return found
}

func (p plane) awaitNoProblem(t *testing.T, code sprout.Code) {
	t.Helper()
	eventually(t, p.problems(t), func(list []sprout.Problem) bool {
		for _, found := range list {
			if found.Code == code {
				return false
			}
		}
		return true
	})
}
