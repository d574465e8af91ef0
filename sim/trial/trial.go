// Package trial measures a whole installation under load: it brings up a private
// control plane and the agents of so many sites, takes simulated machines
// (package sim) from unknown to deployed as an operator would, by the API, lets
// faults happen, and reports how long every step took and what it cost. It knows
// the API and where processes are started; it must not know how they work inside.
package trial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/pprof"
	"sync"
	"time"

	"sprout"
	"sprout/client"
	"sprout/sim"
	"sprout/wan"
)

// A Goal is how far every machine is to come.
type Goal string

// The goals, each of which includes those before it.
const (
	Discover   Goal = "discover"   // the control plane has its inventory
	Commission Goal = "commission" // it is ready
	Deploy     Goal = "deploy"     // its installed system has phoned home
	All        Goal = "all"        // and it is released again, its disks erased
)

// Goals lists every goal in their order.
var Goals = []Goal{Discover, Commission, Deploy, All}

// A Config says what is to be tried. Zero values work, but for Machines.
type Config struct {
	Sites       int           // 0: 1
	Machines    int           // in all, spread over the sites
	Goal        Goal          // empty: deploy
	Link        wan.Weather   // between the agents and the control plane
	Faults      []Fault       // that happen meanwhile
	Seed        uint64        // of the faults and of what the link does
	Concurrency int           // machines under way at once; 0: 200
	ByStage     bool          // no machine goes on before all are as far as it
	Within      time.Duration // a boot storm: all machines are powered on within it, evenly; 0: so many at once
	Patience    time.Duration // for each stage of one machine; 0: 40 minutes, longer than each timeout of the product
	ResetAfter  time.Duration // after which somebody resets a machine that is not discovered; 0: 5 minutes
	// Limits are how long steps of the product may take on the machines' model,
	// by the step's name, each a minute at least; nil: what the product says.
	Limits map[string]time.Duration
	// Ended is called with the end of every machine, from many goroutines; nil:
	// nobody is told.
	Ended func(Result)
	Dir   string // holds everything while it runs; empty: a new one, removed at the end
	// Heap is where a profile of what lives on the heap is written after each
	// stage, or at the end where stages are not apart; empty: nowhere.
	Heap string
	// Profile is the file that a CPU profile is written to; empty: none.
	Profile string
	// Progress is called every second until the end; nil: nobody is told.
	Progress func(Progress)
	Log      *slog.Logger // nil: nothing is logged
	// Edge is of the control plane, so that a test sees every answer.
	Edge func(http.Handler) http.Handler
}

const (
	mostSites       = 180  // each has a /16 of 127.0.0.0/8
	mostConcurrency = 1000 // a list of workflows has at most so many
)

// Check refuses what cannot be tried: Invalid, with the flag's name as field.
func (c Config) Check() error {
	switch {
	case c.Machines < 1:
		return sprout.InvalidField("--machines", "%d must be at least 1", c.Machines)
	case c.Sites < 1 || c.Sites > mostSites:
		return sprout.InvalidField("--sites", "%d must be from 1 to %d: each has a /16 of 127.0.0.0/8", c.Sites, mostSites)
	case c.Concurrency < 1 || c.Concurrency > mostConcurrency:
		return sprout.InvalidField("--concurrency", "%d must be from 1 to %d", c.Concurrency, mostConcurrency)
	case c.Machines/c.Sites > 25_000:
		return sprout.InvalidField("--machines", "%d machines a site are more than its /16 has room for", c.Machines/c.Sites).WithRemedy("--sites %d", c.Machines/25_000+1)
	}
	if c.Within < 0 {
		return sprout.InvalidField("--within", "%s is no time to power machines on in", c.Within)
	}
	if c.stages() == nil {
		return sprout.InvalidField("--workflow", "%q is not one of %v", c.Goal, Goals)
	}
	for i, f := range c.Faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("fault %d: %w", i+1, err)
		}
		if err := c.checkSite(f.Site); err != nil {
			return fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	return c.Link.Check("--link")
}

// checkSite refuses a site that the trial does not have.
func (c Config) checkSite(name string) error {
	if name == "" {
		return nil
	}
	for i := range max(c.Sites, 1) {
		if siteName(i) == name {
			return nil
		}
	}
	return sprout.InvalidField("site", "there is no site %q: they are %s to %s", name, siteName(0), siteName(max(c.Sites, 1)-1))
}

