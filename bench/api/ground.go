package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sprout/postgres"
)

// A ground is what benches stand on: a private PostgreSQL, a server process of
// its own that is reached over HTTP on loopback, and a fleet of machines.
type ground struct {
	dir      string
	binary   string
	db       *postgres.Server
	pool     *pgxpool.Pool // the peer's way to the same database
	server   *exec.Cmd
	url      string
	token    string
	http     *http.Client
	machines int
}

func newGround(ctx context.Context, binary string, machines int) (_ *ground, err error) {
	g := &ground{machines: machines, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	if g.binary, err = filepath.Abs(binary); err != nil {
		return g, err
	}
	if g.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return g, err
	}
	if err := os.Chmod(g.dir, 0o755); err != nil { // PostgreSQL runs as somebody else
		return g, err
	}
	if g.db, err = postgres.Start(ctx, postgres.Config{Dir: filepath.Join(g.dir, "postgres"), Log: slog.New(slog.DiscardHandler)}); err != nil {
		return g, err
	}
	config, err := pgxpool.ParseConfig(g.db.URL())
	if err != nil {
		return g, err
	}
	config.MaxConns = 16 // as many as the server has
	if g.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return g, err
	}
	if err := g.serve(ctx); err != nil {
		return g, err
	}
	return g, g.settle(ctx)
}

// serve starts the server process and waits until it is ready.
func (g *ground) serve(ctx context.Context) error {
	api, err := freePort()
	if err != nil {
		return err
	}
	bus, err := freePort()
	if err != nil {
		return err
	}
	config := map[string]any{
		"listen": api, "dir": filepath.Join(g.dir, "server"), "tls": map[string]any{"disable": true},
		"database": map[string]any{"url": g.db.URL()}, "bus": map[string]any{"listen": bus, "plain": true},
		"limits": map[string]any{"tokenRate": -1}, // one token does the work of many
	}
	raw, err := json.Marshal(config) // JSON is YAML
	if err != nil {
		return err
	}
	file := filepath.Join(g.dir, "server.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(g.dir, "server.log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has it
	g.server = exec.Command(g.binary, "server", "--config", file)
	g.server.Stdout, g.server.Stderr = log, log
	if err := g.server.Start(); err != nil {
		return fmt.Errorf("cannot start the server: %w", err)
	}
	g.url = "http://" + api
	for wait := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := g.get(ctx, "/readyz"); err == nil {
			break
		} else if time.Now().After(wait) || ctx.Err() != nil {
			return fmt.Errorf("the server is not ready: %w; see %s", err, log.Name())
		}
	}
	secret, err := os.ReadFile(filepath.Join(g.dir, "server", "admin-token"))
	g.token = strings.TrimSpace(string(secret))
	return err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// get reads an answer to its end.
func (g *ground) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+g.token)
	answer, err := g.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() // read to its end
	raw, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered %s: %.200s", path, answer.Status, raw)
	}
	return raw, err
}

// settle makes the fleet: machines with an inventory, two interfaces, a BMC and
// three test results each.
func (g *ground) settle(ctx context.Context) error {
	for _, sql := range []string{
		`INSERT INTO site (id, name, domain) VALUES ('sit_bench', 'lon1', 'lon1.internal')`,
		`INSERT INTO machine (site, id, name, state, power, boot_mode, tags, labels, pool, inventory)
		 SELECT 'sit_bench', 'mch_' || lpad(n::text, 26, '0'), 'web-' || n, (ARRAY['ready', 'deployed', 'registered'])[1 + n % 3], 'on', 'uefi',
		        ARRAY['ssd'], jsonb_build_object('rack', 'r' || n % 400, 'env', 'prod'), 'web', jsonb_build_object(
		          'at', '2026-01-01T00:00:00Z', 'architecture', 'amd64', 'bootMode', 'uefi', 'vendor', 'Dell Inc.', 'model', 'PowerEdge R650', 'serial', 'S' || n,
		          'cpu', jsonb_build_object('model', 'Xeon Gold 6338', 'sockets', 2, 'cores', 64, 'threads', 128), 'memoryBytes', 274877906944,
		          'dimms', (SELECT jsonb_agg(jsonb_build_object('slot', 'A' || i, 'bytes', 34359738368, 'vendor', 'Samsung')) FROM generate_series(1, 8) i),
		          'disks', (SELECT jsonb_agg(jsonb_build_object('name', 'nvme' || i || 'n1', 'serial', 'D' || n || '-' || i, 'model', 'PM9A3', 'bytes', 1920383410176, 'rotational', false)) FROM generate_series(0, 3) i),
		          'interfaces', '[]'::jsonb,
		          'pci', (SELECT jsonb_agg(jsonb_build_object('address', '0000:' || i || ':00.0', 'vendor', '8086', 'device', '1592', 'class', '020000', 'driver', 'ice')) FROM generate_series(10, 21) i))
		 FROM generate_series(1, $1) n`,
		`INSERT INTO interface (site, machine, mac, position, name, boot, driver, link, speed_mbs)
		 SELECT 'sit_bench', 'mch_' || lpad(n::text, 26, '0'), ('02' || lpad(to_hex(p), 2, '0') || lpad(to_hex(n), 8, '0'))::macaddr, p, 'eno' || p, p = 0, 'ice', true, 25000
		 FROM generate_series(1, $1) n, generate_series(0, 1) p`,
		`INSERT INTO bmc (site, machine, driver, url, username)
		 SELECT 'sit_bench', 'mch_' || lpad(n::text, 26, '0'), 'redfish', 'https://10.0.0.5', 'root' FROM generate_series(1, $1) n`,
		`INSERT INTO test_result (site, machine, test, kind, device, outcome, metrics, at, seconds)
		 SELECT 'sit_bench', 'mch_' || lpad(n::text, 26, '0'), t, 'disk', 'nvme0n1', 'passed', '[{"name":"throughput","value":3200,"unit":"MB/s"}]', now(), 12
		 FROM generate_series(1, $1) n, unnest(ARRAY['disk-read', 'disk-smart', 'memory']) t`,
		`VACUUM ANALYZE`,
	} {
		var args []any
		if strings.Contains(sql, "$1") {
			args = []any{g.machines}
		}
		if _, err := g.pool.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("cannot make the fleet: %w", err)
		}
	}
	return nil
}

// close ends what was started and removes what it left.
func (g *ground) close() error {
	var failed error
	if g.server != nil && g.server.Process != nil {
		_ = g.server.Process.Signal(syscall.SIGTERM)
		_ = g.server.Wait()
	}
	if g.pool != nil {
		g.pool.Close()
	}
	if g.db != nil {
		failed = g.db.Stop()
	}
	if g.dir != "" {
		failed = errors.Join(failed, os.RemoveAll(g.dir))
	}
	return failed
}
