// Package server is the control plane: the API, the engine that runs workflows
// (driven by River), the relay of changes to sites and the consumer of their
// facts. It decides nothing about hardware; the steps are package provision's,
// all SQL is package store's.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"sprout"
	"sprout/bus"
	"sprout/image"
	"sprout/provider"
	"sprout/provision"
	"sprout/store"
	"sprout/trust"
	"sprout/workflow"
)

// A Server is one replica of the control plane. Any number may share a
// database and a bus.
type Server struct {
	config    Config
	log       *slog.Logger
	store     *store.Store
	bus       *bus.Centre
	embedded  *bus.Server // nil with a cluster
	keys      bus.Keys
	authority trust.Authority
	own       *trust.Issuer // of the authority
	fleets    fleets
	images    *image.Store
	outside   *http.Client // that images are fetched with
	providers provider.Set
	engine    *workflow.Engine[pgx.Tx]
	driver    *driver
	hub       *hub
	exports   chan struct{} // holds one for each that runs
	refusals  *refusalBook
	limits    *limits
	issuer    *issuer             // of people's logins; nil: there is none
	used      chan sprout.TokenID // whose use is to be written
	condition *condition
	shown     shown // the API's certificate; nil: it is in the clear
	feed      *feed
	desk      *desk
	queue     *queue
	listener  net.Listener
	http      *http.Server
	ready     readiness
	underway  sync.Map // ids of the requests that are carried out apart
	started   chan struct{}
}

// New opens everything that the server needs: the database (migrated to this
// version), the bus, the image store, and the port of its API. It serves once
// Run is called; Close what was opened if it never is. A wrong config is an
// Invalid error that names the key.
func New(ctx context.Context, config Config) (_ *Server, err error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	s := &Server{config: config, log: config.Log, hub: newHub(), exports: make(chan struct{}, mostExports), used: make(chan sprout.TokenID, usedBatch), started: make(chan struct{})}
	if config.OIDC.Issuer != "" {
		s.issuer = newIssuer(config.OIDC)
	}
	if s.limits, err = newLimits(config.Limits); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.condition = newCondition(s)
	// In the order of need: the database has the keys of the bus and of its
	// certificates, the engine works on both, and the API is opened last, when
	// all can answer.
	for _, open := range []func(context.Context) error{s.openStore, s.openTrust, s.openBus, s.openImages, s.openEngine, s.firstToken, s.openAPI} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) openStore(ctx context.Context) error {
	if err := os.MkdirAll(s.config.Dir, 0o755); err != nil {
		return sprout.InvalidField("dir", "cannot make the directory: %v", err)
	}
	key, err := s.config.OpenKey()
	if err != nil {
		return err
	}
	s.store, err = store.Open(ctx, s.config.Database.URL, s.config.Database.Connections, store.Config{Key: key, SealFor: bus.Seal, Tracer: s.config.Tracer})
	if err != nil {
		return err
	}
	s.feed = newFeed(s.store, s.log)
	s.refusals = newRefusalBook(s.log, s.store.AuditAll)
	return store.Migrate(ctx, s.store.Pool(), s.log)
}

func (s *Server) openImages(context.Context) (err error) {
	allowed, err := s.config.Images.allowed()
	if err != nil {
		return err
	}
	s.outside = image.Outside(allowed)
	s.images, err = image.New(filepath.Join(s.config.Dir, "images"))
	return err
}

func (s *Server) openEngine(context.Context) error {
	centre, providers, err := newCentre(s.store, s.config.Providers)
	if err != nil {
		return err
	}
	s.providers = providers
	s.desk = &desk{store: s.store, shelf: shelf{provider: providers.Alloc}}
	s.queue = newQueue(s)
	s.driver, err = newDriver(s.store, s.log)
	if err != nil {
		return err
	}
	s.engine, err = workflow.New(s.driver.runs(), time.Now, s.log, audited(s.store, provision.CentreDefinitions[pgx.Tx](centre)...)...)
	if err != nil {
		return err
	}
	s.engine.WithGate(s.config.Gate).OnPark(centre.parked)
	s.driver.engine, s.driver.ready = s.engine, func() { s.ready.set("engine", true) }
	return nil
}

func (s *Server) openAPI(context.Context) (err error) {
	secure, err := s.apiTLS()
	if err != nil {
		return err
	}
	s.listener, err = net.Listen("tcp", s.config.Listen)
	if err != nil {
		return sprout.InvalidField("listen", "cannot listen: %v", err)
	}
	handler := s.Handler()
	if s.config.Edge != nil {
		handler = s.config.Edge(handler)
	}
	s.http = &http.Server{
		Handler: handler, TLSConfig: secure, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	return nil
}

// URL is where the API answers.
func (s *Server) URL() string {
	scheme := "https://"
	if s.config.TLS.Disable {
		scheme = "http://"
	}
	return scheme + s.listener.Addr().String()
}

// BusURL is where agents find the bus.
func (s *Server) BusURL() string {
	switch {
	case s.config.Bus.Announce != "":
		return s.config.Bus.Announce
	case s.embedded != nil:
		return s.embedded.URL()
	}
	return s.config.Bus.URL
}

// Started is closed once every part of Run works.
func (s *Server) Started() <-chan struct{} { return s.started }

// Run serves until ctx ends, and returns once every part has stopped; nil then,
// else what failed first. It closes the server.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	parts, ctx := errgroup.WithContext(ctx)
	for name, run := range map[string]func(context.Context) error{
		"engine": s.driver.Run, "relay": s.relay, "news": s.listen, "events": s.feed.run, "facts": s.takeFacts,
		"live": s.takeLive, "keys": s.forgetKeys, "heartbeats": s.takeBeats, "api": s.serve, "sealer": s.seal, "refusals": s.refusals.run, "uses": s.writeUses, "reseal": s.reseal, "conflicts": s.watchConflicts, "health": s.watchHealth, "allocations": s.queue.run,
	} {
		parts.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("cannot run the %s any longer: %w", name, err)
			}
			return nil
		})
	}
	parts.Go(func() error {
		if s.ready.wait(ctx) {
			close(s.started)
			s.log.Info("control plane is ready", "url", s.URL(), "bus", s.BusURL(), "authority", trust.Fingerprint(s.authority.Certificate), "version", sprout.Version)
		}
		return nil
	})
	err := parts.Wait()
	s.log.Info("control plane has stopped")
	return err
}

// serve answers the API until ctx ends; requests in flight get a few seconds.
func (s *Server) serve(ctx context.Context) error {
	s.http.RegisterOnShutdown(s.hub.close)
	failed := make(chan error, 1)
	go func() {
		if s.http.TLSConfig == nil {
			failed <- s.http.Serve(s.listener)
			return
		}
		failed <- s.http.ServeTLS(s.listener, "", "") // TLSConfig has the certificate
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.http.Shutdown(grace); err != nil {
		_ = s.http.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close lets go of what New opened. Run does it by itself.
func (s *Server) Close() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
	if s.images != nil {
		s.images.Close()
	}
	if s.bus != nil {
		s.bus.Close()
	}
	if s.embedded != nil {
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.embedded.Close(grace)
	}
	if s.store != nil {
		s.store.Close()
	}
}
