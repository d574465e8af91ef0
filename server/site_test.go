package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nkeys"

	"sprout"
	"sprout/api"
	"sprout/bus"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// A far is a site's agent as the control plane sees one: it enrols, applies
// changes and sends facts over the real bus. It has no machines.
type far struct {
	t       *testing.T
	enrol   api.Enrolment
	bus     *bus.Site
	mu      sync.Mutex
	applied int64
	facts   int64
	changes []sprout.Change
	came    chan struct{}
	hears   sync.WaitGroup
	deaf    context.CancelFunc
}

func enrol(t *testing.T, p plane, site string) *far {
	t.Helper()
	var ask api.CreateAgentToken
	ask.Body.Site = site
	token := must(client.Call(t.Context(), p.admin, api.AgentTokenCreate, ask))(t)
	user := must(nkeys.CreateUser())(t)
	curve := must(nkeys.CreateCurveKeys())(t)
	var in api.EnrolAgent
	in.Body.Token, in.Body.Name, in.Body.Version, in.Body.Address = token.Secret, "far", "test", "10.20.0.1"
	in.Body.PublicKey, in.Body.SealKey = must(user.PublicKey())(t), must(curve.PublicKey())(t)
	f := &far{t: t, came: make(chan struct{})}
	f.enrol = must(client.Call(t.Context(), p.as(t, ""), api.AgentEnrol, in))(t)
	// The same agent that never got the answer is told the same.
	again := must(client.Call(t.Context(), p.as(t, ""), api.AgentEnrol, in))(t)
	if again.Agent.ID != f.enrol.Agent.ID || again.Token != f.enrol.Token || again.After != f.enrol.After || again.Bus.JWT == "" {
		t.Errorf("enrolled as %+v, and then as %+v", f.enrol, again)
	}
	other := in
	other.Body.PublicKey = must(must(nkeys.CreateUser())(t).PublicKey())(t)
	if _, err := client.Call(t.Context(), p.as(t, ""), api.AgentEnrol, other); sprout.KindOf(err) != sprout.Denied {
		t.Errorf("a token let two agents in: %v", err)
	}
	seed := must(user.Seed())(t)
	f.bus = must(bus.ConnectSite(bus.SiteConfig{
		URL: f.enrol.Bus.URL, Site: f.enrol.Site.ID, Agent: f.enrol.Agent.ID, JWT: f.enrol.Bus.JWT, Seed: seed, Log: slog.New(slog.DiscardHandler),
	}))(t)
	f.hear(f.apply)
	t.Cleanup(func() { f.away(); f.bus.Close() })
	return f
}

// hear takes changes until it is away.
func (f *far) hear(apply func(context.Context, sprout.Change) error) {
	ctx, stop := context.WithCancel(context.Background())
	f.deaf = stop
	f.hears.Go(func() { _ = f.bus.Changes(ctx, bus.OneByOne(apply)) })
}

func (f *far) away() {
	f.deaf()
	f.hears.Wait()
}

// inOrder is apply as a real agent has it: none before its turn.
func (f *far) inOrder(ctx context.Context, c sprout.Change) error {
	f.mu.Lock()
	applied := f.applied
	f.mu.Unlock()
	switch {
	case c.Seq > applied+1:
		return sprout.Errorf(sprout.Conflict, "cannot apply change %d after %d", c.Seq, applied)
	case c.Seq <= applied:
		return nil
	}
	return f.apply(ctx, c)
}

// beat says how far it is.
func (f *far) beat() {
	f.mu.Lock()
	h := sprout.Heartbeat{Agent: f.enrol.Agent.ID, Version: "test", Address: "10.20.0.1", At: time.Now(), Applied: f.applied, Facts: f.facts}
	f.mu.Unlock()
	_ = f.bus.PublishBeat(h) // it says so again
}

func (f *far) apply(_ context.Context, c sprout.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = max(f.applied, c.Seq)
	f.changes = append(f.changes, c)
	close(f.came)
	f.came = make(chan struct{})
	return nil
}

