package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sprout"
	"sprout/agent"
	"sprout/api"
	"sprout/client"
	"sprout/faults/lossy"
	"sprout/postgres"
	"sprout/sim"
	"sprout/store/storetest"
	"sprout/wan"
)

// A ground is one installation that is broken: a control plane of one server or
// two replicas, PostgreSQL, NATS, a site over a WAN, and its machines.
type ground struct {
	t       *testing.T
	dir     string
	gate    *gatekeeper
	db      *postgres.Server
	nats    *process // nil: the server embeds it
	servers []*process
	lines   []lines // of each server
	agent   *process
	front   *wan.Relay // what stands before the replicas, and asks none that is cut off
	wan     wan.Relays // between the agent and the control plane: the API and the bus
	client  *client.Client
	image   sprout.Image
	rack    *sim.Rack
	wire    sim.Wire
	lasts   time.Duration // how long what is stopped or cut is so

	turn     atomic.Int64 // of the replica that is asked next
	limiting sync.Mutex
	limited  bool

	mu        sync.Mutex
	machines  map[string]*subject // by key
	all       []*subject
	succeeded map[string]map[sprout.WorkflowID]bool // by kind
}

const bmcUser, bmcPassword = "admin", "simulated"

// imageBytes is the size of the image that machines get.
const imageBytes = 1 << 20

// newGround lays one out on 127.octet.0.0/16.
func newGround(t *testing.T, octet byte, embedded bool, lasts time.Duration) *ground {
	g := &ground{t: t, dir: storetest.Dir(t), machines: map[string]*subject{}, succeeded: map[string]map[sprout.WorkflowID]bool{}, lasts: lasts}
	must(t, os.Chmod(g.dir, 0o755)) // PostgreSQL runs as another user
	g.gate = newGatekeeper(t, filepath.Join(g.dir, "gate.sock"))
	t.Cleanup(g.close)
	must(t, g.startPostgres())
	bus, plane := freeTCP(t), filepath.Join(g.dir, "plane")
	must(t, os.MkdirAll(plane, 0o755))
	if !embedded {
		g.nats = g.process(child{Role: "nats", Name: "nats", Dir: plane, Database: g.db.URL(), Listen: bus})
		must(t, g.nats.start())
	}
	for i := range map[bool]int{true: 1, false: 2}[embedded] {
		c := child{Role: "server", Name: fmt.Sprintf("server%d", i), Dir: plane, Listen: freeTCP(t), BusAt: bus}
		l := lines{api: g.lay(c.Listen, nil), database: g.lay("", g.dialPostgres)}
		if !embedded {
			l.bus = g.lay(bus, nil)
			c.Bus = "nats://" + l.bus.Address()
		}
		c.Database = g.databaseAt(l.database)
		p := g.process(c)
		g.servers, g.lines = append(g.servers, p), append(g.lines, l)
		must(t, p.start())
	}
	g.front = g.lay("", g.dialFront)
	g.wan = wan.Relays{g.lay("", g.dialFront), g.lay(bus, nil)}
	token := must1(os.ReadFile(filepath.Join(plane, "admin-token")))(t)
	g.client = must1(client.New(client.Config{URL: "http://" + g.front.Address(), Token: strings.TrimSpace(string(token))}))(t)
	g.rack = sim.NewRack(bmcUser, bmcPassword, nil)
	g.startSite(octet)
	var raw [imageBytes]byte
	_, _ = rand.NewChaCha8([32]byte{octet}).Read(raw[:]) // never fails
	g.image = must1(g.client.ImportImage(t.Context(), api.ImportImage{Name: "simulated", Content: bytes.NewReader(raw[:])}, imageBytes))(t)
	return g
}

// process makes a process with a log of its own; the caller starts it.
func (g *ground) process(c child) *process {
	c.Gate = g.gate.path
	return &process{child: c, log: must1(os.Create(filepath.Join(g.dir, c.Name+".log")))(g.t)}
}

// firstDynamic is where the addresses begin that hosts without one of their own
// are leased.
const firstDynamic = 0x8000

