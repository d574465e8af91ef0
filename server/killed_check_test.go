package server_test

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout/api"
	"sprout/client"
)

// claims are what must hold after all the deaths, each as the number of what
// contradicts it.
var claims = []struct{ what, sql string }{
	{"workflows have not ended, or were lost", `
		SELECT count(*) FROM trial_plan p LEFT JOIN workflow w ON w.id = p.run
		WHERE w.id IS NULL OR w.state NOT IN ('succeeded', 'failed', 'cancelled')`},
	{"workflows ended otherwise than they were to", `
		SELECT count(*) FROM trial_plan p JOIN workflow w ON w.id = p.run
		WHERE NOT p.cancelled AND w.state <> CASE WHEN p.fails THEN 'failed' ELSE 'succeeded' END`},
	{"calls of one workflow ran at once", `
		SELECT count(*) FROM trial_call a JOIN trial_call b ON a.run = b.run AND a.id < b.id
		WHERE tstzrange(a.began, a.ended) && tstzrange(b.began, b.ended)`},
	{"calls neither ended nor died with their process", `SELECT count(*) FROM trial_call WHERE ended IS NULL`},
	{"effects are missing, or left behind", `
		SELECT count(*) FROM workflow w WHERE (SELECT count(*) FROM trial_effect e WHERE e.run = w.id) <> CASE w.state WHEN 'succeeded' THEN 4 ELSE 0 END`},
	{"steps were taken again without a death between, while their claim held", `
		SELECT count(*) FROM (SELECT c.*, lead(began) OVER same AS again FROM trial_call c WHERE outcome = 'done'
			WINDOW same AS (PARTITION BY run, step, way ORDER BY began)) c
		WHERE again < began + (SELECT lease FROM trial) AND NOT EXISTS (SELECT FROM trial_death d
			WHERE d.process IN (c.process, 'postgres') AND d.until >= c.began AND d.since <= c.again)`},
	{"steps of a workflow that succeeded were never taken", `
		SELECT count(*) FROM workflow w, unnest(ARRAY ['reserve', 'publish', 'delegate', 'finish']) s
		WHERE w.state = 'succeeded' AND NOT EXISTS (SELECT FROM trial_call c WHERE c.run = w.id AND c.step = s AND c.outcome = 'done')`},
	{"workflows whose end is not on record once", `
		SELECT count(*) FROM trial_plan p WHERE 1 <> (SELECT count(*) FROM audit a WHERE a.subject = p.run AND a.action = 'workflow trial')`},
	{"workflows of which not every end of a step is on record once", `
		SELECT count(*) FROM workflow w WHERE (SELECT count(*) FROM jsonb_array_elements(w.run -> 'steps') s WHERE s ->> 'outcome' <> 'running')
			+ (SELECT count(*) FROM site_step s WHERE s.workflow = w.id AND s.outcome <> 'running') <> (SELECT count(*) FROM audit a WHERE a.subject = w.id AND a.kind = 'workflow')`},
	{"pieces of work were given out more than once", `
		SELECT count(*) FROM (SELECT FROM outbox WHERE kind = 'work' GROUP BY key HAVING count(*) > 1) twice`},
	{"changes were never published", `SELECT count(*) FROM outbox WHERE published_at IS NULL`},
	{"problems are open", `SELECT count(*) FROM problem WHERE cleared_at IS NULL`},
}

// check loads what the processes have written down, and holds it to the claims.
func (g *provingGround) check() {
	t := g.t
	t.Helper()
	db := must(pgx.Connect(t.Context(), g.db.URL()))(t)
	defer db.Close(context.Background()) //nolint:errcheck // only read
	must(db.Exec(t.Context(), `
		CREATE TABLE trial (lease interval);
		CREATE TABLE trial_plan (run text PRIMARY KEY, fails boolean, cancelled boolean);
		CREATE TABLE trial_death (process text, since timestamptz, until timestamptz);
		CREATE TABLE trial_call (id text PRIMARY KEY, process text, run text, step text, way text, began timestamptz, ended timestamptz, outcome text);
		CREATE INDEX ON trial_call (run)`))(t)
	must(db.Exec(t.Context(), `INSERT INTO trial VALUES ($1)`, g.lease))(t)
	var plans, deaths [][]any
	for _, p := range g.plan {
		plans = append(plans, []any{p.id, p.in.Fails, p.cancelled})
	}
	for _, d := range g.deaths {
		deaths = append(deaths, []any{d.process, d.from, d.to})
	}
	calls := g.calls()
	for table, rows := range map[string][][]any{"trial_plan": plans, "trial_death": deaths, "trial_call": calls} {
		columns := map[string][]string{
			"trial_plan": {"run", "fails", "cancelled"}, "trial_death": {"process", "since", "until"},
			"trial_call": {"id", "process", "run", "step", "way", "began", "ended", "outcome"},
		}[table]
		must(db.CopyFrom(t.Context(), pgx.Identifier{table}, columns, pgx.CopyFromRows(rows)))(t)
	}
	var cut, repeated int64
	if err := db.QueryRow(t.Context(), `
		WITH dead AS (UPDATE trial_call c SET ended = d.until FROM trial_death d WHERE c.ended IS NULL AND d.process = c.process RETURNING c.id)
		SELECT (SELECT count(*) FROM dead), (SELECT count(*) FROM (SELECT FROM trial_call WHERE outcome = 'done' GROUP BY run, step, way HAVING count(*) > 1) again)`).Scan(&cut, &repeated); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls; %d were cut off by a death, %d steps were taken again after one", len(calls), cut, repeated)
	// It seals what waits, so the claims below see every record.
	if check := must(client.Call(t.Context(), g.admin(), api.AuditVerify, api.VerifyAudit{}))(t); !check.Intact || check.Records < int64(len(g.plan)) {
		t.Errorf("audit: %+v", check)
	}
	for _, c := range claims {
		var n int64
		if err := db.QueryRow(t.Context(), c.sql).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d %s (%v)", n, c.what, err)
		}
	}
}

// calls reads what every process has noted.
func (g *provingGround) calls() (rows [][]any) {
	g.t.Helper()
	for _, file := range must(filepath.Glob(filepath.Join(g.dir, "*.calls")))(g.t) {
		process := strings.TrimSuffix(filepath.Base(file), ".calls")
		at := map[string]int{}
		f := must(os.Open(file))(g.t)
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			w := strings.Fields(lines.Text()) // when, begin or end, id, run, step, way, outcome
			when := must(time.Parse(time.RFC3339Nano, w[0]))(g.t)
			if w[1] == "begin" {
				at[w[2]] = len(rows)
				rows = append(rows, []any{w[2], process, w[3], w[4], w[5], when, nil, nil})
				continue
			}
			row := rows[at[w[2]]]
			row[6], row[7] = when, w[6]
		}
		_ = f.Close()
	}
	return rows
}
