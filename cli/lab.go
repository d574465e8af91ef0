package cli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"sprout"
	"sprout/agent"
	"sprout/api"
	"sprout/lab"
)

// A labEnv is what the commands of the lab share.
type labEnv struct {
	*env
	name, dir string // --name, --dir
}

func labCommand(e *env) *cobra.Command {
	l := &labEnv{env: e}
	c := group("lab", "A virtual site on this host: machines with real firmware and BMCs.",
		l.upCommand(), l.downCommand(), l.statusCommand(), l.listCommand(), l.plugCommand(), l.powerOnCommand(), l.unplugCommand(),
		l.removeCommand(), l.linkCommand(), l.consoleCommand(), l.sshCommand(), l.execCommand(), l.wanCommand(), l.agentCommand(),
		l.corruptCommand(), l.serveCommand())
	c.PersistentFlags().StringVar(&l.name, "name", lab.DefaultName, "name of the lab and its network namespace")
	c.PersistentFlags().StringVar(&l.dir, "dir", "", "directory of the lab (or SPROUT_LAB)")
	return c
}

// directory is --dir, SPROUT_LAB, or the usual place for the lab's name.
func (l *labEnv) directory() (string, error) {
	if dir := cmp.Or(l.dir, l.getenv("SPROUT_LAB")); dir != "" {
		return filepath.Abs(dir)
	}
	return lab.DefaultDir(l.name)
}

// run makes a command that talks to the lab.
func (l *labEnv) run(do func(c *cobra.Command, to *lab.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		dir, err := l.directory()
		if err != nil {
			return err
		}
		return do(c, lab.NewClient(dir), args)
	}
}

// A labUp is the flags of `sprout lab up`.
type labUp struct {
	site, cidr, address, address6, bus, ramdisk, cmdline string
	only6, wait                                          bool
}

func (l *labEnv) upCommand() *cobra.Command {
	var up labUp
	c := &cobra.Command{
		Use: "up", Short: "Start a lab, with the agent of a site on its network.", Args: takes(0, 0, "no arguments"),
		Example: "  sprout lab up --site lon1 --ramdisk /var/cache/sprout/ramdisk --wait\n  sprout lab up --name second --cidr 10.30.0.0/24\n" +
			"  sprout lab up --site six1 --ramdisk /var/cache/sprout/ramdisk --address6 fd00:20::1/64 --ipv6-only --wait\n\n" +
			"Without --site the lab has no agent: only a network and what you plug into it.",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, _ []string) error { return l.up(c.Context(), to.Dir(), up) }),
	}
	f := c.Flags()
	f.StringVar(&up.site, "site", "", "site that the lab's agent enrols at")
	f.StringVar(&up.cidr, "cidr", "", "the lab's network (default that of --address, 10.20.0.0/24)")
	f.StringVar(&up.address, "address", "", "address of the agent and the BMCs (default the first of --cidr)")
	f.StringVar(&up.address6, "address6", "", "address of the agent of IPv6, as fd00:20::1/64 (default none)")
	f.BoolVar(&up.only6, "ipv6-only", false, "the agent serves IPv6 only; IPv4 is left to the BMCs")
	f.StringVar(&up.bus, "bus", "", "host:port of the control plane's bus, on the host's loopback (default where the control plane says)")
	f.StringVar(&up.ramdisk, "ramdisk", "", "directory with vmlinuz and initrd, for the agent")
	f.StringVar(&up.cmdline, "cmdline", "console=ttyS0", "added to the ramdisk's kernel command line")
	f.BoolVar(&up.wait, "wait", false, "until the agent is online")
	return c
}

func (l *labEnv) up(ctx context.Context, dir string, up labUp) error {
	address, err := labAddress(up.cidr, up.address)
	if err != nil {
		return err
	}
	address6, err := labAddress6(up)
	if err != nil {
		return err
	}
	config := lab.Config{Name: l.name, Dir: dir, Address: address, Address6: address6}
	if up.site != "" {
		if err := l.addAgent(ctx, &config, up); err != nil {
			return err
		}
	} else if up.wait {
		return sprout.InvalidField("--wait", "there is no agent to wait for without --site")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find our own executable: %w", err)
	}
	to, err := lab.Up(ctx, config, self, l.log)
	if err != nil {
		return err
	}
	if up.wait {
		if err := l.awaitAgent(ctx, up.site, dir); err != nil {
			return err
		}
	}
	s, err := to.Status(ctx)
	if err != nil {
		return err
	}
	return l.say(s, "lab %s is up at %s; its log is %s", s.Name, s.Address, lab.LogPath(s.Dir))
}

// labAddress joins --cidr and --address, each of which may have the other's part.
func labAddress(cidr, address string) (netip.Prefix, error) {
	if withBits, err := netip.ParsePrefix(address); err == nil && cidr == "" {
		return withBits, nil
	}
	network, err := netip.ParsePrefix(cmp.Or(cidr, lab.DefaultAddress.Masked().String()))
	if err != nil {
		return netip.Prefix{}, sprout.InvalidField("--cidr", "%q is no network such as 10.20.0.0/24", cidr)
	}
	if address == "" {
		return netip.PrefixFrom(network.Masked().Addr().Next(), network.Bits()), nil
	}
	ip, err := netip.ParseAddr(address)
	if err != nil || !network.Contains(ip) {
		return netip.Prefix{}, sprout.InvalidField("--address", "%q is no address in %s", address, network)
	}
	return netip.PrefixFrom(ip, network.Bits()), nil
}

