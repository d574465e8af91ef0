package server_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/api/apitest"
	"sprout/client"
	"sprout/postgres"
	"sprout/server"
	"sprout/store"
	"sprout/store/storetest"
)

// Three replicas in processes of their own are killed with -9, and PostgreSQL and
// the bus under them too, while workflows run. `make test-engine` does it with
// thousands and with the lease and net of production.
func TestKilledWhileWorkflowsRun(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SPROUT_SEED"); s != "" {
		seed = must(strconv.ParseUint(s, 10, 64))(t)
	}
	t.Logf("SPROUT_SEED=%d", seed)
	if n := os.Getenv("SPROUT_WORKFLOWS"); n != "" {
		many := ordeal{seed: seed, workflows: must(strconv.Atoi(n))(t), lease: 30 * time.Second, net: 15 * time.Second, pause: 3 * time.Second, within: 12 * time.Minute}
		for name, kills := range map[string][]string{
			"servers":             {"server", "server", "server", "server", "server", "server", "server", "server"},
			"PostgreSQL and NATS": {"postgres", "hub", "postgres", "hub", "postgres", "hub"},
		} {
			t.Run(name, func(t *testing.T) {
				many.kills = kills
				many.run(t)
			})
		}
		return
	}
	few := ordeal{seed: seed, workflows: 100, lease: 6 * time.Second, net: 2 * time.Second, pause: 400 * time.Millisecond, within: 3 * time.Minute}
	few.kills = []string{"server", "postgres", "server", "hub", "server"}
	few.run(t)
}

// An ordeal is what the replicas go through.
type ordeal struct {
	seed       uint64
	workflows  int
	kills      []string
	lease, net time.Duration
	pause      time.Duration // between two kills, more or less
	within     time.Duration
}

// A death is when a process was not there.
type death struct {
	process  string
	from, to time.Time
}

// A proving ground is the processes, and what is known of them.
type provingGround struct {
	ordeal
	t        *testing.T
	dir      string
	database string
	db       *postgres.Server
	hub      *child
	servers  []*child
	token    string
	site     *answering
	starter  *server.Starter
	plan     []trialPlan
	deaths   []death
}

type trialPlan struct {
	id        string
	in        server.TrialInput
	cancelled bool
}

func (o ordeal) run(t *testing.T) {
	g := &provingGround{ordeal: o, t: t, dir: storetest.Dir(t)}
	defer g.stop()
	g.begin()
	started := time.Now()
	var work sync.WaitGroup
	work.Go(g.startAll)
	work.Go(g.killAll)
	work.Wait()
	g.awaitEnds()
	t.Logf("%d workflows ended in %s, through %d deaths", len(g.plan), time.Since(started).Round(time.Millisecond), len(g.deaths))
	g.check()
}

// begin starts everything, and enrols the site.
func (g *provingGround) begin() {
	t := g.t
	g.startPostgres()
	g.database = g.db.URL()
	must(store.OpenKey(filepath.Join(g.dir, "key")))(t)
	s := must(store.Open(t.Context(), g.db.URL(), 6, store.Config{}))(t)
	if err := store.Migrate(t.Context(), s.Pool(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	g.exec(`CREATE TABLE trial_effect (run text, step text, PRIMARY KEY (run, step))`)
	g.hub = startChild(t, g.child("hub", "nats://"+freePort(t)))
	for i := range 3 {
		g.servers = append(g.servers, startChild(t, g.child(fmt.Sprintf("server%d.0", i), g.hub.Hub)))
	}
	g.token = strings.TrimSpace(string(must(os.ReadFile(filepath.Join(g.dir, "admin-token")))(t)))
	admin := g.admin()
	must(client.Call(t.Context(), admin, api.SiteCreate, siteNamed("lon1")))(t)
	g.site = enrolAnswering(t, admin, g.hub.Hub)
	g.starter = must(server.NewStarter(t.Context(), g.db.URL()))(t)
	chance := rand.New(rand.NewPCG(g.seed, 0))
	for i := range g.workflows {
		g.plan = append(g.plan, trialPlan{
			id:        fmt.Sprintf("wfl_%05d", i),
			in:        server.TrialInput{Site: g.site.site, Seed: chance.Uint64(), Fails: chance.IntN(8) == 0},
			cancelled: chance.IntN(16) == 0 && i < g.workflows-20,
		})
	}
}

// admin is an administrator's client of the first replica.
func (g *provingGround) admin() *client.Client {
	g.t.Helper()
	return must(client.New(client.Config{URL: g.servers[0].said, Token: g.token, HTTP: &http.Client{Transport: apitest.Transport(g.t, nil)}}))(g.t)
}

func (g *provingGround) child(name, hub string) server.Child {
	return server.Child{Name: name, Dir: g.dir, Database: g.database, Hub: hub, Lease: g.lease, Net: g.net}
}

// startPostgres starts one whose commits last, as in production. It is tried until
// it does: after a death of the postmaster its last children hold the data for a
// moment.
func (g *provingGround) startPostgres() {
	g.t.Helper()
	g.insist(func(ctx context.Context) (err error) {
		db, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(g.dir, "pg"), Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			g.db = db
		}
		return err
	})
	if g.db == nil {
		g.t.Fatal("PostgreSQL does not start")
	}
}

// startAll begins the workflows and cancels some; what fails because something
// was killed is tried again, as whoever asks would.
func (g *provingGround) startAll() {
	const lag = 16
	var all sync.WaitGroup
	for part := range 4 {
		all.Go(func() {
			for i := part; i < len(g.plan); i += 4 {
				p := g.plan[i]
				g.insist(func(ctx context.Context) error { return g.starter.Start(ctx, p.id, p.in) })
				if i >= lag && g.plan[i-lag].cancelled { // it has had some time
					g.insist(func(ctx context.Context) error { return g.starter.Cancel(ctx, g.plan[i-lag].id) })
				}
			}
		})
	}
	all.Wait()
}

func (g *provingGround) insist(do func(ctx context.Context) error) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		if sprout.Pause(ctx, 50*time.Millisecond) != nil {
			g.t.Errorf("it cannot be done for a minute: %v", err)
			return
		}
	}
}

