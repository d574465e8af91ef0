package bench_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"sprout"
	"sprout/agent"
	"sprout/api"
	"sprout/bench"
	"sprout/client"
	"sprout/postgres"
	"sprout/server"
	"sprout/sitestore"
	"sprout/store/storetest"
)

const (
	returnFacts  = 10_000
	returnWithin = 5 // seconds
	returnTurns  = 3
)

// BenchmarkReturn times how long the control plane needs for what a site did while
// it was alone: from the start of an agent whose store holds 10,000 leases that
// nobody has heard of, until PostgreSQL, with its commits on disk, has the last
// one. Each must be there once, and the site's count of facts without a gap.
func BenchmarkReturn(b *testing.B) {
	db, err := postgres.Start(b.Context(), postgres.Config{Dir: filepath.Join(storetest.Dir(b), "postgres"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Stop() })
	plane := planeAt(b, db.URL())
	conn, err := pgx.Connect(b.Context(), db.URL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	config, subnet := plane.site(b)
	online := func() { await(b, conn, `SELECT count(*) = 1 FROM agent WHERE last_seen IS NOT NULL AND applied > 1`) }
	running(b, config, online)
	worst := 0.0
	for turn := range returnTurns {
		work(b, config, subnet, turn)
		began := time.Now()
		running(b, config, func() {
			await(b, conn, `SELECT last_fact = $1 FROM inbox`, (turn+1)*returnFacts)
			worst = max(worst, time.Since(began).Seconds())
			await(b, conn, `SELECT count(*) = $1 FROM subnet_lease`, (turn+1)*returnFacts)
		})
	}
	await(b, conn, `SELECT count(*) = 0 FROM problem WHERE code IN ('fact-refused', 'facts-missing')`)
	if err := (bench.Line{Name: "site-return-s", Sprout: worst, Other: returnWithin}).Print(os.Stdout); err != nil {
		b.Error(err)
	}
}

// await asks until the answer is true, for a minute at most.
func await(b *testing.B, db *pgx.Conn, sql string, args ...any) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for is := false; !is; _ = sprout.Pause(ctx, 5*time.Millisecond) {
		if err := db.QueryRow(ctx, sql, args...).Scan(&is); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
	}
}

// work fills the store of an agent that does not run with leases.
func work(b *testing.B, c agent.Config, subnet sprout.SubnetID, turn int) {
	b.Helper()
	s, err := sitestore.Open(filepath.Join(c.DataDir, "site.db"), c.Log)
	if err != nil {
		b.Fatal(err)
	}
	var all errgroup.Group
	all.SetLimit(64)
	for n := range returnFacts {
		n += turn * returnFacts
		all.Go(func() error {
			return s.SaveLeases(b.Context(), sprout.Lease{
				Subnet: subnet, IP: netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), MAC: fmt.Sprintf("52:54:00:00:%02x:%02x", n>>8, n&255),
				State: "bound", ExpiresAt: time.Now().Add(time.Hour).UTC(),
			})
		})
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// running runs an agent for as long as do takes.
func running(b *testing.B, c agent.Config, do func()) {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx, c) }()
	do()
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// A plane is a control plane in this process.
type plane struct {
	url   string
	admin *client.Client
}

func planeAt(b *testing.B, database string) plane {
	b.Helper()
	c := server.Defaults()
	c.Listen, c.Bus.Listen, c.Dir, c.Database.URL = "127.0.0.1:0", "127.0.0.1:0", b.TempDir(), database
	c.TLS.Disable, c.Bus.Plain = true, true
	c.Log = slog.New(slog.DiscardHandler)
	s, err := server.New(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	<-s.Started()
	token, err := os.ReadFile(filepath.Join(c.Dir, "admin-token"))
	if err != nil {
		b.Fatal(err)
	}
	admin, err := client.New(client.Config{URL: s.URL(), Token: strings.TrimSpace(string(token))})
	if err != nil {
		b.Fatal(err)
	}
	return plane{s.URL(), admin}
}

// site makes a site with a network, and configures its agent.
func (p plane) site(b *testing.B) (agent.Config, sprout.SubnetID) {
	b.Helper()
	var site api.CreateSite
	site.Body.Name = "lon1"
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "provisioning", "10.1.0.0/16"
	var token api.CreateAgentToken
	token.Body.Site = "lon1"
	if _, err := client.Call(b.Context(), p.admin, api.SiteCreate, site); err != nil {
		b.Fatal(err)
	}
	made, err := client.Call(b.Context(), p.admin, api.NetworkCreate, network)
	if err != nil {
		b.Fatal(err)
	}
	enrol, err := client.Call(b.Context(), p.admin, api.AgentTokenCreate, token)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	return agent.Config{
		DataDir: filepath.Join(dir, "data"), Server: p.url, Token: enrol.Secret, Address: netip.MustParsePrefix("127.0.0.1/8"),
		Ports:     agent.Ports{DHCP: port(b), DHCPClient: port(b), TFTP: port(b), HTTP: port(b), DNS: port(b)},
		BootFiles: dir, RamdiskDir: dir, Log: slog.New(slog.DiscardHandler),
	}, made.Subnets[0].ID
}

func port(b *testing.B) uint16 {
	b.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // only its number was wanted
	return netip.MustParseAddrPort(c.LocalAddr().String()).Port()
}
