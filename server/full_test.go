package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/bus"
	"sprout/client"
	"sprout/faults/full"
	"sprout/server"
	"sprout/store"
	"sprout/store/storetest"
)

// A server whose disk is full, with the bus's streams on it, says so by name. It
// refuses what needs room and goes on with all else; once there is room, what the
// bus could not keep is there, each change and each fact once, and nobody had to
// start anything again.
func TestAFullDiskOfAServerHeals(t *testing.T) {
	t.Parallel()
	dir := full.Large(t, 4<<30) // the bus wants a GiB for each stream
	p := run(t, func(c *server.Config) { c.Dir = dir })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	before := p.machine(t, "lon1", "m1", "52:54:00:00:07:01")
	f.await(func(c sprout.Change) bool { return c.Key == string(before.ID) })
	f.report(sprout.FactPower, before.ID, "", sprout.PowerOff)
	eventually(t, show(t, p, "m1"), func(m sprout.Machine) bool { return m.Power == sprout.PowerOff })

	free := full.Fill(t, dir)
	problem := p.awaitProblem(t, sprout.DiskFull)
	if !strings.HasPrefix(problem.Subject, "server:") || !strings.Contains(problem.Evidence, dir) || !strings.Contains(problem.Remedy, "free room") {
		t.Errorf("problem: %+v", problem)
	}
	raw := bytes.Repeat([]byte("an image "), 1<<16)
	_, err := p.admin.ImportImage(t.Context(), api.ImportImage{Name: "large", Content: bytes.NewReader(raw)}, int64(len(raw)))
	if sprout.KindOf(err) != sprout.Unavailable || !strings.Contains(err.Error(), "is full") {
		t.Errorf("an image for which there is no room: %v", err)
	}
	// Facts that the bus cannot keep stay with who sent them; changes stay in PostgreSQL.
	fact, stored := sprout.Fact{Kind: sprout.FactPower, Machine: before.ID, At: time.Now().UTC()}, f.facts
	publish := func() (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // the bus does not answer
		defer cancel()
		return f.bus.PublishFacts(ctx, fact)
	}
	var refused error
	for ; refused == nil && stored < 500; stored++ {
		fact.Seq, fact.Body = stored+1, fmt.Appendf(nil, `"%s"`, []sprout.PowerState{sprout.PowerOn, sprout.PowerOff}[stored%2])
		_, refused = publish()
	}
	if refused == nil {
		t.Errorf("%d facts found room on a full disk", stored)
	}
	during := p.machine(t, "lon1", "m2", "52:54:00:00:07:02")

	free()
	p.awaitNoProblem(t, sprout.DiskFull)
	eventually(t, publish, func(n int) bool { return n == 1 })
	want := []sprout.PowerState{sprout.PowerOn, sprout.PowerOff}[(stored-1)%2]
	eventually(t, show(t, p, "m1"), func(m sprout.Machine) bool { return m.Power == want })
	change := f.await(func(c sprout.Change) bool { return c.Key == string(during.ID) })
	if n := f.times(change.Seq); n != 1 {
		t.Errorf("the change came %d times", n)
	}
	p.awaitNoProblem(t, sprout.ChangeRefused)
	must(p.admin.ImportImage(t.Context(), api.ImportImage{Name: "large", Content: bytes.NewReader(raw)}, int64(len(raw))))(t)
}

// A server and its database whose clocks come apart say so by name, until they
// are together again. Meanwhile everything goes on.
func TestAServersClockThatJumpsHeals(t *testing.T) {
	t.Parallel()
	at := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = at })
	db := must(pgx.Connect(t.Context(), at))(t)
	defer db.Close(context.Background()) //nolint:errcheck // a test's own
	name := pgx.Identifier{db.Config().Database}.Sanitize()
	set := func(sql ...string) {
		t.Helper()
		for _, sql := range append(sql, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`) {
			must(db.Exec(t.Context(), sql))(t)
		}
	}
	// To the server it is the same whose clock was set.
	set(`CREATE SCHEMA late`,
		`CREATE FUNCTION late.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.clock_timestamp() - interval ''1 hour'''`,
		`ALTER DATABASE `+name+` SET search_path = late, pg_catalog, public`)
	problem := p.awaitProblem(t, sprout.ClockWrong)
	if !strings.HasPrefix(problem.Subject, "server:") || !strings.Contains(problem.Reason, "1h0m0s apart") || !strings.Contains(problem.Remedy, "NTP") {
		t.Errorf("problem: %+v", problem)
	}
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	set(`ALTER DATABASE ` + name + ` RESET search_path`)
	p.awaitNoProblem(t, sprout.ClockWrong)
}

// limitStreams sets what the streams of a control plane's bus may hold, as an
// operator of the bus would; 0: the usual.
func limitStreams(t *testing.T, database, dir, at string, bytes int64) {
	t.Helper()
	t.Helper()
	key := must(store.OpenKey(dir + "/key"))(t)
	s := must(store.Open(t.Context(), database, 6, store.Config{Key: key}))(t)
	defer s.Close()
	log := slog.New(slog.DiscardHandler)
	keys := must(server.BusKeys(t.Context(), s))(t)
	must(bus.ConnectCentre(t.Context(), bus.CentreConfig{URL: at, Keys: keys, MaxBytes: bytes, Log: log}))(t).Close()
}

// The stream of changes is at its limit and drops what a site that is away has not
// taken. The site gets everything again, by its heartbeats and in order; that the
// limit is too low is a problem by name until it has.
func TestAFullStreamOfChangesHeals(t *testing.T) {
	t.Parallel()
	database, dir := storetest.NewURL(t), t.TempDir()
	p := run(t, func(c *server.Config) { c.Database.URL, c.Dir = database, dir })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	first := p.machine(t, "lon1", "m0", "52:54:00:00:08:00")
	f.await(func(c sprout.Change) bool { return c.Key == string(first.ID) })
	f.away()
	limitStreams(t, database, dir, f.enrol.Bus.URL, 4<<10)
	var last sprout.Machine
	for i := range 20 {
		last = p.machine(t, "lon1", fmt.Sprintf("m%d", i+1), fmt.Sprintf("52:54:00:00:08:%02x", i+1))
	}
	agent := func() (sprout.Agent, error) {
		return client.Call(t.Context(), p.admin, api.AgentShow, api.AgentRef{Agent: "lon1"})
	}
	f.hear(f.inOrder)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		for t.Context().Err() == nil && sprout.Pause(t.Context(), 500*time.Millisecond) == nil {
			f.beat()
		}
	}()
	t.Cleanup(func() { <-beating })
	problem := p.awaitProblem(t, sprout.BusFull)
	if problem.Name != "lon1" || !strings.Contains(problem.Reason, "dropped") || !strings.Contains(problem.Remedy, "more room") {
		t.Errorf("problem: %+v", problem)
	}
	limitStreams(t, database, dir, f.enrol.Bus.URL, 0)
	f.await(func(c sprout.Change) bool { return c.Key == string(last.ID) })
	eventually(t, agent, func(a sprout.Agent) bool { return a.Applied == a.Wanted })
	p.awaitNoProblem(t, sprout.BusFull)
}