func (c Config) withDefaults() Config {
	if c.Sites == 0 {
		c.Sites = 1
	}
	if c.Goal == "" {
		c.Goal = Deploy
	}
	if c.Concurrency == 0 {
		c.Concurrency = 200
	}
	c.Concurrency = min(c.Concurrency, max(c.Machines, 1))
	if c.Patience == 0 {
		c.Patience = 40 * time.Minute
	}
	if c.ResetAfter == 0 {
		c.ResetAfter = 5 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// A trial is one that runs.
type trial struct {
	Config
	ground *ground
	client *client.Client
	watch  *watch
	score  *score
	image  sprout.Image
	rack   *sim.Rack

	limiting sync.Mutex
	limited  bool

	beside  context.Context // of what happens to machines at a time
	delayed sync.WaitGroup
}

// The user of every simulated BMC.
const bmcUser, bmcPassword = "admin", "simulated"

// Run tries it and reports. When ctx ends the report is of what was done until
// then, and says so. The error is what kept the trial from being made at all.
func Run(ctx context.Context, c Config) (Report, error) {
	t, err := begin(ctx, c.withDefaults())
	if err != nil {
		return Report{}, err
	}
	defer t.down()
	report, err := t.run(ctx)
	if err == nil {
		t.weigh(&report.Cost)
	}
	return report, err
}

// begin brings up all that the machines need, and none of them. Take it down.
func begin(ctx context.Context, c Config) (_ *trial, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := allowFiles(c.files()); err != nil {
		return nil, err
	}
	t := &trial{Config: c, score: newScore(c)}
	if t.ground, err = lay(ctx, c, t.score); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.down()
		}
	}()
	if t.client, err = client.New(client.Config{URL: t.ground.access.URL, Token: t.ground.access.Token, UserAgent: "sprout-sim/" + sprout.Version}); err != nil {
		return t, err
	}
	if t.image, err = t.prepare(ctx); err != nil {
		return t, err
	}
	t.watch = newWatch(t.client)
	t.rack = sim.NewRack(bmcUser, bmcPassword, c.Log.With("process", "rack"))
	return t, nil
}

// down takes everything down again.
func (t *trial) down() {
	t.unplug()
	t.ground.close()
}

// run takes every machine to the goal, beside those who watch and measure.
func (t *trial) run(ctx context.Context) (Report, error) {
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	gauge, err := newGauge()
	if err != nil {
		return Report{}, err
	}
	t.score.begin(time.Now())
	t.score.sample(gauge.read(time.Now()))
	var helpers sync.WaitGroup
	ctx, deaf := context.WithCancelCause(ctx)
	defer deaf(nil)
	helpers.Go(func() {
		if err := t.watch.run(beside); err != nil {
			deaf(fmt.Errorf("cannot hear from the control plane: %w", err))
		}
	})
	helpers.Go(func() { t.ground.schedule(beside, t.Faults, t.score) })
	helpers.Go(func() { t.measure(beside, gauge) })
	profile := startProfile()
	t.beside = beside
	pprof.Do(ctx, pprof.Labels(partLabel, "machines"), t.manageAll)
	stop()
	helpers.Wait()
	t.delayed.Wait()
	parts, err := profile.end(t.Profile)
	if err != nil {
		return Report{}, err
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return Report{}, err
	}
	t.score.finish(time.Now(), ctx.Err() != nil)
	t.score.sample(gauge.read(time.Now()))
	return t.report(parts), nil
}

// manageAll takes every machine to the goal.
func (t *trial) manageAll(ctx context.Context) {
	subjects := make([]*subject, t.Machines)
	for i := range subjects {
		subjects[i] = t.subject(i)
	}
	rounds := [][]stage{t.stages()}
	if t.ByStage {
		rounds = nil
		for _, one := range t.stages() {
			rounds = append(rounds, []stage{one})
		}
	}
	for n, round := range rounds {
		every := time.Duration(0)
		if n == 0 {
			every = t.Within / time.Duration(t.Machines)
		}
		t.manageRound(ctx, subjects, round, every, n == len(rounds)-1)
		t.keepHeap(string(round[len(round)-1].goal))
	}
}

// manageRound takes every machine that is still on its way through stages: so
// many at once, or one more after each time.
func (t *trial) manageRound(ctx context.Context, subjects []*subject, round []stage, every time.Duration, last bool) {
	slots := make(chan struct{}, t.Concurrency)
	if every > 0 {
		slots = make(chan struct{}, t.Machines)
	}
	var all sync.WaitGroup
	defer all.Wait()
	began := time.Now()
	for i, s := range subjects {
		if sprout.Pause(ctx, time.Until(began.Add(time.Duration(i)*every))) != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		all.Go(func() {
			defer func() { <-slots }()
			t.manage(ctx, s, round, last)
		})
	}
}

// measureEvery is the distance of the samples in the report's plots.
const measureEvery = time.Second

func (t *trial) measure(ctx context.Context, g *gauge) {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.score.sample(g.read(now))
			if t.Progress != nil {
				t.Progress(t.score.progress(now))
			}
		}
	}
}
