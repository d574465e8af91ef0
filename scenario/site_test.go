package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"sprout"
	"sprout/agent"
	"sprout/api"
	"sprout/sim"
)

// Every site's provisioning network is the same part of loopback, as two sites
// may use the same prefix; they differ by their ports.
var (
	agentAddress = netip.MustParsePrefix("127.20.0.1/24")
	relayAddress = netip.MustParseAddr("127.20.0.2")
	busAddress   = netip.MustParseAddr("127.20.0.3")
)

// A site is the agent of one site.
type site struct {
	config  agent.Config
	apart   bool // it runs in a process of its own: stopping it is kill -9
	process *process
}

func (s *site) stop() {
	if s.process != nil {
		s.process.stop()
	}
}

func (s *story) site(ts *testscript.TestScript, name string) *site {
	at, ok := s.sites[name]
	if !ok {
		ts.Fatalf("no agent of site %s was started", name)
	}
	return at
}

func tellSiteAgent(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 1 || len(args) == 2, "site-agent SITE [TOKEN]")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name := args[0]
	var token string
	if len(args) == 2 {
		token = args[1]
	} else {
		var in api.CreateAgentToken
		in.Body.Site = name
		made, err := call(ctx, s, api.AgentTokenCreate, in)
		ts.Check(err)
		token = made.Secret
	}
	config, err := s.agentConfig(name, token)
	ts.Check(err)
	if most := ts.Getenv("AT_ONCE"); most != "" {
		config.Images.AtOnce, err = strconv.Atoi(most)
		ts.Check(err)
	}
	if slow := ts.Getenv("SLOW_TURN"); slow != "" {
		config.SlowTurn, err = time.ParseDuration(slow)
		ts.Check(err)
	}
	at := &site{config: config, apart: ts.Getenv("AGENT") == "apart"}
	if !neg {
		s.sites[name] = at
	}
	at.process, err = s.startAgent(at)
	ts.Check(err)
	err = s.awaitAgent(ctx, at.process, name)
	switch {
	case neg && err == nil:
		at.stop()
		ts.Fatalf("the agent of %s enrolled", name)
	case neg:
		at.stop()
		fmt.Fprintln(ts.Stderr(), err)
		var known *sprout.Error
		if errors.As(err, &known) {
			fmt.Fprintln(ts.Stderr(), "try:", known.Remedy)
		}
	default:
		ts.Check(err)
	}
}

// startAgent starts the agent in this process, or in one of its own.
func (s *story) startAgent(at *site) (*process, error) {
	if at.apart {
		return s.spawn(at.config)
	}
	return start(func(ctx context.Context) error { return agent.Run(ctx, at.config) }), nil
}

// awaitAgent waits until the control plane has heard the agent, and has told it
// all.
func (s *story) awaitAgent(ctx context.Context, p *process, site string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var over sync.WaitGroup
	over.Go(func() {
		select {
		case <-p.ended:
			cancel()
		case <-ctx.Done():
		}
	})
	err := eventually(ctx, func() (bool, string) { return s.agentIs(ctx, site, true) })
	cancel()
	over.Wait()
	select {
	case <-p.ended:
		return errors.Join(errors.New("the agent ended"), p.err)
	default:
		return err
	}
}

func (s *story) agentConfig(name, token string) (agent.Config, error) {
	dir := filepath.Join(s.dir, "agent-"+name)
	config := agent.Config{
		DataDir: dir, Server: "https://" + s.api.Address(), Token: token, Address: agentAddress, Name: name + "-agent",
		Link:       s.squattersAt(name).Find,
		SecureBoot: agent.Signed{Shim: filepath.Join(s.dir, "loaders/shim"), CDGRUB: filepath.Join(s.dir, "loaders/grub")},
		BootFiles:  filepath.Join(s.dir, "loaders"), RamdiskDir: filepath.Join(s.dir, "ramdisk"), Log: s.log.With("process", "agent", "site", name),
	}
	for _, file := range []string{"loaders/undionly.kpxe", "loaders/snponly.efi", "loaders/shim", "loaders/grub", "ramdisk/vmlinuz", "ramdisk/initrd"} {
		path := filepath.Join(s.dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return config, err
		}
		if err := os.WriteFile(path, []byte(strings.Repeat(file+"\n", 1000)), 0o600); err != nil {
			return config, err
		}
	}
	ports, err := s.ports.take(agentAddress.Addr(), 4)
	if err != nil {
		return config, err
	}
	config.Ports = agent.Ports{DHCP: ports[0], TFTP: ports[1], HTTP: ports[2], DNS: ports[3]}
	return config, nil
}

