package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"sprout"
	"sprout/store"
	"sprout/workflow"
)

// riverSchema is where River keeps its jobs, away from our tables.
const riverSchema = "river"

// rescueEvery is how often runs are looked for whose job was lost.
const rescueEvery = 15 * time.Second

// originKey carries a new run's store.Origin to Create.
type originKey struct{}

// withOrigin says what the run that is started with ctx is about.
func withOrigin(ctx context.Context, o store.Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// A runStore keeps the centre's runs in PostgreSQL, each save together with the
// River job that calls Advance next.
type runStore struct {
	store *store.Store
	jobs  *river.Client[pgx.Tx]
}

// Get implements workflow.Store.
func (r *runStore) Get(ctx context.Context, id string) (workflow.Run, error) {
	return r.store.GetRun(ctx, id)
}

// Create implements workflow.Store; ctx carries the origin (withOrigin).
func (r *runStore) Create(ctx context.Context, run workflow.Run, effects ...workflow.Effect[pgx.Tx]) error {
	origin, ok := ctx.Value(originKey{}).(store.Origin)
	if !ok {
		return sprout.Errorf(sprout.Internal, "cannot create workflow %s: nobody said what it is about", run.ID)
	}
	return r.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := r.store.CreateRun(ctx, tx, run, origin); err != nil {
			return err
		}
		return r.finish(ctx, tx, run, effects)
	})
}

// Save implements workflow.Store.
func (r *runStore) Save(ctx context.Context, run workflow.Run, effects ...workflow.Effect[pgx.Tx]) error {
	return r.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := r.store.SaveRun(ctx, tx, run); err != nil {
			return err
		}
		return r.finish(ctx, tx, run, effects)
	})
}

func (r *runStore) finish(ctx context.Context, tx pgx.Tx, run workflow.Run, effects []workflow.Effect[pgx.Tx]) error {
	for _, effect := range effects {
		if err := effect(ctx, tx); err != nil {
			return err
		}
	}
	if run.State.Ended() || run.NextAt.IsZero() || run.Claim != nil {
		return nil
	}
	_, err := r.jobs.InsertTx(ctx, tx, advanceArgs{Workflow: run.ID}, &river.InsertOpts{ScheduledAt: run.NextAt})
	return err
}

// advanceArgs is the job "advance this workflow".
type advanceArgs struct {
	Workflow string `json:"workflow"`
}

// Kind implements river.JobArgs; stored for ever.
func (advanceArgs) Kind() string { return "workflow-advance" }

// An advancer works River's jobs.
type advancer struct {
	river.WorkerDefaults[advanceArgs]
	engine *workflow.Engine[pgx.Tx]
}

// Timeout implements river.Worker: a step ends at its own deadline.
func (a *advancer) Timeout(*river.Job[advanceArgs]) time.Duration { return -1 }

// Work takes one step. The save of that step made the job for the next one; a
// job that comes too early or too late finds nothing due.
func (a *advancer) Work(ctx context.Context, job *river.Job[advanceArgs]) error {
	_, _, err := a.engine.Advance(ctx, job.Args.Workflow)
	if err != nil && sprout.KindOf(err) == sprout.NotFound {
		return river.JobCancel(err)
	}
	return err
}

// A driver has River call Advance on the engine.
type driver struct {
	store  *store.Store
	jobs   *river.Client[pgx.Tx]
	log    *slog.Logger
	worker *advancer
}

// newDriver makes the driver; worker.engine is set before Run.
func newDriver(s *store.Store, log *slog.Logger) (*driver, error) {
	d := &driver{store: s, log: log, worker: &advancer{}}
	workers := river.NewWorkers()
	river.AddWorker(workers, d.worker)
	var err error
	d.jobs, err = river.NewClient(riverpgxv5.New(s.Pool()), &river.Config{
		Schema: riverSchema, Workers: workers, Logger: quiet(log),
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 50}},
		FetchCooldown:               20 * time.Millisecond,
		JobTimeout:                  -1,
		RescueStuckJobsAfter:        time.Hour,
		MaxAttempts:                 1000,
		RetryPolicy:                 retrySoon{},
		CompletedJobRetentionPeriod: 10 * time.Minute,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make the driver of workflows: %w", err)
	}
	return d, nil
}

// runs is where the engine keeps its runs.
func (d *driver) runs() *runStore { return &runStore{store: d.store, jobs: d.jobs} }

// quiet keeps River's own chatter out of the log: what matters is in the runs.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(levelled{log.Handler(), slog.LevelWarn})
}

type levelled struct {
	slog.Handler
	least slog.Level
}

func (l levelled) Enabled(ctx context.Context, at slog.Level) bool {
	return at >= l.least && l.Handler.Enabled(ctx, at)
}

// retrySoon tries a job again after a second: what it advances keeps its own
// backoff.
type retrySoon struct{}

// NextRetry implements river.ClientRetryPolicy.
func (retrySoon) NextRetry(*rivertype.JobRow) time.Time { return time.Now().Add(time.Second) }

// Run drives the engine until ctx ends, and finds runs whose job was lost: a
// process that was killed in the middle of a step leaves a claim that ends.
func (d *driver) Run(ctx context.Context) error {
	if err := d.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	d.log.Info("engine started")
	tick := time.NewTicker(rescueEvery)
	defer tick.Stop()
	for {
		if err := d.rescue(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("cannot look for lost jobs", "error", err)
		}
		select {
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			defer d.log.Info("engine stopped")
			return d.jobs.StopAndCancel(stop)
		case <-tick.C:
		}
	}
}

// rescue makes jobs for runs that are overdue.
func (d *driver) rescue(ctx context.Context) error {
	late, err := d.store.RunsDue(ctx, time.Now().Add(-rescueEvery), 1000)
	if err != nil {
		return err
	}
	for _, id := range late {
		if _, err := d.jobs.Insert(ctx, advanceArgs{Workflow: string(id)}, nil); err != nil {
			return err
		}
	}
	return nil
}
