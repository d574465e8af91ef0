package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sprout/api/apitest"
	"sprout/server"
	"sprout/sim"
	"sprout/store/storetest"
	"sprout/wan"
)

// storyKey is where testscript keeps the story.
type storyKey struct{}

// A story is one world: a control plane, its WAN, its sites and their machines.
type story struct {
	dir      string // of the processes' data; the script has its own
	ports    *portBook
	database string
	log      *slog.Logger
	logged   *record
	said     *record // what commands printed, but for tokens that are shown once

	server *process
	url    string // of the control plane
	token  string // of its administrator

	busAt     string                          // where the control plane's embedded bus listens
	api, bus  *wan.Relay                      // what lies between agents and control plane
	wan       wan.Relays                      // both
	edge      func(http.Handler) http.Handler // of each control plane
	sites     map[string]*site
	rack      *sim.Rack
	squatters map[string]*sim.Squatters // by site
	watches   map[string]*watch         // by name
	seen      map[string]int            // entries of each machine's journal that were awaited
	journal   journal                   // of the site that was alone last
	strangers map[string]netip.Addr     // what hosts that nobody knows were leased meanwhile, by MAC
}

// authority is the file of the control plane's own certificates.
func (s *story) authority() string { return filepath.Join(s.dir, "server", "ca.crt") }

// begin makes a world for a story and arranges its end.
func begin(env *testscript.Env, cluster *storetest.Cluster, ports *portBook) (err error) {
	url, drop, err := cluster.Database(context.Background())
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sprout-story-")
	if err != nil {
		return err
	}
	logged := &record{}
	log := slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := &story{
		dir: dir, ports: ports, database: url, log: log, logged: logged, said: &record{}, sites: map[string]*site{}, squatters: map[string]*sim.Squatters{},
		rack: sim.NewRack(bmcUser, bmcPassword, log.With("process", "rack")), seen: map[string]int{}, watches: map[string]*watch{},
		strangers: map[string]netip.Addr{},
	}
	t, ok := env.T().(testing.TB)
	if !ok {
		return errors.New("a story is told to another than a test")
	}
	s.edge = apitest.Edge(t)
	env.Values[storyKey{}] = s
	env.Defer(func() {
		s.end()
		if err := drop(); err != nil {
			env.T().Log(err)
		}
		_ = os.RemoveAll(dir)
		if t.Failed() {
			env.T().Log(s.epilogue())
		}
	})
	for _, r := range []**wan.Relay{&s.api, &s.bus} {
		if *r, err = wan.Listen("127.0.0.1:0", wan.Weather{}, 0, nil); err != nil {
			return err
		}
		s.wan = append(s.wan, *r)
	}
	busPorts, err := ports.take(busAddress, 1)
	if err != nil {
		return err
	}
	s.busAt = netip.AddrPortFrom(busAddress, busPorts[0]).String()
	s.bus.Lead(s.busAt)
	return s.startServer()
}

// end stops everything: machines first, so that nobody asks who is gone.
func (s *story) end() {
	for _, w := range s.watches {
		w.stop()
	}
	s.rack.Close()
	for _, site := range s.sites {
		site.stop()
	}
	if s.server != nil {
		s.server.stop()
	}
	s.wan.Close()
}

// epilogue is what was logged, for a story that went wrong.
func (s *story) epilogue() string {
	var lines []string
	for line := range strings.Lines(s.logged.String()) {
		if !strings.Contains(line, "level=DEBUG") || strings.Contains(line, "process=machine") || strings.Contains(line, "process=agent") {
			lines = append(lines, line)
		}
	}
	const most = 120
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return "the log's end:\n" + strings.Join(lines, "")
}

func (s *story) startServer() error {
	config := server.Defaults()
	config.Listen, config.Dir = "127.0.0.1:0", filepath.Join(s.dir, "server")
	config.Database = server.DatabaseConfig{URL: s.database, Connections: 8}
	config.Bus = server.BusConfig{Listen: s.busAt, Announce: "nats://" + s.bus.Address()}
	config.Log, config.Edge = s.log.With("process", "server"), s.edge
	control, err := server.New(context.Background(), config)
	if err != nil {
		return fmt.Errorf("cannot start the control plane: %w", err)
	}
	s.server = start(control.Run)
	if err := s.server.await(control.Started()); err != nil {
		return fmt.Errorf("cannot start the control plane: %w", err)
	}
	s.url = control.URL()
	s.api.Lead(strings.TrimPrefix(s.url, "https://"))
	token, err := os.ReadFile(filepath.Join(config.Dir, "admin-token"))
	if err != nil {
		return err
	}
	s.token = strings.TrimSpace(string(token))
	return nil
}

func tellRestartServer(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 0, "restart-server")
	s.server.stop()
	ts.Check(s.startServer())
}

// A process is something that runs in a goroutine until it is stopped.
type process struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // read only after ended
}

func start(run func(context.Context) error) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = run(ctx)
	}()
	return p
}

// await waits until the process is ready; it fails if it ends before.
func (p *process) await(ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-p.ended:
		return fmt.Errorf("it ended: %w", p.err)
	}
}

func (p *process) stop() {
	p.cancel()
	<-p.ended
}

// A record keeps what is logged.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}
