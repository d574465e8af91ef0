package server

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"sprout"
	"sprout/bench"
	"sprout/postgres"
	"sprout/store"
	"sprout/store/storetest"
	"sprout/workflow"
)

const (
	benchRuns  = 300 // workflows, and chains of jobs, that go on at once
	benchSteps = 10  // steps of each
	benchTurns = 5

	// River is fastest here when it looks for jobs this often: tried from 1 to 100 ms.
	bareCooldown = 5 * time.Millisecond
)

// BenchmarkStepsVsRiver measures how many steps a second workflows take whose
// steps do nothing, against River's own jobs that do nothing but insert the next
// one, as many one after the other: what is the least that a durable row of
// steps costs on River. PostgreSQL is one that keeps what it acknowledged.
func BenchmarkStepsVsRiver(b *testing.B) {
	db, err := postgres.Start(b.Context(), postgres.Config{Dir: filepath.Join(storetest.Dir(b), "postgres"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Stop() })
	s, err := store.Open(b.Context(), db.URL(), 16, store.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	if err := store.Migrate(b.Context(), s.Pool(), slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	ours, theirs := stepping(b, s), jobbing(b, s.Pool())
	var sprouts, rivers []float64
	for i := range benchTurns + 1 {
		a, z := ours(), theirs()
		if i > 0 { // the first warms up
			sprouts, rivers = append(sprouts, a), append(rivers, z)
		}
	}
	slices.Sort(sprouts)
	slices.Sort(rivers)
	a, z := sprouts[benchTurns/2], rivers[benchTurns/2]
	if err := (bench.Line{Name: "steps-vs-river", Sprout: a, Peer: "river", Other: z}).Print(os.Stdout); err != nil {
		b.Error(err)
	}
}

// stepping runs the driver, and returns what measures steps a second.
func stepping(b *testing.B, s *store.Store) func() float64 {
	b.Helper()
	d, err := newDriver(s, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	var left atomic.Int64
	ended := make(chan struct{}, 1)
	def := workflow.Definition[pgx.Tx]{Kind: "bench", OnEnd: func(context.Context, pgx.Tx, workflow.Run) error {
		if left.Add(-1) == 0 {
			ended <- struct{}{}
		}
		return nil
	}}
	for i := range benchSteps {
		def.Steps = append(def.Steps, workflow.Step[pgx.Tx]{
			Name: fmt.Sprint("step-", i), Timeout: time.Minute, Do: func(context.Context, *workflow.Call[pgx.Tx]) error { return nil },
		})
	}
	if d.engine, err = workflow.New(d.runs(), time.Now, d.log, audited(s, def)...); err != nil {
		b.Fatal(err)
	}
	ready := make(chan struct{})
	d.ready = func() { close(ready) }
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- d.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			b.Error(err)
		}
	})
	<-ready
	site := storetest.Site(b, s, "lon1")
	return func() float64 {
		left.Store(benchRuns)
		began := time.Now()
		for range benchRuns {
			ctx := withOrigin(b.Context(), store.Origin{Site: site.ID, Actor: "bench"})
			if _, err := d.engine.Start(ctx, sprout.NewID[string](sprout.PrefixWorkflow), "bench", struct{}{}, workflow.StartOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		<-ended
		return benchRuns * benchSteps / time.Since(began).Seconds()
	}
}

// A bareJob is one of a chain of them.
type bareJob struct {
	Left int `json:"left"`
}

func (bareJob) Kind() string { return "bare" }

type bareWorker struct {
	river.WorkerDefaults[bareJob]
	left  atomic.Int64
	ended chan struct{}
}

func (w *bareWorker) Work(ctx context.Context, job *river.Job[bareJob]) error {
	if job.Args.Left == 0 {
		if w.left.Add(-1) == 0 {
			w.ended <- struct{}{}
		}
		return nil
	}
	_, err := river.ClientFromContext[pgx.Tx](ctx).Insert(ctx, bareJob{Left: job.Args.Left - 1}, nil)
	return err
}

// jobbing runs River alone in a database of its own, and returns what measures
// jobs a second.
func jobbing(b *testing.B, near *pgxpool.Pool) func() float64 {
	b.Helper()
	if _, err := near.Exec(b.Context(), `CREATE DATABASE bare`); err != nil {
		b.Fatal(err)
	}
	config := near.Config()
	config.ConnConfig.Database = "bare"
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	driver := riverpgxv5.New(pool)
	tables, err := rivermigrate.New(driver, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := tables.Migrate(b.Context(), rivermigrate.DirectionUp, nil); err != nil {
		b.Fatal(err)
	}
	w, all := &bareWorker{ended: make(chan struct{}, 1)}, river.NewWorkers()
	river.AddWorker(all, w)
	client, err := river.NewClient(driver, &river.Config{
		Workers: all, JobTimeout: -1, Logger: slog.New(slog.DiscardHandler), FetchCooldown: bareCooldown,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := client.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.StopAndCancel(context.Background()) })
	return func() float64 {
		w.left.Store(benchRuns)
		began := time.Now()
		for range benchRuns {
			if _, err := client.Insert(b.Context(), bareJob{Left: benchSteps - 1}, nil); err != nil {
				b.Fatal(err)
			}
		}
		<-w.ended
		return benchRuns * benchSteps / time.Since(began).Seconds()
	}
}
