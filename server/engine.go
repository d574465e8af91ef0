package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"sprout"
	"sprout/provision"
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

// An engine is the centre's workflow engine and the River client that drives it.
type engine struct {
	*workflow.Engine[pgx.Tx]
	store *store.Store
	jobs  *river.Client[pgx.Tx]
	log   *slog.Logger
}

// newEngine makes the engine; run drives it.
func newEngine(s *store.Store, c provision.Centre[pgx.Tx], log *slog.Logger) (*engine, error) {
	runs := &runStore{store: s}
	e, err := workflow.New(runs, time.Now, log, provision.CentreDefinitions(c)...)
	if err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &advancer{engine: e})
	runs.jobs, err = river.NewClient(riverpgxv5.New(s.Pool()), &river.Config{
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
		return nil, err
	}
	return &engine{Engine: e, store: s, jobs: runs.jobs, log: log}, nil
}

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

// run drives the engine until ctx ends, and finds runs whose job was lost: a
// process that was killed in the middle of a step leaves a claim that ends.
func (e *engine) run(ctx context.Context) error {
	if err := e.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	e.log.Info("engine started")
	tick := time.NewTicker(rescueEvery)
	defer tick.Stop()
	for {
		if err := e.rescue(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("cannot look for lost jobs", "error", err)
		}
		select {
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			defer e.log.Info("engine stopped")
			return e.jobs.StopAndCancel(stop)
		case <-tick.C:
		}
	}
}

// rescue makes jobs for runs that are overdue.
func (e *engine) rescue(ctx context.Context) error {
	late, err := e.store.RunsDue(ctx, time.Now().Add(-rescueEvery), 1000)
	if err != nil {
		return err
	}
	for _, id := range late {
		if _, err := e.jobs.Insert(ctx, advanceArgs{Workflow: string(id)}, nil); err != nil {
			return err
		}
	}
	return nil
}