// startSite makes the site with its network and starts its agent.
func (g *ground) startSite(octet byte) {
	t := g.t
	at := func(host uint16) netip.Addr {
		return netip.AddrFrom4([4]byte{127, octet, byte(host >> 8), byte(host)})
	}
	var site api.CreateSite
	site.Body.Name, site.Body.Domain = "far", "far.example"
	must1(client.Call(t.Context(), g.client, api.SiteCreate, site))(t)
	var network api.CreateNetwork
	b := &network.Body
	b.Site, b.Name, b.Discover, b.CIDR, b.Gateway = "far", "provisioning", true, netip.PrefixFrom(at(0), 16).String(), at(3).String()
	b.Reserved, b.Dynamic = []string{at(1).String() + "-" + at(9).String()}, []string{at(firstDynamic).String() + "-" + at(0x8fff).String()}
	must1(client.Call(t.Context(), g.client, api.NetworkCreate, network))(t)
	var ask api.CreateAgentToken
	ask.Body.Site = "far"
	token := must1(client.Call(t.Context(), g.client, api.AgentTokenCreate, ask))(t).Secret
	boot := filepath.Join(g.dir, "boot")
	must(t, os.MkdirAll(boot, 0o755))
	for _, name := range []string{"undionly.kpxe", "snponly.efi", "vmlinuz", "initrd"} {
		must(t, os.WriteFile(filepath.Join(boot, name), bytes.Repeat([]byte(name+"\n"), 1000), 0o600))
	}
	ports := agent.Ports{DHCP: freeBoth(t, at(1)), TFTP: freeBoth(t, at(1)), HTTP: freeBoth(t, at(1)), DNS: freeBoth(t, at(1))}
	g.wire = sim.Wire{DHCP: netip.AddrPortFrom(at(1), ports.DHCP), Relay: at(2), TFTPPort: ports.TFTP}
	g.agent = g.process(child{Role: "agent", Name: "agent", Token: token, Agent: agent.Config{
		DataDir: filepath.Join(g.dir, "site"), Server: "http://" + g.wan[0].Address(), Bus: "nats://" + g.wan[1].Address(),
		Name: "far", Address: netip.PrefixFrom(at(1), 16), Ports: ports, BootFiles: boot, RamdiskDir: boot,
	}})
	must(t, g.agent.start())
	g.eventually("the agent is online", g.caughtUp)
	g.agent.Token = ""
}

// caughtUp tells whether the agent is online and holds all that it shall.
func (g *ground) caughtUp(ctx context.Context) (string, bool) {
	agents, err := client.List(ctx, g.client, api.AgentList, api.ListOfSite{}, 0)
	if err != nil || len(agents) != 1 {
		return fmt.Sprintf("%d agents, %v", len(agents), err), false
	}
	return fmt.Sprintf("%+v", agents[0]), agents[0].Online && agents[0].Applied == agents[0].Wanted
}

// eventually asks until it is so, for long: the host may be busy.
func (g *ground) eventually(what string, look func(context.Context) (seen string, ok bool)) {
	g.t.Helper()
	const within = 3 * time.Minute
	seen := ""
	for until := time.Now().Add(within); ; {
		ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
		now, ok := look(ctx)
		cancel()
		if ok {
			return
		}
		seen = now
		if time.Now().After(until) || sprout.Pause(g.t.Context(), 200*time.Millisecond) != nil {
			g.t.Fatalf("after %s it is not so that %s: %s", within, what, seen)
		}
	}
}

// close ends all, those who ask before those who answer.
func (g *ground) close() {
	if g.rack != nil {
		g.rack.Close()
	}
	for _, p := range append([]*process{g.agent, g.nats}, g.servers...) {
		if p != nil {
			p.kill()
		}
	}
	g.wan.Close()
	for _, l := range g.lines {
		l.all().Close()
	}
	if g.front != nil {
		g.front.Close()
	}
	if g.db != nil {
		_ = g.db.Stop() // its data goes anyway
	}
	if g.t.Failed() {
		g.epilogue()
	}
}

