// Package dev runs a whole control plane on one machine: a private PostgreSQL,
// an embedded bus, the server, and if asked an agent that enrols as a remote
// one would. It wires other packages and has no rules of its own.
package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"sprout"
	"sprout/agent"
	"sprout/postgres"
	"sprout/server"
)

// A Config says how to run a control plane on one machine.
type Config struct {
	Dir       string        // holds everything; made if missing, used again if not
	Listen    string        // host:port of the API
	BusListen string        // host:port of the bus
	Agent     *agent.Config // nil: no agent; its Server and Token are filled in
	// Token makes an enrolment token for the agent, once the API answers.
	Token func(ctx context.Context, api Access) (string, error)
	// Ready is called once the API answers.
	Ready func(api Access) error
	// Change alters the server's configuration before it starts; nil: as it is.
	Change func(*server.Config)
	Log    *slog.Logger
}

// Access is where the API is and what opens it.
type Access struct {
	URL   string
	Token string // an administrator's
}

// Run runs it until ctx ends or a part fails, and stops the parts in the
// reverse order of their start: nobody loses its database before it is done.
func Run(ctx context.Context, c Config) (err error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return sprout.InvalidField("--dir", "cannot make it: %v", err)
	}
	db, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(c.Dir, "postgres"), Log: c.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Stop()) }()

	config := server.Defaults()
	config.Dir, config.Listen, config.Log = filepath.Join(c.Dir, "server"), c.Listen, c.Log
	config.Bus.Listen = c.BusListen
	config.Database.URL = db.URL()
	config.TLS.Disable, config.Bus.Plain = true, true // it listens to this machine
	if c.Change != nil {
		c.Change(&config)
	}
	s, err := server.New(ctx, config)
	if err != nil {
		return err
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return s.Run(ctx) })
	parts.Go(func() error { return c.afterStart(ctx, s) })
	parts.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-db.Exited():
			return sprout.Errorf(sprout.Unavailable, "cannot go on: PostgreSQL has stopped")
		}
	})
	return parts.Wait()
}

// afterStart says that the control plane is ready, and runs the agent.
func (c Config) afterStart(ctx context.Context, s *server.Server) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.Started():
	}
	secret, err := os.ReadFile(filepath.Join(c.Dir, "server", "admin-token"))
	if err != nil {
		return fmt.Errorf("cannot read the administrator's token: %w", err)
	}
	api := Access{URL: s.URL(), Token: strings.TrimSpace(string(secret))}
	if c.Ready != nil {
		if err := c.Ready(api); err != nil {
			return err
		}
	}
	if c.Agent == nil {
		return nil
	}
	a := *c.Agent
	a.Server, a.Log = api.URL, c.Log
	if a.Token, err = c.Token(ctx, api); err != nil {
		return err
	}
	return agent.Run(ctx, a)
}
