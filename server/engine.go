package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"sprout"
	"sprout/store"
	"sprout/workflow"
)

const (
	workers = 50 // steps that may be taken at once
	// A run that is overdue by lostAfter has no job any more: the net of
	// netEvery gives it a new one.
	netEvery  = 10 * time.Second
	lostAfter = 10 * time.Second
	// Nobody needs a job for what is due later than that, and most often not at
	// all any more: the net finds it.
	jobWithin = 20 * time.Second
)

// An advance is River's job: call Advance on a run once it is due.
type advance struct {
	Run string `json:"run"`
}

// Kind is the stored name of the job.
func (advance) Kind() string { return "advance" }

// A driver makes River call the engine: a save of a run that is to go on inserts
// a job for then, in the transaction of the save. A job that comes too early or
// twice does nothing, so nothing has to be withdrawn. While a worker has a run,
// it needs no other job: the worker goes on by itself, and the net catches what a
// process had that died. It also finds what was due late when it was saved.
type driver struct {
	river.WorkerDefaults[advance]
	store  *store.Store
	log    *slog.Logger
	river  *river.Client[pgx.Tx]
	engine *workflow.Engine[pgx.Tx]
	ready  func()

	netEvery, lostAfter time.Duration
}

func newDriver(s *store.Store, log *slog.Logger) (*driver, error) {
	d := &driver{store: s, log: log, netEvery: netEvery, lostAfter: lostAfter}
	all := river.NewWorkers()
	if err := river.AddWorkerSafely(all, d); err != nil {
		return nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(s.Pool()), &river.Config{
		Schema: store.RiverSchema, Workers: all, JobTimeout: -1, Logger: quiet(log), FetchCooldown: 20 * time.Millisecond,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		CompletedJobRetentionPeriod: time.Hour,
	})
	d.river = client
	return d, err
}

// quiet keeps River's own information, which repeats every few seconds, out of
// our log.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(levelHandler{log.Handler()}) }

type levelHandler struct{ slog.Handler }

func (h levelHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// Run works until ctx ends. A step in flight is interrupted then: its claim
// ends, and another replica, or the next start, takes it again.
func (d *driver) Run(ctx context.Context) error {
	// River gets a context of its own, or it would fail its jobs on the way out.
	if err := d.river.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	d.catchLost(ctx, time.Now())
	d.recognise(ctx)
	d.ready()
	for sprout.Pause(ctx, d.netEvery) == nil {
		d.catchLost(ctx, time.Now().Add(-d.lostAfter))
		d.recognise(ctx) // an older replica may have parked it after we started
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return d.river.StopAndCancel(grace)
}

// catchLost gives jobs to the runs that were due before a time.
func (d *driver) catchLost(ctx context.Context, before time.Time) {
	due, err := d.store.RunsDue(ctx, before, time.Now(), 1000)
	if err != nil && ctx.Err() == nil {
		d.log.Warn("cannot look for lost jobs", "error", err)
	}
	for _, id := range due {
		err := d.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return d.insert(ctx, tx, string(id), time.Time{}) })
		if err != nil && ctx.Err() == nil {
			d.log.Warn("cannot give a lost workflow a job", "workflow", id, "error", err)
		}
	}
}

// recognise has runs go on whose step an older version did not know.
func (d *driver) recognise(ctx context.Context) {
	parked, err := d.store.RunsUnknown(ctx, 1000)
	if err != nil && ctx.Err() == nil {
		d.log.Warn("cannot look for parked workflows", "error", err)
	}
	for _, id := range parked {
		if did, err := d.engine.Recognise(ctx, string(id)); err != nil && ctx.Err() == nil {
			d.log.Warn("cannot have a parked workflow go on", "workflow", id, "error", err)
		} else if did {
			d.log.Info("workflow goes on: this version knows its step", "workflow", id)
		}
	}
}

func (d *driver) insert(ctx context.Context, tx pgx.Tx, run string, at time.Time) error {
	opts := &river.InsertOpts{}
	if time.Until(at) > 0 {
		opts.ScheduledAt = at
	}
	_, err := d.river.InsertTx(ctx, tx, advance{Run: run}, opts)
	return err
}

// Work is called by River: it takes steps as long as the run is due. What comes
// later has a job of its own by then, saved together with what came of the step.
func (d *driver) Work(ctx context.Context, job *river.Job[advance]) error {
	ctx = context.WithValue(ctx, workingKey{}, job.Args.Run)
	for {
		next, ended, err := d.engine.Advance(ctx, job.Args.Run)
		if sprout.KindOf(err) == sprout.NotFound {
			return nil // its site was deleted
		}
		if err != nil || ended || next.IsZero() || next.After(time.Now()) {
			return err // River tries again
		}
	}
}

type workingKey struct{} // the run that a worker has

// needsJob tells whether nobody would go on with a run that is saved like this.
func needsJob(ctx context.Context, run workflow.Run) bool {
	switch {
	case run.State.Ended(), run.NextAt.IsZero():
		return false
	case run.Claim != nil:
		return false // its worker does
	case time.Until(run.NextAt) > jobWithin:
		return false
	}
	return ctx.Value(workingKey{}) != run.ID || run.NextAt.After(time.Now())
}

// runs is the engine's store. It takes part in the transaction that withTx put
// into a context, and else makes one of its own.
func (d *driver) runs() workflow.Store[pgx.Tx] { return runs{d} }

type runs struct{ *driver }

type originKey struct{}

// withOrigin says what a run that is about to be started is about.
func withOrigin(ctx context.Context, o store.Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// Get returns a run, as the transaction of withTx sees it where there is one.
func (r runs) Get(ctx context.Context, id string) (workflow.Run, error) {
	return ledger{r.store}.in(ctx).GetRun(ctx, id)
}

// Create keeps a new run; its origin comes with ctx.
func (r runs) Create(ctx context.Context, run workflow.Run, effects ...workflow.Effect[pgx.Tx]) error {
	origin, ok := ctx.Value(originKey{}).(store.Origin)
	if !ok {
		return errors.New("cannot start a workflow without its origin")
	}
	return r.keep(ctx, run, effects, func(ctx context.Context, tx pgx.Tx) error { return r.store.CreateRun(ctx, tx, run, origin) })
}

// Save replaces a run.
func (r runs) Save(ctx context.Context, run workflow.Run, effects ...workflow.Effect[pgx.Tx]) error {
	return r.keep(ctx, run, effects, func(ctx context.Context, tx pgx.Tx) error { return r.store.SaveRun(ctx, tx, run) })
}

func (r runs) keep(ctx context.Context, run workflow.Run, effects []workflow.Effect[pgx.Tx], write workflow.Effect[pgx.Tx]) error {
	return ledger{r.store}.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := write(ctx, tx); err != nil {
			return err
		}
		for _, effect := range effects {
			if err := effect(ctx, tx); err != nil {
				return err
			}
		}
		if !needsJob(ctx, run) {
			return nil
		}
		return r.insert(ctx, tx, run.ID, run.NextAt)
	})
}