// labAddress6 reads --address6.
func labAddress6(up labUp) (netip.Prefix, error) {
	if up.address6 == "" {
		if up.only6 {
			return netip.Prefix{}, sprout.InvalidField("--ipv6-only", "name the agent's address of IPv6 by --address6, as %s", lab.DefaultAddress6)
		}
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(up.address6)
	if err != nil || !p.Addr().Is6() {
		return netip.Prefix{}, sprout.InvalidField("--address6", "%q is no IPv6 address with a prefix length such as %s", up.address6, lab.DefaultAddress6)
	}
	return p, nil
}

// addAgent lets the lab start an agent that enrols as a remote one would: with
// a single-use token, over the WAN.
func (l *labEnv) addAgent(ctx context.Context, config *lab.Config, up labUp) error {
	if up.ramdisk == "" {
		return sprout.InvalidField("--ramdisk", "the agent needs the directory of the ramdisk's kernel and initrd")
	}
	ramdisk, err := filepath.Abs(up.ramdisk)
	if err != nil {
		return err
	}
	conn, err := l.connection()
	if err != nil {
		return err
	}
	server, hostPort, err := onLoopback(conn.Server)
	if err != nil {
		return err
	}
	if up.bus == "" {
		ready, err := l.readiness(ctx)
		if err != nil {
			return err
		}
		if _, up.bus, err = onLoopback(ready.Bus); err != nil {
			return err
		}
	}
	in := api.CreateAgentToken{}
	in.Body.Site = up.site
	token, err := call(ctx, l.env, api.AgentTokenCreate, in)
	if err != nil {
		return err
	}
	running := agent.Config{
		Name: config.Name, DataDir: lab.AgentDir(config.Dir), Server: server, TokenFile: lab.AgentTokenPath(config.Dir),
		Interface: lab.BridgeName, Address: config.Address, Address6: config.Address6, RamdiskDir: ramdisk, Cmdline: up.cmdline,
	}
	if up.only6 {
		running.Address = netip.Prefix{}
	}
	raw, err := yaml.Marshal(running)
	if err != nil {
		return fmt.Errorf("cannot write the agent's configuration: %w", err)
	}
	config.WAN = []string{hostPort, up.bus}
	config.Agent = []string{"agent", "--config", lab.AgentConfigPath(config.Dir)}
	config.AgentConfig, config.AgentToken = string(raw), token.Secret
	return nil
}

// onLoopback checks that the control plane is one that a lab can reach, and
// returns its URL and its host:port in numbers.
func onLoopback(server string) (base, hostPort string, err error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", "", sprout.InvalidField("--server", "%q is no URL", server)
	}
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return "", "", sprout.InvalidField("--server", "a lab reaches a control plane on this host's loopback only, not %s", server)
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	u.Host = host + ":" + port
	return u.String(), u.Host, nil
}

// agentPatience is how long an agent may take to enrol and say so.
const agentPatience = time.Minute

// awaitAgent waits until the site's agent is online.
func (l *labEnv) awaitAgent(ctx context.Context, site, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		agents, err := gather(ctx, l.env, api.AgentList, api.ListOfSite{OfSite: api.OfSite{Site: site}}, 0)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for _, a := range agents {
			if a.Online {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return sprout.Errorf(sprout.Unavailable, "the agent of %s is not online after %s", site, agentPatience).WithRemedy("see %s", lab.AgentLogPath(dir))
		}
	}
}

func (l *labEnv) downCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use: "down", Short: "Stop the lab and remove everything of it.", Args: takes(0, 0, "no arguments"),
		Example: "  sprout lab down\n  sprout lab down --keep   # the machines and their disks are there at the next up",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, _ []string) error {
			if err := lab.Down(c.Context(), to.Dir(), keep, l.log); err != nil {
				return err
			}
			return l.say(struct{}{}, "the lab is down")
		}),
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep disks, logs and the agent's state")
	return c
}

func (l *labEnv) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the lab.", Args: takes(0, 0, "no arguments"), Example: "  sprout lab status\n  sprout lab status --jq .wan.up",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, _ []string) error {
			s, err := to.Status(c.Context())
			if err != nil {
				return err
			}
			return l.answer(s, func() { writeLines(l.stdout, labLines(s)) })
		}),
	}
}

func labLines(s lab.Status) []line {
	wan := "cut"
	switch {
	case len(s.WAN.To) == 0:
		wan = "none"
	case s.WAN.Up:
		wan = "up"
	}
	if s.WAN.Delay > 0 {
		wan += fmt.Sprintf(", %s late each way", s.WAN.Delay)
	}
	running := "none"
	if a := s.Agent; a != nil {
		running = fmt.Sprintf("pid %d, started %d times", a.PID, a.Starts)
		if a.PID == 0 {
			running = "not running"
		}
	}
	lines := []line{
		{"Name", s.Name}, {"Directory", s.Dir}, {"Address", s.Address.String()}, {"Process", fmt.Sprint(s.PID)},
		{"WAN", strings.TrimSpace(wan + " " + strings.Join(s.WAN.To, " "))}, {"Agent", running},
	}
	for _, m := range s.Machines {
		lines = append(lines, line{"Machine", fmt.Sprintf("%s (%s) is %s", m.Name, m.Firmware, m.Power)})
	}
	return lines
}

// serveCommand is the process of the lab, which `sprout lab up` starts.
func (l *labEnv) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Be the process of a lab.", Hidden: true, Args: takes(0, 0, "no arguments"),
		RunE: l.run(func(c *cobra.Command, to *lab.Client, _ []string) error {
			host, ready, err := lab.Attach()
			if err != nil {
				return err
			}
			defer host.Close() //nolint:errcheck // only read
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			log := slog.New(slog.NewTextHandler(l.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
			return lab.Serve(ctx, to.Dir(), host, ready, log)
		}),
	}
}
