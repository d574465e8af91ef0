package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sprout"
	"sprout/alloc"
	"sprout/api"
	"sprout/bench"
	"sprout/server"
)

// clients ask at once.
const clients = 64

// A ground is a database with machines that have real inventories, and a control plane
// on it in this process.
type ground struct {
	*bench.Ground
	server   *server.Server
	handler  http.Handler
	token    string
	stop     func() error
	machines int
}

func newGround(ctx context.Context, machines int) (_ *ground, err error) {
	g := &ground{machines: machines}
	if g.Ground, err = bench.NewGround(ctx, clients); err != nil {
		return g, err
	}
	if err = g.serve(ctx, slog.New(slog.DiscardHandler)); err == nil {
		err = g.settle(ctx)
	}
	if err != nil {
		err = errors.Join(err, g.close())
	}
	return g, err
}

// serve runs the control plane, whole.
func (g *ground) serve(ctx context.Context, log *slog.Logger) (err error) {
	c := server.Defaults()
	c.Listen, c.Bus.Listen, c.Dir, c.Log = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(g.Dir, "server"), log
	c.TLS.Disable, c.Bus.Plain, c.Database.URL, c.Limits.TokenRate = true, true, g.DB.URL(), -1
	if g.server, err = server.New(ctx, c); err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- g.server.Run(running) }()
	g.stop = func() error { cancel(); return <-done }
	select {
	case <-g.server.Started():
	case err := <-done:
		done <- nil
		return err
	}
	secret, err := os.ReadFile(filepath.Join(c.Dir, "admin-token"))
	g.token, g.handler = strings.TrimSpace(string(secret)), g.server.Handler()
	return err
}

// inventory is that of a server of today: two processors, 24 modules of memory,
// ten disks, four ports, and sixty devices on its PCI bus.
func inventory() (string, error) {
	inv := sprout.Inventory{
		At: time.Now(), Architecture: sprout.AMD64, BootMode: sprout.UEFI, Vendor: "Acme Corporation", Model: "RackServer 7500", Serial: "AC0012345678",
		UUID: "4c4c4544-0035-4b10-8051-b4c04f4a3732", Firmware: "Acme 2.19.1 06/04/2024",
		CPU: sprout.CPU{Model: "Example(R) Gold 6338 CPU @ 2.00GHz", Sockets: 2, Cores: 64, Threads: 128}, MemoryBytes: 768 << 30,
	}
	for i := range 24 {
		inv.DIMMs = append(inv.DIMMs, sprout.DIMM{Slot: fmt.Sprintf("DIMM_A%d", i), Bytes: 32 << 30, Vendor: "Example Memory", Serial: fmt.Sprintf("%08X", 0x2b4c0000+i)})
	}
	for i := range 10 {
		inv.Disks = append(inv.Disks, sprout.Disk{Name: fmt.Sprintf("nvme%dn1", i), Serial: fmt.Sprintf("S6XYZ%06d", i), WWN: fmt.Sprintf("eui.00253850%08x", i), Model: "Example NVMe 3.84TB", Bytes: 3_840_755_982_336, Bus: "nvme"})
	}
	for i := range 4 {
		inv.Interfaces = append(inv.Interfaces, sprout.Interface{Name: fmt.Sprintf("eno%dnp%d", i, i), MAC: fmt.Sprintf("52:54:00:00:00:%02x", i), Driver: "i40e", Link: true, SpeedMbs: 25_000, PCI: fmt.Sprintf("0000:31:00.%d", i)})
	}
	for i := range 60 {
		inv.PCI = append(inv.PCI, sprout.PCIDevice{Address: fmt.Sprintf("0000:%02x:00.0", i), Vendor: "8086", Device: fmt.Sprintf("%04x", 0x3400+i), Class: "088000", Driver: "pcieport"})
	}
	raw, err := json.Marshal(inv)
	return string(raw), err
}