// A portBook gives out ports that no other story of this run has.
type portBook struct {
	mu   sync.Mutex
	last uint16
}

// firstPort is below those that Linux gives out by itself (32768 to 60999).
const firstPort = 20000

// take finds n ports of the address that are free for UDP and TCP.
func (b *portBook) take(at netip.Addr, n int) ([]uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ports []uint16
	for b.last = max(b.last, firstPort); len(ports) < n; b.last++ {
		if b.last > 32000 {
			return nil, errors.New("cannot find free ports")
		}
		at := netip.AddrPortFrom(at, b.last)
		tcp, err := net.Listen("tcp4", at.String())
		if err != nil {
			continue
		}
		udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		_ = tcp.Close()
		if err == nil {
			_ = udp.Close()
			ports = append(ports, at.Port())
		}
	}
	return ports, nil
}

// squattersAt are the strangers on a site's network.
func (s *story) squattersAt(site string) *sim.Squatters {
	if s.squatters[site] == nil {
		s.squatters[site] = &sim.Squatters{}
	}
	return s.squatters[site]
}

// tellSquat has somebody use an address of a site, or go.
func tellSquat(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 3 && !neg || len(args) == 2 && neg, "squat SITE IP MAC, or ! squat SITE IP")
	ip, err := netip.ParseAddr(args[1])
	ts.Check(err)
	if s.site(ts, args[0]).apart {
		ts.Fatalf("the agent of %s is a process of its own: it has no simulated link", args[0])
	}
	if neg {
		s.squattersAt(args[0]).Leave(ip)
		return
	}
	s.squattersAt(args[0]).Take(ip, args[2])
}

func tellKillAgent(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "kill-agent SITE")
	s.site(ts, args[0]).stop()
}

func tellRestartAgent(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "restart-agent SITE")
	at := s.site(ts, args[0])
	at.stop()
	at.config.Token = "" // it has enrolled
	var err error
	at.process, err = s.startAgent(at)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(s.awaitAgent(ctx, at.process, args[0]))
}

func tellCorruptCache(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "corrupt-cache SITE")
	flipped := 0
	ts.Check(filepath.Walk(filepath.Join(s.site(ts, args[0]).config.DataDir, "images"), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() || info.Size() == 0 {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		raw[len(raw)/2] ^= 1
		flipped++
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
		return os.WriteFile(path, raw, 0o600)
	}))
	if flipped == 0 {
		ts.Fatalf("the agent of %s has cached no image", args[0])
	}
}

// tellLookup asks the site's name server, as dig +short would: a name for its
// addresses, an address for its names.
func tellLookup(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 2, "lookup SITE NAME|IP")
	config := s.site(ts, args[0]).config
	at := netip.AddrPortFrom(agentAddress.Addr(), config.Ports.DNS).String()
	name, kind := dns.Fqdn(args[1]), dns.TypeA
	if _, err := netip.ParseAddr(args[1]); err == nil {
		name, err = dns.ReverseAddr(args[1])
		ts.Check(err)
		kind = dns.TypePTR
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	question := new(dns.Msg).SetQuestion(name, kind)
	err := eventually(ctx, func() (bool, string) {
		answer, _, err := (&dns.Client{Timeout: 2 * time.Second}).ExchangeContext(ctx, question, at)
		if err != nil {
			return false, err.Error()
		}
		if found := len(answer.Answer) > 0; found == neg {
			return false, fmt.Sprintf("%s answers %s with %s, %v", at, name, dns.RcodeToString[answer.Rcode], answer.Answer)
		}
		for _, rr := range answer.Answer {
			fmt.Fprintln(ts.Stdout(), dns.Field(rr, 1))
		}
		return true, ""
	})
	ts.Check(err)
}