// times is how often the change of the number came.
func (f *far) times(seq int64) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.changes {
		if c.Seq == seq {
			n++
		}
	}
	return n
}

// await returns the first change that fits.
func (f *far) await(fits func(sprout.Change) bool) sprout.Change {
	f.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		came := f.came
		for _, c := range f.changes {
			if fits(c) {
				f.mu.Unlock()
				return c
			}
		}
		f.mu.Unlock()
		select {
		case <-came:
		case <-deadline:
			f.t.Fatalf("the change never came; these did: %+v", f.changes)
		}
	}
}

func (f *far) awaitWork(kind string) sprout.Work {
	f.t.Helper()
	var work sprout.Work
	c := f.await(func(c sprout.Change) bool {
		var w sprout.Work
		return c.Kind == sprout.ChangeWork && json.Unmarshal(c.Body, &w) == nil && w.Kind == kind
	})
	if err := json.Unmarshal(c.Body, &work); err != nil {
		f.t.Fatal(err)
	}
	return work
}

// report sends a fact.
func (f *far) report(kind sprout.FactKind, machine sprout.MachineID, work string, body any) {
	f.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	f.facts++
	fact := sprout.Fact{Seq: f.facts, At: time.Now().UTC(), Kind: kind, Machine: machine, Work: work, Body: raw}
	for range 2 { // a fact that comes twice counts once
		if _, err := f.bus.PublishFacts(f.t.Context(), fact); err != nil {
			f.t.Fatal(err)
		}
	}
}

// eventually asks until ok, for as long as news may take.
func eventually[T any](t *testing.T, ask func() (T, error), ok func(T) bool) T {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		v, err := ask()
		if err == nil && ok(v) {
			return v
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it never came: %+v, %v", v, err)
		}
	}
}

func inventory(mac string) sprout.Inventory {
	return sprout.Inventory{
		At: time.Now().UTC(), Architecture: sprout.AMD64, BootMode: sprout.BIOS, Serial: "SN-" + mac[len(mac)-2:],
		CPU: sprout.CPU{Model: "c", Sockets: 1, Cores: 4, Threads: 4}, MemoryBytes: 4 << 30,
		Disks:      []sprout.Disk{{Name: "vda", Bytes: 8 << 30, Serial: "d1"}},
		Interfaces: []sprout.Interface{{Name: "eth0", MAC: mac, Link: true}},
	}
}

func show(t *testing.T, p plane, name string) func() (sprout.Machine, error) {
	t.Helper()
	return func() (sprout.Machine, error) {
		return client.Call(t.Context(), p.admin, api.MachineShow, api.MachineRef{Machine: name})
	}
}

