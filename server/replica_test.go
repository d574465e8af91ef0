package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/bus"
	"sprout/client"
	"sprout/server"
	"sprout/store"
	"sprout/store/storetest"
)

// Two replicas share a database and a bus. Both answer and drive; each piece of
// work is given out and ended once; one goes away and the other goes on.
func TestTwoReplicas(t *testing.T) {
	url, dir := storetest.NewURL(t), t.TempDir()
	hub, _ := startHubAt(t, url, dir, "127.0.0.1:0")
	first := run(t, replica(t, "first", url, dir, hub.URL()))
	second := run(t, replica(t, "second", url, dir, hub.URL()))
	must(client.Call(t.Context(), first.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, first, "lon1")
	const each = 6
	commission := func(p plane, from int) (started []sprout.Workflow) {
		for i := range each {
			m := p.machine(t, "lon1", fmt.Sprintf("m%d", from+i), fmt.Sprintf("52:54:00:00:02:%02d", from+i))
			in := api.CommissionMachine{MachineRef: api.MachineRef{Machine: string(m.ID)}}
			started = append(started, must(client.Call(t.Context(), p.admin, api.MachineCommission, in))(t))
		}
		return started
	}
	end := func(p plane, list []sprout.Workflow) {
		t.Helper()
		for _, w := range list {
			key := string(w.ID) + "/1"
			f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork && c.Key == key })
			f.report(sprout.FactWorkEnded, w.Machine, key, sprout.WorkResult{State: sprout.Succeeded})
		}
		for _, w := range list {
			if done := must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t); done.State != sprout.Succeeded {
				t.Errorf("workflow %s is %s", w.ID, done.State)
			}
		}
	}
	var half [2][]sprout.Workflow
	var both sync.WaitGroup
	both.Go(func() { half[0] = commission(first, 0) })
	both.Go(func() { half[1] = commission(second, each) })
	both.Wait()
	end(first, half[1]) // each follows what the other began
	end(second, half[0])
	left := commission(first, 2*each)
	first.stop()
	end(second, left)

	// It seals what waits, so the queries below see every record.
	if check := must(client.Call(t.Context(), second.admin, api.AuditVerify, api.VerifyAudit{}))(t); !check.Intact {
		t.Errorf("audit: %+v", check)
	}
	db := must(pgx.Connect(t.Context(), url))(t)
	defer db.Close(t.Context()) //nolint:errcheck // only read
	for what, sql := range map[string]string{
		"pieces of work were given out twice":  `SELECT count(*) FROM (SELECT key FROM outbox WHERE kind = 'work' GROUP BY key HAVING count(*) > 1) twice`,
		"workflows did not end exactly once":   `SELECT count(*) FROM workflow w WHERE 1 <> (SELECT count(*) FROM audit a WHERE a.subject = w.id AND a.action = 'workflow commission')`,
		"steps were taken more than once":      `SELECT count(*) FROM (SELECT w.id FROM workflow w, jsonb_array_elements(w.run -> 'steps') s GROUP BY w.id, s ->> 'name' HAVING count(*) > 1) twice`,
		"numbers are missing in the outbox":    `SELECT s.outbox_seq - count(o.seq) FROM site s JOIN outbox o ON o.site = s.id GROUP BY s.outbox_seq`,
		"workflows are not there, or too many": fmt.Sprintf(`SELECT count(*) - %d FROM workflow WHERE state = 'succeeded'`, 3*each),
	} {
		var n int64
		if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d %s (%v)", n, what, err)
		}
	}
}

// startHubAt runs a bus of its own, with the keys that the replicas will find.
func startHubAt(t *testing.T, url, dir, at string) (*bus.Server, bus.Config) {
	t.Helper()
	key := must(store.OpenKey(filepath.Join(dir, "key")))(t)
	s := must(store.Open(t.Context(), url, 6, store.Config{Key: key}))(t)
	defer s.Close()
	keys := must(server.BusKeys(t.Context(), s))(t)
	config := bus.Config{Dir: filepath.Join(dir, "hub"), Listen: at, Keys: keys, Log: slog.New(slog.DiscardHandler)}
	hub := must(bus.StartServer(config))(t)
	t.Cleanup(func() { hub.Close(context.Background()) })
	return hub, config
}

// replica configures a server that shares database, bus, key of secrets and
// first token with others.
func replica(t *testing.T, name, url, dir, hub string) func(*server.Config) {
	return func(c *server.Config) {
		c.Database.URL, c.Bus.URL, c.Dir, c.Admin = url, hub, filepath.Join(dir, name), filepath.Join(dir, "admin-token")
		copyKey(t, dir, c.Dir)
	}
}

func copyKey(t *testing.T, from, to string) {
	t.Helper()
	raw := must(os.ReadFile(filepath.Join(from, "key")))(t)
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "key"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
