package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/bus"
	"sprout/provision"
	"sprout/store"
	"sprout/workflow"
)

// The test of death runs these in processes of their own: the test binary
// starts itself with this variable set to a Child as JSON.
const childVariable = "SPROUT_TEST_CHILD"

// A Child is one process that may be killed: a replica of the control plane, or
// the bus.
type Child struct {
	Name     string
	Dir      string // shared; each child has a folder of its own name in it
	Database string
	Hub      string // URL of the bus, and where the hub listens
	Lease    time.Duration
	Net      time.Duration // how often it looks for lost jobs
}

// RunChild runs what the environment says, until a signal; false if it says
// nothing.
func RunChild() (code int, ok bool) {
	raw := os.Getenv(childVariable)
	if raw == "" {
		return 0, false
	}
	var c Child
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := json.Unmarshal([]byte(raw), &c)
	if err == nil && c.Name == "hub" {
		err = c.runHub(ctx)
	} else if err == nil {
		err = c.runServer(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, c.Name+":", err)
		return 1, true
	}
	return 0, true
}

// Environment is what the process of the child is started with.
func (c Child) Environment() []string {
	raw, _ := json.Marshal(c) // of our own types
	return append(os.Environ(), childVariable+"="+string(raw))
}

// log is a file of the child's own: what it depends on dies, and it says so often.
func (c Child) log() (*slog.Logger, error) {
	f, err := os.Create(filepath.Join(c.Dir, c.Name+".log"))
	return slog.New(slog.NewTextHandler(f, nil)), err
}

// runHub is the bus alone.
func (c Child) runHub(ctx context.Context) error {
	key, err := store.OpenKey(filepath.Join(c.Dir, "key"))
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, c.Database, 6, store.Config{Key: key})
	if err != nil {
		return err
	}
	keys, err := BusKeys(ctx, s)
	s.Close()
	if err != nil {
		return err
	}
	log, err := c.log()
	if err != nil {
		return err
	}
	hub, err := bus.StartServer(bus.Config{Dir: filepath.Join(c.Dir, "hub"), Listen: strings.TrimPrefix(c.Hub, "nats://"), Keys: keys, Log: log})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	hub.Close(context.WithoutCancel(ctx))
	return nil
}

// runServer is a whole replica, whose engine knows the workflow of the test beside
// its own.
func (c Child) runServer(ctx context.Context) error {
	config := Defaults()
	config.Dir, config.Listen, config.Admin = filepath.Join(c.Dir, c.Name), "127.0.0.1:0", filepath.Join(c.Dir, "admin-token")
	config.Database.URL, config.Bus.URL, config.TLS.Disable = c.Database, c.Hub, true
	var err error
	if config.Log, err = c.log(); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(c.Dir, "key"))
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(config.Dir, 0o755), os.WriteFile(filepath.Join(config.Dir, "key"), key, 0o600)); err != nil {
		return err
	}
	s, err := New(ctx, config)
	if err != nil {
		return err
	}
	calls, err := os.OpenFile(filepath.Join(c.Dir, c.Name+".calls"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer calls.Close() //nolint:errcheck // every line was written by itself
	if err := s.useTrials(&callLog{file: calls, process: c.Name}, c.Lease); err != nil {
		return err
	}
	s.driver.netEvery, s.driver.lostAfter = c.Net, c.Net
	go func() {
		select {
		case <-s.Started():
			fmt.Println(s.URL())
		case <-ctx.Done():
		}
	}()
	return s.Run(ctx)
}

// useTrials gives the server an engine that knows trials too.
func (s *Server) useTrials(calls *callLog, lease time.Duration) error {
	centre, _, err := newCentre(s.store, s.config.Providers)
	if err != nil {
		return err
	}
	defs := audited(s.store, append(provision.CentreDefinitions[pgx.Tx](centre), trial(s.store, calls))...)
	engine, err := workflow.New(s.driver.runs(), time.Now, s.log, defs...)
	if err != nil {
		return err
	}
	s.engine = engine.WithLease(lease)
	s.driver.engine = s.engine
	return nil
}

// A callLog is what a process did, a line a call and one more for its end, each
// written before the call goes on: what is there survives any death.
type callLog struct {
	mu      sync.Mutex
	file    *os.File
	process string
	last    int64
}

// begin notes a call and returns what notes its end.
func (l *callLog) begin(run, step, way string) (end func(outcome string)) {
	l.mu.Lock()
	l.last++
	id := l.process + "/" + strconv.FormatInt(l.last, 10)
	l.mu.Unlock()
	l.write("begin", id, run, step, way)
	return func(outcome string) { l.write("end", id, run, step, way, outcome) }
}

func (l *callLog) write(words ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now().UTC().Format(time.RFC3339Nano)
	if _, err := l.file.WriteString(at + " " + strings.Join(words, " ") + "\n"); err != nil {
		panic(err) // a call without a record would make the test blind
	}
}

// TrialInput is the input of a trial.
type TrialInput struct {
	Site  sprout.SiteID `json:"site"`
	Seed  uint64        `json:"seed"`
	Fails bool          `json:"fails"`
}

const trialKind = "trial"

// trial is a workflow as Sprout's own are: it writes with its steps, delegates to
// a site and waits for its fact, fails where it is told to, and can be undone.
func trial(s *store.Store, calls *callLog) workflow.Definition[pgx.Tx] {
	t := trials{s, calls}
	limit := 5 * time.Minute
	return workflow.Definition[pgx.Tx]{Kind: trialKind, OnEnd: t.ended, Steps: []workflow.Step[pgx.Tx]{
		{Name: "reserve", Do: t.logged("do", t.effect), Undo: t.logged("undo", t.undoEffect), Timeout: limit, Attempts: 3},
		{Name: "publish", Do: t.logged("do", t.effect), Undo: t.logged("undo", t.undoEffect), Timeout: limit, Attempts: 3},
		{Name: "delegate", Do: t.logged("do", t.delegate), Undo: t.logged("undo", t.undoEffect), Timeout: limit},
		{Name: "finish", Do: t.logged("do", t.finish), Timeout: limit},
	}}
}

type trials struct {
	store *store.Store
	calls *callLog
}

type trialCall = workflow.Call[pgx.Tx]

// logged notes the call's begin and end, and takes some time for it.
func (t trials) logged(way string, do func(context.Context, *trialCall, TrialInput) error) func(context.Context, *trialCall) error {
	return func(ctx context.Context, c *trialCall) error {
		var in TrialInput
		if err := c.Input(&in); err != nil {
			return err
		}
		end := t.calls.begin(c.Run.ID, c.Run.StepName, way)
		chance := rand.New(rand.NewPCG(in.Seed, uint64(c.Run.Step)))
		if err := sprout.Pause(ctx, time.Duration(chance.IntN(400))*time.Millisecond); err != nil {
			end("stopped")
			return err
		}
		err := do(ctx, c, in)
		switch {
		case err == nil:
			end("done")
		case strings.HasPrefix(err.Error(), "not yet"):
			end("waits")
		default:
			end("failed")
		}
		return err
	}
}

// effect is what a step leaves: it can be written once only.
func (t trials) effect(_ context.Context, c *trialCall, _ TrialInput) error {
	c.Commit(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO trial_effect (run, step) VALUES ($1, $2)`, c.Run.ID, c.Run.StepName)
		return err
	})
	return nil
}

func (t trials) undoEffect(_ context.Context, c *trialCall, _ TrialInput) error {
	c.Commit(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM trial_effect WHERE run = $1 AND step = $2`, c.Run.ID, c.Run.StepName)
		return err
	})
	return nil
}