// A machine boots unknown, is discovered, commissioned, and its workflow is
// followed to its end: every word between centre and site goes over the bus.
func TestDiscoverAndCommission(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	mac := "52:54:00:00:00:01"
	f.report(sprout.FactDiscovered, "", "", sprout.DiscoveredFact{BootMAC: mac, Inventory: inventory(mac)})
	m := eventually(t, show(t, p, "new-sn01"), func(m sprout.Machine) bool { return m.State == sprout.Discovered && m.Inventory != nil })
	if len(m.Interfaces) != 1 || !m.Interfaces[0].Boot {
		t.Errorf("interfaces: %+v", m.Interfaces)
	}
	// It boots again before anybody accepts it: still one machine.
	f.report(sprout.FactDiscovered, "", "", sprout.DiscoveredFact{BootMAC: mac, Inventory: inventory(mac)})

	var bmc api.UpdateMachine
	bmc.Machine, bmc.Body.BMC = "new-sn01", &sprout.BMC{Driver: "redfish", URL: "http://127.0.0.1:1"}
	must(client.Call(t.Context(), p.admin, api.MachineUpdate, bmc))(t)
	var in api.CommissionMachine
	in.Machine = "new-sn01"
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, in))(t)
	work := f.awaitWork("commission")
	if work.Workflow != w.ID || work.Machine != m.ID || work.Generation == 0 {
		t.Fatalf("work: %+v", work)
	}
	if _, err := client.Call(t.Context(), p.admin, api.MachineCommission, in); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("two workflows on one machine: %v", err)
	}
	seen := make(chan sprout.Workflow, 100)
	followed := make(chan error, 1)
	go func() {
		_, err := p.admin.Follow(context.WithoutCancel(t.Context()), w.ID, func(w sprout.Workflow) { seen <- w })
		close(seen)
		followed <- err
	}()
	began := time.Now().UTC().Truncate(time.Microsecond)
	f.report(sprout.FactStep, m.ID, work.ID, sprout.StepRecord{Name: "power-on", At: "site", Attempt: 1, Outcome: "running", StartedAt: began})
	if err := f.bus.PublishLive(sprout.Live{Work: work.ID, Step: "power-on", Progress: &sprout.Progress{Done: 42, Total: 100, Unit: "B", PerSec: 7}}); err != nil {
		t.Fatal(err)
	}
	ended := began.Add(time.Second)
	f.awaitSeen(seen, func(w sprout.Workflow) bool {
		return w.Progress != nil && w.Progress.Done == 42 && w.Step == "power-on"
	})
	f.report(sprout.FactStep, m.ID, work.ID, sprout.StepRecord{Name: "power-on", At: "site", Attempt: 1, Outcome: "done", StartedAt: began, EndedAt: &ended})
	f.report(sprout.FactPower, m.ID, work.ID, sprout.PowerOn)
	f.report(sprout.FactTests, m.ID, work.ID, []sprout.TestResult{{Test: "cpu-load", Kind: "cpu", Device: "cpu", Outcome: sprout.Passed, At: began, Seconds: 1}})
	f.report(sprout.FactWorkEnded, m.ID, work.ID, sprout.WorkResult{State: sprout.Succeeded})
	f.awaitSeen(seen, func(w sprout.Workflow) bool {
		return w.State == sprout.Succeeded && stepOutcome(w, "power-on") == "done"
	})
	if err := <-followed; err != nil {
		t.Error(err)
	}
	m = eventually(t, show(t, p, "new-sn01"), func(m sprout.Machine) bool { return m.State == sprout.Ready })
	if m.Power != sprout.PowerOn || len(m.Tests) != 1 || m.Activity != nil {
		t.Errorf("machine: %+v", m)
	}
	if all := must(client.List(t.Context(), p.admin, api.MachineList, api.ListMachines{}, 0))(t); len(all) != 1 {
		t.Errorf("one machine became %d", len(all))
	}
}

func stepOutcome(w sprout.Workflow, name string) string {
	for _, s := range w.Steps {
		if s.Name == name && s.At == "site" {
			return s.Outcome
		}
	}
	return ""
}

func (f *far) awaitSeen(seen <-chan sprout.Workflow, ok func(sprout.Workflow) bool) {
	f.t.Helper()
	deadline := time.After(20 * time.Second)
	var last sprout.Workflow
	for {
		select {
		case w, open := <-seen:
			if !open {
				f.t.Fatalf("the workflow ended as %s before it was seen so: %+v", last.State, last)
			}
			if last = w; ok(w) {
				return
			}
		case <-deadline:
			f.t.Fatalf("it was never seen so; last: %+v", last)
		}
	}
}