// settle makes the site and its machines, of eight sizes in ten zones.
func (g *ground) settle(ctx context.Context) error {
	inv, err := inventory()
	if err != nil {
		return err
	}
	if _, err := g.Pool.Exec(ctx, `INSERT INTO site (id, name, domain) VALUES ('sit_bench', 'lon1', 'lon1.internal')`); err != nil {
		return fmt.Errorf("cannot make the site: %w", err)
	}
	if _, err := g.Pool.Exec(ctx, `
		INSERT INTO machine (site, id, name, state, zone, inventory)
		SELECT 'sit_bench', 'mch_' || lpad(n::text, 26, '0'), 'web-' || n, 'ready', 'z' || n % 10, jsonb_set($1::jsonb, '{cpu,cores}', to_jsonb(8 * (1 + n % 8)))
		FROM generate_series(1, $2::int) n`, inv, g.machines); err != nil {
		return fmt.Errorf("cannot make the machines: %w", err)
	}
	_, err = g.Pool.Exec(ctx, `
		INSERT INTO interface (site, machine, mac, position, name, driver, link, speed_mbs)
		SELECT 'sit_bench', m.id, ('06' || lpad(to_hex(4 * m.n + i), 10, '0'))::macaddr, i, 'eno' || i, 'i40e', true, 25000
		FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM machine) m, generate_series(0, 3) i`)
	return err
}

// measure returns how often a second machines were allocated, and rows updated, in
// one round of each.
func (g *ground) measure(ctx context.Context) (rate, bare float64, err error) {
	if rate, err = g.all(ctx, g.allocate); err != nil {
		return 0, 0, err
	}
	bare, err = g.all(ctx, g.update)
	return rate, bare, err
}

// all gives every machine away, and sees that they are.
func (g *ground) all(ctx context.Context, give func(context.Context, int) error) (rate float64, err error) {
	if err := g.empty(ctx); err != nil {
		return 0, err
	}
	if rate, err = bench.Timed(clients, g.machines, func(_, n int) error { return give(ctx, n) }); err != nil {
		return 0, err
	}
	var given int
	err = g.Pool.QueryRow(ctx, `SELECT count(*) FROM machine WHERE state = 'allocated'`).Scan(&given)
	if err == nil && given != g.machines {
		err = fmt.Errorf("cannot measure: of %d machines %d are allocated", g.machines, given)
	}
	return rate, err
}

// allocate asks for a machine, by one of sixteen different requests.
func (g *ground) allocate(ctx context.Context, n int) error {
	var in api.AllocateMachine
	in.Body.Constraints = api.Constraints{Site: "lon1", MinCores: 1 + n%8, MinSpeed: 10_000, Disks: []alloc.Disks{{Count: 1 + n%2, Bus: "nvme"}}}
	in.Body.Owner = fmt.Sprint("team-", n%clients)
	_, err := g.server.Allocate(ctx, &in)
	return err
}

// request is allocate as clients ask it, but for the network: with a token, a body,
// and a key that makes it safe to repeat.
func (g *ground) request(ctx context.Context, n int) error {
	body := fmt.Sprintf(`{"site":"lon1","owner":"team-%d","minCores":%d,"minSpeed":10000,"disks":[{"count":%d,"bus":"nvme"}]}`, n%clients, 1+n%8, 1+n%2)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/machines/allocate", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+g.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", sprout.NewSecret())
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return fmt.Errorf("cannot allocate: %d %s", w.Code, w.Body)
	}
	return nil
}

// update moves one row, alone in its transaction.
func (g *ground) update(ctx context.Context, n int) error {
	tag, err := g.Pool.Exec(ctx, `UPDATE machine SET state = 'allocated', owner = $2 WHERE id = $1 AND state = 'ready'`,
		fmt.Sprintf("mch_%026d", n), fmt.Sprint("team-", n%clients))
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("cannot update machine %d", n)
	}
	return err
}

// empty takes back what a round gave out.
func (g *ground) empty(ctx context.Context) error {
	for _, sql := range []string{
		`UPDATE machine SET state = 'ready', owner = '' WHERE state = 'allocated'`,
		`TRUNCATE machine_history`, `TRUNCATE event`, `TRUNCATE request_key`, `VACUUM ANALYZE machine`, `CHECKPOINT`,
	} {
		if _, err := g.Pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("cannot begin anew: %w", err)
		}
	}
	return nil
}

// close ends what was started and removes what it left.
func (g *ground) close() (failed error) {
	switch {
	case g.stop != nil:
		failed = g.stop()
	case g.server != nil:
		g.server.Close()
	}
	return errors.Join(failed, g.Close())
}
