package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/boot"
	"sprout/bus"
	dhcp6 "sprout/dhcp/builtin6"
	"sprout/dhcp/kea"
	"sprout/dhcp/rogue"
	dns "sprout/dns/builtin"
	"sprout/dns/zone"
	"sprout/health"
	"sprout/image"
	"sprout/power"
	"sprout/power/crawl"
	"sprout/provision"
	"sprout/sitestore"
	"sprout/trust"
	"sprout/workflow"
)

// A site is a running agent.
type site struct {
	config  Config
	keys    keys
	enrol   enrolment
	log     *slog.Logger
	started time.Time

	store   *sitestore.Store
	images  *image.Store
	tools   tools // of tests
	layouts tools // that make layouts
	engine  *workflow.Engine[*bbolt.Tx]
	bus     *bus.Site
	centre  *http.Client // trusts the control plane
	power   *bmcs
	crawler *crawl.Crawler
	discs   *boot.Discs
	live    *live
	orders  *orders
	boots   *boots
	turns   *turns
	zones   *zone.DB
	policy  *dns.Policy
	seen    lastSeen                     // of ramdisks
	leases  atomic.Pointer[served]       // of IPv4; nil: none runs
	leases6 atomic.Pointer[dhcp6.Server] // of IPv6, likewise
	kea     atomic.Pointer[kea.Server]   // nil: Kea is not the provider

	consoles *consoles
	clock    *health.Clock    // of all that is kept on disk
	asked    asked            // of lookAtClock
	rogues   *rogue.Watch     // of the servers that run now
	troubles *health.Troubles // with this process and its host
}

// Run runs the agent of one site until ctx ends, and returns once everything it
// started has ended: nil after ctx ended. Errors are Invalid (configuration),
// Denied (enrolment) or say what could not be opened.
func Run(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s, err := open(ctx, c)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	err = s.run(ctx)
	s.bus.Close()
	s.power.close()
	s.centre.CloseIdleConnections()
	return errors.Join(err, s.store.Close())
}

// open opens all that is on disk, enrols, and connects. Order matters: the
// store holds the enrolment, the bus needs it, the engine's steps need all.
func open(ctx context.Context, c Config) (_ *site, err error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot use the agent's data directory: %w", err)
	}
	clock := c.Clock
	if clock == nil {
		clock = health.NewClock()
	}
	s := &site{config: c, log: c.Log, started: clock.Now(), orders: newOrders(), clock: clock, troubles: &health.Troubles{Log: c.Log}}
	if s.keys, err = openKeys(c.DataDir); err != nil {
		return nil, err
	}
	if s.images, err = image.New(c.path("images")); err != nil {
		return nil, err
	}
	if s.store, err = sitestore.Open(c.path("site.db"), c.Log); err != nil {
		return nil, err
	}
	s.store.WithClock(s.clock.Now)
	s.zones, s.policy = zone.New(), dns.NewPolicy()
	s.store.Publish(&dns.Names{Zones: s.zones, Agent: c.own(), VRF: c.VRF, Policy: s.policy, Unsigned: c.DNS.Provider == powerdnsProvider, Unseal: s.unseal, Log: c.Log})
	defer func() {
		if err != nil {
			err = errors.Join(err, s.store.Close())
		}
	}()
	if err = s.store.WithChecks(ctx, checks); err != nil {
		return nil, err
	}
	s.sayRefused()
	if s.enrol, err = enrol(ctx, c, s.keys, s.store, c.Log); err != nil {
		return nil, err
	}
	s.live = newLive(s)
	s.boots = newBoots(s)
	s.turns = newTurns(c.Images.AtOnce, int64(c.Images.Bandwidth)*1e6, clock.Now)
	s.turns.slow = cmp.Or(c.SlowTurn, s.turns.slow)
	s.discs = boot.NewDiscs(s.booting())
	records := &recorders{
		attempt: s.store.OpenAttempt, tell: s.boots.tell, now: clock.Now, of: map[sprout.MachineID]*recorder{}, always: map[sprout.MachineID]wantedLine{},
	}
	s.power = newBMCs(s.boots, s.unseal, c.Log)
	s.power.record = records.begin
	s.crawler = crawl.New(c.Log, clock.Now)
	s.consoles = &consoles{
		power: func(id sprout.MachineID) (power.Provider, error) { return s.Power(ctx, id) }, say: func(l sprout.Live) error { return s.bus.PublishLive(l) },
		record: records, now: clock.Now, open: map[sprout.MachineID]*console{},
	}
	s.engine, err = workflow.New[*bbolt.Tx](watched{s.store, s.live.changed}, s.clock.Now, c.Log, provision.SiteDefinitions[*bbolt.Tx](s, c.Limits)...)
	if err != nil {
		return nil, err
	}
	s.engine.WithGate(c.Gate)
	if s.centre, err = s.fetching(); err != nil {
		return nil, err
	}
	s.bus, err = s.connect()
	return s, err
}

// connect joins the bus, which must be of the authority that the centre named
// when the agent enrolled.
func (s *site) connect() (*bus.Site, error) {
	config := bus.SiteConfig{
		URL: cmp.Or(s.config.Bus, s.enrol.Bus.URL), Site: s.enrol.Site.ID, Agent: s.enrol.Agent.ID,
		JWT: s.enrol.Bus.JWT, Seed: s.keys.user, Log: s.log,
	}
	if ca := s.enrol.Bus.CA; ca != "" {
		var err error
		if config.TLS, err = trust.Only([]byte(ca)); err != nil {
			return nil, fmt.Errorf("cannot read the bus's authority: %w", err)
		}
	}
	return bus.ConnectSite(config)
}

// A loop is one thing that the agent does until its context ends.
type loop struct {
	name string
	run  func(context.Context) error
}

// run runs every loop; the first that fails ends all.
func (s *site) run(ctx context.Context) error {
	if err := s.resume(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, l := range []loop{
		{"changes", s.takeChanges},
		{"facts", s.forwardFacts},
		{"heartbeat", s.beat},
		{"live", s.live.run},
		{"questions", func(ctx context.Context) error { return s.bus.Questions(ctx, s.answerQuestion) }},
		{"boots", s.boots.run},
		{"turns", s.takeTurns},
		{"host", s.watchHost},
		{"memory", s.letGo},
		{"power", s.power.rest},
		{"consoles", s.consoles.run},
		{"driver", s.drive},
		{"status", s.serveStatus},
		{"network", s.serveNetwork},
	} {
		running.Go(func() {
			s.log.Info("loop started", "loop", l.name)
			err := l.run(ctx)
			if err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("cannot go on with %s: %w", l.name, err))
			}
			s.log.Info("loop stopped", "loop", l.name)
		})
	}
	s.log.Info("agent started", "agent", s.enrol.Agent.ID, "site", s.enrol.Site.Name, "address", s.config.own(), "version", sprout.Version)
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// resume drops the claims of the process before this one, which has died: its
// runs go on at once.
func (s *site) resume(ctx context.Context) error {
	ids, err := s.store.LiveRuns("")
	if err != nil {
		return err
	}
	for _, m := range s.store.Machines() {
		if m.RecordConsole {
			s.consoles.record.begin(m.ID) // until it shows that no boot of it is under way
		}
	}
	for _, id := range ids {
		if err := s.engine.Resume(ctx, id); err != nil {
			return fmt.Errorf("cannot resume run %s: %w", id, err)
		}
	}
	if len(ids) > 0 {
		s.log.Info("runs resumed", "runs", len(ids))
	}
	return nil
}

// every calls f each d until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f()
		}
	}
}