// A workflow that fails at its site leaves a problem, and a retry succeeds.
func TestFailAndRetry(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	var create api.CreateMachine
	create.Body = api.NewMachine{Site: "lon1", Name: "m1", MACs: []string{"52:54:00:00:00:02"}, BMC: &sprout.BMC{Driver: "redfish", URL: "http://127.0.0.1:1", Username: "u", Password: "p"}}
	m := must(client.Call(t.Context(), p.admin, api.MachineCreate, create))(t)
	if m.BMC == nil || m.BMC.Password != "" {
		t.Errorf("BMC: %+v", m.BMC)
	}
	var in api.CommissionMachine
	in.Machine = "m1"
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, in))(t)
	work := f.awaitWork("commission")
	f.report(sprout.FactWorkEnded, m.ID, work.ID, sprout.WorkResult{State: sprout.FailedRun, Failure: &sprout.Failure{Code: sprout.BMCUnreachable, Step: "power-on", Reason: "no route"}})
	failed := must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t)
	if failed.State != sprout.FailedRun || failed.Error == nil || failed.Error.Code != sprout.BMCUnreachable {
		t.Fatalf("workflow: %+v", failed)
	}
	m = must(show(t, p, "m1")())(t)
	if len(m.Problems) != 1 || m.Problems[0].Code != sprout.BMCUnreachable || m.Problems[0].Remedy == "" {
		t.Errorf("problems: %+v", m.Problems)
	}
	must(client.Call(t.Context(), p.admin, api.WorkflowRetry, api.WorkflowRef{Workflow: string(w.ID)}))(t)
	again := f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork && c.Key == string(w.ID)+"/2" })
	f.report(sprout.FactWorkEnded, m.ID, again.Key, sprout.WorkResult{State: sprout.Succeeded})
	if done := must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t); done.State != sprout.Succeeded {
		t.Fatalf("workflow: %+v", done)
	}
	if m = must(show(t, p, "m1")())(t); len(m.Problems) != 0 || m.State != sprout.Ready {
		t.Errorf("machine is %s with %+v", m.State, m.Problems)
	}
}

// A heartbeat shows an agent as online, and one that lags is sent again what
// the bus lost.
func TestHeartbeatRepairsWhatTheBusLost(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeSite })
	beat := time.NewTicker(time.Second) // an agent's come by the clock
	defer beat.Stop()
	deadline := time.After(20 * time.Second)
	for again := f.times(1) + 1; f.times(1) < again; {
		// It claims to have applied nothing, for longer than a site may lag.
		if err := f.bus.PublishBeat(sprout.Heartbeat{Agent: f.enrol.Agent.ID, Version: "test", Address: "10.20.0.1", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-beat.C:
		case <-deadline:
			t.Fatal("change 1 was not sent again")
		}
	}
	agents := must(client.List(t.Context(), p.admin, api.AgentList, api.ListOfSite{OfSite: api.OfSite{Site: "lon"}}, 0))(t)
	if len(agents) != 1 || !agents[0].Online || agents[0].LastSeen == nil {
		t.Errorf("agents: %+v", agents)
	}
}

// A control plane that dies with every job of River lost goes on where it was:
// what a workflow is stands in its own row.
func TestRestartWithoutJobsLosesNothing(t *testing.T) {
	url, dir, port := storetest.NewURL(t), t.TempDir(), freePort(t)
	same := func(c *server.Config) { c.Database.URL, c.Dir, c.Bus.Listen = url, dir, port }
	p := run(t, same)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:00:03")
	var in api.CommissionMachine
	in.Machine = "m1"
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, in))(t)
	work := f.awaitWork("commission")
	p.stop()

	conn := must(pgx.Connect(t.Context(), url))(t)
	if _, err := conn.Exec(t.Context(), `DELETE FROM river.river_job`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `UPDATE workflow SET next_at = now(), run = jsonb_set(run, '{nextAt}', to_jsonb(now())) WHERE id = $1`, w.ID); err != nil {
		t.Fatal(err)
	}
	version := func() (v int64, err error) {
		err = conn.QueryRow(t.Context(), `SELECT version FROM workflow WHERE id = $1`, w.ID).Scan(&v)
		return v, err
	}
	before := must(version())(t)
	p = run(t, same)
	eventually(t, version, func(v int64) bool { return v > before }) // nobody signalled it: it was found
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, error) { return f.bus.Connected(), nil }, func(up bool) bool { return up })
	f.report(sprout.FactWorkEnded, m.ID, work.ID, sprout.WorkResult{State: sprout.Succeeded})
	if done := must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t); done.State != sprout.Succeeded {
		t.Fatalf("workflow: %+v", done)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close() //nolint:errcheck // only its number was wanted
	return l.Addr().String()
}
