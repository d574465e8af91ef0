// Package storetest gives tests a store on a real PostgreSQL: one private
// server a test binary, one database a test, copied from a template that was
// migrated once.
package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sprout"
	"sprout/postgres"
	"sprout/store"
)

// template is the name of the migrated database that tests copy.
const template = "sprout_template"

// A Cluster is the PostgreSQL server of a test binary.
type Cluster struct {
	dir    string
	server *postgres.Server
	made   atomic.Int64
}

// shared is the cluster of this test binary: made by the first test that asks,
// ended by Main. It is the one place where a test package keeps state, because
// package testing has no other place for what tests share.
var shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
}

// Main runs a package's tests and stops the server that they used. Call it from
// TestMain:
//
//	func TestMain(m *testing.M) { storetest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// New makes a store on a fresh database for one test. It needs Main.
func New(tb testing.TB) *store.Store {
	tb.Helper()
	return NewWith(tb, store.Config{})
}

// NewWith is New with a configuration; a missing key is made.
func NewWith(tb testing.TB, config store.Config) *store.Store {
	tb.Helper()
	pool := NewPool(tb)
	if config.Key.IsZero() {
		config.Key = Key(tb)
	}
	return store.New(pool, config)
}

// NewPool makes a pool on a fresh, migrated database for one test.
func NewPool(tb testing.TB, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	tb.Helper()
	url := NewURL(tb)
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		tb.Fatal(err)
	}
	c.MaxConns = 16
	for _, f := range change {
		f(c)
	}
	pool, err := pgxpool.NewWithConfig(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// NewURL makes a fresh, migrated database for one test and returns its address.
func NewURL(tb testing.TB) string {
	tb.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = Start(context.Background()) })
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	url, drop, err := shared.cluster.Database(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := drop(); err != nil {
			tb.Error(err)
		}
	})
	return url
}

// Dir makes a directory for one test that PostgreSQL can reach, whoever runs it.
func Dir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sprout-pg-") //nolint:usetesting // t.TempDir is reachable by its owner only
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// Start starts a server in a temporary folder and migrates its template.
func Start(ctx context.Context) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "sprout-pg-")
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	server, err := postgres.Start(ctx, postgres.Config{Dir: dir, Log: quiet, Unsafe: true})
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	c := &Cluster{dir: dir, server: server}
	if err := c.migrate(ctx, quiet); err != nil {
		_ = c.Stop()
		return nil, err
	}
	return c, nil
}

// Stop ends the server and removes its folder.
func (c *Cluster) Stop() error {
	err := c.server.Stop()
	if rm := os.RemoveAll(c.dir); err == nil {
		err = rm
	}
	return err
}

func (c *Cluster) migrate(ctx context.Context, log *slog.Logger) error {
	if err := c.admin(ctx, `CREATE DATABASE `+template); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, c.server.DatabaseURL(template))
	if err != nil {
		return err
	}
	defer pool.Close() // the template must have no connection when it is copied
	return store.Migrate(ctx, pool, log)
}

// Database copies the template and returns its address and what removes it.
func (c *Cluster) Database(ctx context.Context) (url string, drop func() error, err error) {
	name := fmt.Sprintf("test_%d", c.made.Add(1))
	if err := c.admin(ctx, `CREATE DATABASE `+name+` TEMPLATE `+template); err != nil {
		return "", nil, err
	}
	drop = func() error { return c.admin(context.Background(), `DROP DATABASE `+name+` WITH (FORCE)`) }
	return c.server.DatabaseURL(name), drop, nil
}

// admin runs one statement. Copies of one template at the same time may find it
// in use: those are tried again.
func (c *Cluster) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, c.server.DatabaseURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing was left to say
	for try := 0; ; try++ {
		_, err = conn.Exec(ctx, sql)
		if err == nil || try == 50 || !strings.Contains(err.Error(), "is being accessed by other users") {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Key is the key that stores of New seal with.
func Key(tb testing.TB) store.Key {
	tb.Helper()
	key, err := store.NewKey([]byte("01234567890123456789012345678901"))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// Site makes a site with the name.
func Site(tb testing.TB, s *store.Store, name string) sprout.Site {
	tb.Helper()
	var site sprout.Site
	err := s.Tx(tb.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
		site, err = s.CreateSite(ctx, tx, sprout.Site{Name: name, Domain: name + ".example"})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return site
}

// Machine makes a registered machine with one interface of the MAC address.
func Machine(tb testing.TB, s *store.Store, site sprout.SiteID, name, mac string) sprout.Machine {
	tb.Helper()
	var m sprout.Machine
	err := s.Tx(tb.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
		m, err = s.CreateMachine(ctx, tx, sprout.Machine{
			Site: site, Name: name, State: sprout.Registered,
			Interfaces: []sprout.Interface{{Name: "eno1", MAC: mac, Boot: true}},
		}, "test")
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}