// killAll kills one after the other, each at a moment of chance, and starts it
// again.
func (g *provingGround) killAll() {
	chance := rand.New(rand.NewPCG(g.seed, 1))
	for n, what := range g.kills {
		_ = sprout.Pause(g.t.Context(), g.pause/2+time.Duration(chance.Int64N(int64(g.pause))))
		d := death{process: what, from: time.Now()}
		switch what {
		case "postgres":
			g.killPostgres()
			g.startPostgres()
		case "hub":
			g.hub.kill()
			g.hub = startChild(g.t, g.hub.Child)
		default:
			i := chance.IntN(len(g.servers))
			d.process = g.servers[i].Name
			g.servers[i].kill()
			d.to = time.Now() // it is dead, also while the next one starts
			g.servers[i] = startChild(g.t, g.child(fmt.Sprintf("server%d.%d", i, n+1), g.hub.Hub))
		}
		if d.to.IsZero() {
			d.to = time.Now()
		}
		g.deaths = append(g.deaths, d)
		g.t.Logf("killed %s for %s", d.process, time.Since(d.from).Round(time.Millisecond))
	}
}

// killPostgres ends the postmaster with -9; its children follow.
func (g *provingGround) killPostgres() {
	g.t.Helper()
	raw := must(os.ReadFile(filepath.Join(g.dir, "pg", "data", "postmaster.pid")))(g.t)
	first, _, _ := strings.Cut(string(raw), "\n")
	if err := syscall.Kill(must(strconv.Atoi(first))(g.t), syscall.SIGKILL); err != nil {
		g.t.Fatal(err)
	}
	<-g.db.Exited()
}

// awaitEnds returns once every workflow has ended, and the books are closed: all
// that was queued is where it belongs.
func (g *provingGround) awaitEnds() {
	g.t.Helper()
	over := time.Now().Add(g.within)
	for {
		var left, began int64
		var last int64
		err := g.scan(`SELECT count(*) FILTER (WHERE state IN ('running', 'unwinding')), count(*), (SELECT outbox_seq FROM site) FROM workflow`, &left, &began, &last)
		applied, facts := g.site.progress()
		var taken int64
		if err == nil {
			err = g.scan(`SELECT last_fact FROM inbox`, &taken)
		}
		if err == nil && left == 0 && began == int64(len(g.plan)) && applied == last && taken == facts {
			return
		}
		if time.Now().After(over) {
			g.t.Fatalf("%d of %d workflows have not ended; the site applied %d of %d changes, and %d of its %d facts were taken: %v", left, began, applied, last, taken, facts, err)
		}
		_ = sprout.Pause(g.t.Context(), 100*time.Millisecond)
	}
}

func (g *provingGround) scan(sql string, into ...any) error {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	conn, err := pgx.Connect(ctx, g.database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // only read
	return conn.QueryRow(ctx, sql).Scan(into...)
}

func (g *provingGround) exec(sql string, args ...any) {
	g.t.Helper()
	conn := must(pgx.Connect(context.Background(), g.db.URL()))(g.t)
	defer conn.Close(context.Background()) //nolint:errcheck // it is done
	must(conn.Exec(context.Background(), sql, args...))(g.t)
}

// stop ends what was started.
func (g *provingGround) stop() {
	if g.starter != nil {
		g.starter.Close()
	}
	if g.site != nil {
		g.site.stop()
	}
	for _, c := range append(g.servers, g.hub) {
		c.stop(g.t)
	}
	if g.db != nil {
		if err := g.db.Stop(); err != nil {
			g.t.Error(err)
		}
	}
}

// A child is a process of this test binary.
type child struct {
	server.Child
	cmd  *exec.Cmd
	said string // its first line
}

// startChild returns once the child has said that it works. One that cannot yet,
// because what it needs was killed too, is started again.
func startChild(t *testing.T, what server.Child) *child {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; {
		c := &child{Child: what, cmd: exec.Command(os.Args[0])}
		c.cmd.Env = what.Environment()
		c.cmd.Stderr = t.Output()
		// It dies with this process, also where the test is killed.
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out := must(c.cmd.StdoutPipe())(t)
		if err := c.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil {
			c.said = strings.TrimSpace(line)
			return c
		}
		c.kill()
		if time.Now().After(until) {
			t.Fatalf("%s does not start: %v", what.Name, err)
		}
	}
}

// kill ends the process at once.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// stop asks the process to end.
func (c *child) stop(t *testing.T) {
	if c == nil || c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(30*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("%s did not end as asked: %v", c.Name, err)
	}
}
