package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"time"

	"sprout"
	"sprout/agent"
	"sprout/api"
	"sprout/client"
	"sprout/dev"
	"sprout/server"
	"sprout/sim"
	"sprout/wan"
)

// A ground is what the machines stand on: a control plane with its database and
// bus, the WAN, and the agent of every site.
type ground struct {
	config Config
	dir    string
	made   bool // dir is ours to remove
	access dev.Access
	plane  *process
	bus    string // host:port where it listens
	sites  []*site
}

// A site is one agent with its provisioning network on loopback.
type site struct {
	name    string
	octet   byte // its network is 127.octet.0.0/16
	ports   agent.Ports
	api     *wan.Relay
	bus     *wan.Relay
	process *process

	squatters sim.Squatters
}

// line is the WAN of a site, or of all of them.
func (g *ground) line(name string) (line wan.Relays) {
	for _, s := range g.sites {
		if name == "" || s.name == name {
			line = append(line, s.api, s.bus)
		}
	}
	return line
}

// carried is how many bytes the WAN carried for the API, and for the bus.
func (g *ground) carried() (api, bus int64) {
	for _, s := range g.sites {
		api, bus = api+s.api.Bytes(), bus+s.bus.Bytes()
	}
	return api, bus
}

func (s *site) address(host uint16) netip.Addr {
	return netip.AddrFrom4([4]byte{127, s.octet, byte(host >> 8), byte(host)})
}

// wire is how a machine of the site is plugged in.
func (s *site) wire() sim.Wire {
	return sim.Wire{DHCP: netip.AddrPortFrom(s.address(1), s.ports.DHCP), Relay: s.address(2), TFTPPort: s.ports.TFTP}
}

// firstOctet keeps clear of the small networks that tests use.
const firstOctet = 60

// lay brings everything up that is not a machine. On an error all is down again.
func lay(ctx context.Context, c Config, s *score) (_ *ground, err error) {
	g := &ground{config: c, dir: c.Dir}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if g.dir == "" {
		if g.dir, err = os.MkdirTemp("", "sprout-sim-"); err != nil {
			return nil, fmt.Errorf("cannot make a directory for the trial: %w", err)
		}
		g.made = true
	}
	if err := os.Chmod(g.dir, 0o755); err != nil { // PostgreSQL runs as another user
		return nil, fmt.Errorf("cannot open the trial's directory to PostgreSQL: %w", err)
	}
	if err := g.startPlane(ctx, s); err != nil {
		return nil, err
	}
	return g, g.startSites(ctx)
}

func (g *ground) startPlane(ctx context.Context, s *score) (err error) {
	busAt, err := freePort(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		return err
	}
	g.bus = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), busAt).String()
	ready := make(chan struct{})
	g.plane = start("server", func(ctx context.Context) error {
		return dev.Run(ctx, dev.Config{
			Dir: filepath.Join(g.dir, "plane"), Listen: "127.0.0.1:0", BusListen: g.bus, Log: g.config.Log.With("process", "server"),
			Change: func(c *server.Config) { c.Tracer, c.Edge = s.sql, g.config.Edge },
			Ready: func(a dev.Access) error {
				g.access = a
				close(ready)
				return nil
			},
		})
	})
	if err := g.plane.await(ctx, ready); err != nil {
		return fmt.Errorf("cannot start the control plane: %w", err)
	}
	return nil
}

// startSites makes every site and starts its agent, and waits until the control
// plane has heard all of them.
func (g *ground) startSites(ctx context.Context) error {
	c, err := client.New(client.Config{URL: g.access.URL, Token: g.access.Token})
	if err != nil {
		return err
	}
	if err := g.writeBootFiles(); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(g.config.Seed, 1)) // it is no secret
	for i := range g.config.Sites {
		s := &site{name: siteName(i), octet: byte(firstOctet + i)}
		if err := g.layLine(s, random); err != nil {
			return err
		}
		g.sites = append(g.sites, s)
		if err := g.startSite(ctx, c, s); err != nil {
			return fmt.Errorf("cannot set up site %s: %w", s.name, err)
		}
	}
	return g.awaitAgents(ctx, c)
}

func siteName(i int) string { return fmt.Sprintf("sim-%d", i+1) }

// layLine makes the WAN of a site.
func (g *ground) layLine(s *site, random *rand.Rand) (err error) {
	for _, r := range []struct {
		at **wan.Relay
		to string
	}{{&s.api, strings.TrimPrefix(g.access.URL, "http://")}, {&s.bus, g.bus}} {
		if *r.at, err = wan.Listen("127.0.0.1:0", g.config.Link, random.Uint64(), nil); err != nil {
			return err
		}
		(*r.at).Lead(r.to)
	}
	return nil
}