func (t trials) delegate(ctx context.Context, c *trialCall, in TrialInput) error {
	work := c.Run.ID + "/1"
	if _, ok := c.Take(provision.SignalWorkEnded); ok {
		return t.effect(ctx, c, in)
	}
	var sent bool
	if err := c.Data(&sent); err != nil {
		return err
	}
	if !sent {
		c.Commit(func(ctx context.Context, tx pgx.Tx) error {
			return t.store.Replicate(ctx, tx, in.Site, sprout.ChangeWork, work, sprout.Work{ID: work, Kind: trialKind, Workflow: sprout.WorkflowID(c.Run.ID)})
		})
		if err := c.Keep(true); err != nil {
			return err
		}
	}
	return workflow.WaitFor(provision.SignalWorkEnded, time.Minute, "the site")
}

func (t trials) finish(ctx context.Context, c *trialCall, in TrialInput) error {
	if in.Fails {
		return sprout.Fail(sprout.TestFailed, "it was told to", "")
	}
	return t.effect(ctx, c, in)
}

// ended leaves one record of the end.
func (t trials) ended(ctx context.Context, tx pgx.Tx, run workflow.Run) error {
	var in TrialInput
	if err := json.Unmarshal(run.Input, &in); err != nil {
		return err
	}
	return t.store.Audit(ctx, tx, sprout.AuditRecord{Actor: "trial", Site: in.Site, Action: "workflow trial", Subject: run.ID, Outcome: "done", Detail: string(run.State)})
}

// A Starter begins trials as a replica would, and takes no step itself.
type Starter struct {
	store  *store.Store
	engine *workflow.Engine[pgx.Tx]
}

// NewStarter works on the same database as the replicas.
func NewStarter(ctx context.Context, url string) (*Starter, error) {
	s, err := store.Open(ctx, url, 6, store.Config{})
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	d, err := newDriver(s, quiet)
	if err != nil {
		return nil, err
	}
	engine, err := workflow.New(d.runs(), time.Now, quiet, trial(s, nil))
	return &Starter{s, engine}, err
}

// Close closes its pool.
func (s *Starter) Close() { s.store.Close() }

// Start begins a trial; one that was begun by a call whose answer was lost is no
// error.
func (s *Starter) Start(ctx context.Context, id string, in TrialInput) error {
	origin := withOrigin(ctx, store.Origin{Site: in.Site, Actor: "trial"})
	_, err := s.engine.Start(origin, id, trialKind, in, workflow.StartOptions{})
	if sprout.KindOf(err) == sprout.Conflict {
		return nil
	}
	return err
}

// Cancel cancels a trial; one that has ended is no error.
func (s *Starter) Cancel(ctx context.Context, id string) error {
	err := s.engine.Cancel(ctx, id, "trial")
	if sprout.KindOf(err) == sprout.Conflict {
		return nil
	}
	return err
}