// epilogue is what the logs complain of, the end of it.
func (g *ground) epilogue() {
	const most = 40
	logs, _ := filepath.Glob(filepath.Join(g.dir, "*.log"))
	for _, path := range logs {
		raw, _ := os.ReadFile(path)
		var lines []string
		for line := range strings.Lines(string(raw)) {
			if !strings.Contains(line, "level=INFO") {
				lines = append(lines, line)
			}
		}
		g.t.Logf("%s:\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-most):], ""))
	}
}

// kill kills processes. An agent dies with its host: what it had not synced is
// lost. The others keep nothing of their own.
func (g *ground) kill(all []*process) error {
	for _, p := range all {
		p.kill()
		if p != g.agent {
			continue
		}
		if _, err := lossy.Drop(p.Agent.DataDir, p.kept()); err != nil {
			return err
		}
	}
	return nil
}

// syncs is at which sync from when it is told the agent dies: the commits of a
// store have two each.
const syncs = 5

// killInSync has the agent die when it next wants something on its disk.
func (g *ground) killInSync() error { return lossy.DieAt(g.agent.kept(), syncs, "") }

// afterSync waits until it has, takes away what was not synced, and starts it.
func (g *ground) afterSync() error {
	died := make(chan struct{})
	go func() {
		defer close(died)
		_ = g.agent.cmd.Wait() // it was killed, as it shall
	}()
	select {
	case <-died:
	case <-time.After(reachWithin):
		return errors.New("the agent syncs nothing")
	}
	lost, err := lossy.Drop(g.agent.Agent.DataDir, g.agent.kept())
	if err != nil || len(lost) == 0 {
		return fmt.Errorf("%v lost what was not synced: %w", lost, err)
	}
	return g.agent.start()
}

func (g *ground) start(all []*process) error {
	for _, p := range all {
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

func pidsOf(all []*process) (pids []int) {
	for _, p := range all {
		pids = append(pids, p.pids()...)
	}
	return pids
}

func (g *ground) halt(all []*process) error   { return signalAll(pidsOf(all), syscall.SIGSTOP) }
func (g *ground) resume(all []*process) error { return signalAll(pidsOf(all), syscall.SIGCONT) }

// startPostgres starts one whose commits last. It is tried until it does: after a
// death of the postmaster its last children hold the data for a moment.
func (g *ground) startPostgres() (err error) {
	for until := time.Now().Add(startWithin); ; {
		g.db, err = postgres.Start(context.Background(), postgres.Config{Dir: filepath.Join(g.dir, "pg"), Log: slog.New(slog.DiscardHandler)})
		if err == nil || time.Now().After(until) {
			return err
		}
	}
}

// postmaster is the pid of PostgreSQL's first process.
func (g *ground) postmaster() (int, error) {
	raw, err := os.ReadFile(filepath.Join(g.dir, "pg", "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	return strconv.Atoi(first)
}

// killPostgres kills the postmaster; its children follow.
func (g *ground) killPostgres() error {
	pid, err := g.postmaster()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	<-g.db.Exited()
	return nil
}

// postgresPids are the postmaster, first, and its children.
func (g *ground) postgresPids() ([]int, error) {
	pid, err := g.postmaster()
	if err != nil {
		return nil, err
	}
	pids := []int{pid}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if fields[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(strings.Split(path, "/")[2])
			pids = append(pids, child)
		}
	}
	return pids, err
}

func (g *ground) haltPostgres() error {
	pid, err := g.postmaster()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // no more children
		return err
	}
	pids, err := g.postgresPids()
	if err != nil {
		return err
	}
	return signalAll(pids, syscall.SIGSTOP)
}

func (g *ground) resumePostgres() error {
	pids, err := g.postgresPids()
	if err != nil {
		return err
	}
	return signalAll(pids, syscall.SIGCONT)
}

// freeTCP finds a free port of loopback.
func freeTCP(t *testing.T) string {
	t.Helper()
	l := must1(net.Listen("tcp4", "127.0.0.1:0"))(t)
	defer l.Close() //nolint:errcheck // it was only to find the port
	return l.Addr().String()
}

// freeBoth finds a port of the address that is free for UDP and TCP.
func freeBoth(t *testing.T, at netip.Addr) uint16 {
	t.Helper()
	for {
		tcp := must1(net.Listen("tcp4", netip.AddrPortFrom(at, 0).String()))(t)
		port := tcp.Addr().(*net.TCPAddr).AddrPort().Port()
		udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, port)))
		_ = tcp.Close()
		if err == nil {
			_ = udp.Close()
			return port
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must1[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		must(t, err)
		return v
	}
}