func (g *ground) startSite(ctx context.Context, c *client.Client, s *site) error {
	var in api.CreateSite
	in.Body.Name = s.name
	if _, err := client.Call(ctx, c, api.SiteCreate, in); err != nil {
		return err
	}
	var network api.CreateNetwork
	b := &network.Body
	b.Site, b.Name, b.Discover = s.name, "provisioning-"+s.name, true
	b.CIDR, b.Gateway = netip.PrefixFrom(s.address(0), 16).String(), s.address(3).String()
	b.Reserved = []string{s.address(1).String() + "-" + s.address(255).String()}
	b.Dynamic = []string{s.address(0x8000).String() + "-" + s.address(0xfff0).String()}
	if _, err := client.Call(ctx, c, api.NetworkCreate, network); err != nil {
		return err
	}
	var token api.CreateAgentToken
	token.Body.Site = s.name
	made, err := client.Call(ctx, c, api.AgentTokenCreate, token)
	if err != nil {
		return err
	}
	config := agent.Config{
		DataDir: filepath.Join(g.dir, s.name), Server: "http://" + s.api.Address(), Bus: "nats://" + s.bus.Address(), Token: made.Secret, Name: s.name,
		Address: netip.PrefixFrom(s.address(1), 16), BootFiles: filepath.Join(g.dir, "boot"), RamdiskDir: filepath.Join(g.dir, "boot"),
		Link: s.squatters.Find, Log: g.config.Log.With("process", "agent", "site", s.name),
	}
	for _, port := range []*uint16{&s.ports.DHCP, &s.ports.TFTP, &s.ports.HTTP, &s.ports.DNS} {
		if *port, err = freePort(s.address(1)); err != nil {
			return err
		}
	}
	config.Ports = s.ports
	s.process = start("agents", func(ctx context.Context) error { return agent.Run(ctx, config) })
	return nil
}

// writeBootFiles writes loaders and a ramdisk that no processor will ever run.
func (g *ground) writeBootFiles() error {
	dir := filepath.Join(g.dir, "boot")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the boot files: %w", err)
	}
	for _, name := range []string{"undionly.kpxe", "snponly.efi", "vmlinuz", "initrd"} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name+"\n"), 1000), 0o644); err != nil {
			return fmt.Errorf("cannot make the boot files: %w", err)
		}
	}
	return nil
}

// agentsWithin is how long agents may take to enrol and catch up.
const agentsWithin = 2 * time.Minute

func (g *ground) awaitAgents(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, agentsWithin)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		agents, err := client.List(ctx, c, api.AgentList, api.ListOfSite{}, 0)
		if err != nil && ctx.Err() == nil {
			return err
		}
		online := 0
		for _, a := range agents {
			if a.Online && a.Applied == a.Wanted {
				online++
			}
		}
		if online == len(g.sites) {
			return nil
		}
		for _, s := range g.sites {
			select {
			case <-s.process.ended:
				return fmt.Errorf("the agent of site %s has ended: %w", s.name, s.process.err)
			default:
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d agents are online: %w", online, len(g.sites), ctx.Err())
		}
	}
}

// stopSites ends the agents.
func (g *ground) stopSites() {
	var agents sync.WaitGroup
	for _, s := range g.sites {
		agents.Go(s.process.stop)
	}
	agents.Wait()
}

// close stops everything, those who ask before those who answer.
func (g *ground) close() {
	var agents sync.WaitGroup
	for _, s := range g.sites {
		if s.process != nil {
			agents.Go(s.process.stop)
		}
	}
	agents.Wait()
	for _, s := range g.sites {
		for _, r := range []*wan.Relay{s.api, s.bus} {
			if r != nil {
				r.Close()
			}
		}
	}
	if g.plane != nil {
		g.plane.stop()
	}
	if g.made {
		_ = os.RemoveAll(g.dir) // what is left is in the directory of temporary files
	}
}

// A process is something that runs in a goroutine until it is stopped.
type process struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // read only after ended
}

// start runs it; profiles tell its processor time by the part's name.
func start(part string, run func(context.Context) error) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		pprof.Do(ctx, pprof.Labels(partLabel, part), func(ctx context.Context) { p.err = run(ctx) })
	}()
	return p
}

func (p *process) await(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-p.ended:
		return errors.Join(errors.New("it ended"), p.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *process) stop() {
	p.cancel()
	<-p.ended
}

// freePort finds a port of the address that is free for UDP and TCP.
func freePort(at netip.Addr) (uint16, error) {
	for range 100 {
		tcp, err := net.Listen("tcp4", netip.AddrPortFrom(at, 0).String())
		if err != nil {
			return 0, fmt.Errorf("cannot find a free port of %s: %w", at, err)
		}
		port := tcp.Addr().(*net.TCPAddr).AddrPort().Port()
		udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, port)))
		_ = tcp.Close()
		if err == nil {
			_ = udp.Close()
			return port, nil
		}
	}
	return 0, fmt.Errorf("cannot find a free port of %s", at)
}

// files is how many files the trial needs open at once: both ends of what each
// machine under way has, and of connections to BMCs that are kept for a while.
func (c Config) files() uint64 {
	under := c.Concurrency
	if c.Within > 0 {
		under = max(under, int(time.Duration(c.Machines)*bootsWithin/c.Within))
	}
	need := 1000 + 12*min(under, c.Machines)
	if c.Goal != Discover {
		need += 2 * min(c.Machines, bmcsKept)
	}
	return uint64(need)
}

const (
	bootsWithin = 8 * time.Second // most machines of a storm are discovered, and off again, by then
	bmcsKept    = 3000            // BMCs that are spoken to within the time that an idle connection is kept
)

// allowFiles raises the limit of open files to what the trial needs.
func allowFiles(need uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	if now.Cur >= need {
		return nil
	}
	want := syscall.Rlimit{Cur: need, Max: max(now.Max, need)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want); err != nil {
		return sprout.InvalidField("--machines", "so many machines need %d open files, and the limit is %d", need, now.Max).WithRemedy("ulimit -n %d", need)
	}
	return nil
}
