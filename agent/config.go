// Package agent is a site: it answers the machines of one provisioning network
// (DHCP, TFTP, HTTP, DNS), drives their BMCs, runs the work that the centre
// delegated, and reports facts. It goes on alone while the centre is away.
//
// It must not know what a workflow's steps do (package provision does), nor
// anything of the control plane but the bus, the enrolment and where images are.
package agent

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sprout"
	"sprout/health"
	"sprout/provision"
	"sprout/workflow"
)

// Signed are the loaders that firmware with Secure Boot runs, as files. Empty: those
// of Debian's packages shim-signed and grub-efi-amd64-signed.
type Signed struct {
	Shim string `json:"shim,omitempty" yaml:"shim,omitempty"`
	GRUB string `json:"grub,omitempty" yaml:"grub,omitempty"`
	// CDGRUB is that of virtual media, which shim runs there.
	CDGRUB string `json:"cdGrub,omitempty" yaml:"cdGrub,omitempty"`
}

// A Config says how to run a site's agent.
type Config struct {
	// DataDir holds the agent's keys, its store and its images.
	DataDir string `json:"dataDir" yaml:"dataDir"`
	// Server is the control plane's base URL: https://sprout.example.
	Server string `json:"server" yaml:"server"`
	// Token is the single-use enrolment token, for the first start only.
	// TokenFile names a file that holds it; so does the environment's
	// SPROUT_AGENT_TOKEN hold it when both are empty.
	Token     string `json:"-" yaml:"-"`
	TokenFile string `json:"tokenFile,omitempty" yaml:"tokenFile,omitempty"`
	// CA is a file of the authority of the control plane's certificate (PEM).
	// Empty: the one that the enrolment token names, else the system's.
	CA string `json:"ca,omitempty" yaml:"ca,omitempty"`
	// Bus is the URL at which the site reaches the bus; empty: what the control
	// plane announces.
	Bus string `json:"bus,omitempty" yaml:"bus,omitempty"`
	// Interface is the network device of the provisioning network. Empty: DHCP
	// answers relays only.
	Interface string `json:"interface,omitempty" yaml:"interface,omitempty"`
	// Address is the agent's own on that network, with the prefix length, of
	// IPv4; zero: IPv4 is not served, and Address6 is needed.
	Address netip.Prefix `json:"address,omitzero" yaml:"address,omitempty"`
	// Address6 is the same of IPv6; zero: IPv6 is not served.
	Address6 netip.Prefix `json:"address6,omitzero" yaml:"address6,omitempty"`
	// VRF is the one that the agent's own network is in, where prefixes of two
	// overlap there; empty: the site's usual one, or the only one with Address.
	VRF string `json:"vrf,omitempty" yaml:"vrf,omitempty"`
	// Ports are those of the site's services; zero fields: the usual ones.
	Ports Ports `json:"ports,omitzero" yaml:"ports,omitempty"`
	// DHCP says who answers DHCP of IPv4.
	DHCP DHCP `json:"dhcp,omitzero" yaml:"dhcp,omitempty"`
	// DNS says who answers for the site's names.
	DNS DNS `json:"dns,omitzero" yaml:"dns,omitempty"`
	// BootFiles is the directory with undionly.kpxe and snponly.efi; empty:
	// /usr/lib/ipxe.
	BootFiles string `json:"bootFiles,omitempty" yaml:"bootFiles,omitempty"`
	// SecureBoot is what machines that enforce it are given first.
	SecureBoot Signed `json:"secureBoot,omitzero" yaml:"secureBoot,omitempty"`
	// MediaURL is the base URL at which BMCs reach this agent, to fetch what they
	// insert: http://10.9.0.1, without a final slash. Empty: that of machines.
	MediaURL string `json:"mediaUrl,omitempty" yaml:"mediaUrl,omitempty"`
	// RamdiskDir is the directory with vmlinuz, initrd and, if tests shall call
	// programs, tools.squashfs.
	RamdiskDir string `json:"ramdiskDir" yaml:"ramdiskDir"`
	// Cmdline is added to the ramdisk's kernel command line.
	Cmdline string `json:"cmdline,omitempty" yaml:"cmdline,omitempty"`
	// Images says how machines share the way to the agent's images.
	Images Images `json:"images,omitzero" yaml:"images,omitempty"`
	// Name is what the agent calls itself; empty: the host's name.
	Name string `json:"name,omitempty" yaml:"name,omitempty"`
	// Status is where /healthz is answered: host:port, which must be of the
	// loopback; empty: the unix socket agent.sock in DataDir.
	Status string `json:"status,omitempty" yaml:"status,omitempty"`
	// Memory is how much of it the process may hold; it is for whoever runs the
	// process to apply.
	Memory health.Memory `json:"memory,omitzero" yaml:"memory,omitempty"`
	// LeastFree is how many bytes of DataDir's disk must be free, or it is full
	// (the problem disk-full); 0: health.LeastFree.
	LeastFree uint64 `json:"-" yaml:"-"`
	// SlowTurn is how long those who wait to download may see nobody come to their
	// turn (the problem downloads-stuck); 0: the usual. For tests.
	SlowTurn time.Duration `json:"-" yaml:"-"`
	// Limits are how long steps may take; zero fields: the usual.
	Limits provision.Limits `json:"-" yaml:"-"`
	// Gate is passed by every call of a step: for tests; nil: there is none.
	Gate workflow.Gate `json:"-" yaml:"-"`
	// Link asks the site's network who has addresses, as probe.Find does; nil: by
	// ARP and neighbour discovery on Interface. Simulated machines have no link.
	Link func(ctx context.Context, ips []netip.Addr, own ...string) (map[netip.Addr]string, error) `json:"-" yaml:"-"`
	// Clock dates what is kept on disk; nil: the host's, without its jumps.
	Clock *health.Clock `json:"-" yaml:"-"`
	// Log takes what is worth reading later.
	Log *slog.Logger `json:"-" yaml:"-"`
}

// Images says how the machines of a site download images from its agent. What
// boots them, and what the agent fetches from the control plane, is not held up.
type Images struct {
	// Bandwidth is what all downloads together may take, in MB/s; 0: any.
	Bandwidth int `json:"bandwidth,omitempty" yaml:"bandwidth,omitempty"`
	// AtOnce is how many machines download at once, the others wait for their turn;
	// 0: as many as have 10 MB/s each of Bandwidth, else 64; -1: any number.
	AtOnce int `json:"atOnce,omitempty" yaml:"atOnce,omitempty"`
}

func (i Images) check() error {
	if i.Bandwidth < 0 || i.Bandwidth > mostBandwidth {
		return sprout.InvalidField("images.bandwidth", "%d MB/s must be from 0, which is no limit, to %d", i.Bandwidth, mostBandwidth)
	}
	if i.AtOnce < -1 {
		return sprout.InvalidField("images.atOnce", "%d must be a number of machines, 0 for the usual one, or -1 for any number", i.AtOnce)
	}
	return nil
}

// mostBandwidth is more than any host sends, in MB/s.
const mostBandwidth = 1_000_000

// Ports are the ports of the site's services.
type Ports struct {
	DHCP        uint16 `json:"dhcp,omitempty" yaml:"dhcp,omitempty"`               // 0: 67
	DHCPClient  uint16 `json:"dhcpClient,omitempty" yaml:"dhcpClient,omitempty"`   // 0: 68
	DHCP6       uint16 `json:"dhcp6,omitempty" yaml:"dhcp6,omitempty"`             // 0: 547
	DHCP6Client uint16 `json:"dhcp6Client,omitempty" yaml:"dhcp6Client,omitempty"` // 0: 546
	TFTP        uint16 `json:"tftp,omitempty" yaml:"tftp,omitempty"`               // 0: 69
	HTTP        uint16 `json:"http,omitempty" yaml:"http,omitempty"`               // 0: 80
	DNS         uint16 `json:"dns,omitempty" yaml:"dns,omitempty"`                 // 0: 53
}

// tokenEnv is the environment variable that may hold the enrolment token.
const tokenEnv = "SPROUT_AGENT_TOKEN"

// Validate tells the first thing that is wrong, naming the field.
func (c Config) Validate() error {
	if c.DataDir == "" {
		return sprout.InvalidField("dataDir", "cannot run an agent without a directory for its data")
	}
	u, err := url.Parse(c.Server)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return sprout.InvalidField("server", "cannot use %q: it must be a URL like https://sprout.example", c.Server)
	}
	if err := c.validateAddresses(); err != nil {
		return err
	}
	if c.Interface != "" && strings.ContainsAny(c.Interface, "/ \t") {
		return sprout.InvalidField("interface", "cannot use %q: it must name a network device", c.Interface)
	}
	for _, dir := range []struct{ field, path string }{{"ramdiskDir", c.RamdiskDir}, {"bootFiles", c.bootFiles()}} {
		if info, err := os.Stat(dir.path); err != nil || !info.IsDir() {
			return sprout.InvalidField(dir.field, "cannot use %q: it must be a directory", dir.path)
		}
	}
	return cmp.Or(c.Memory.Check(), c.validateStatus(), c.validateMedia(), c.DHCP.check(c.Address), c.DNS.check(), c.Images.check())
}

func (c Config) validateAddresses() error {
	v4, v6 := c.Address.Addr(), c.Address6.Addr()
	if (c.Address.IsValid() || !c.Address6.IsValid()) && (!v4.Is4() || v4.IsUnspecified()) {
		return sprout.InvalidField("address", "cannot use %q: it must be the agent's IPv4 address and prefix length, like 10.20.0.1/24", c.Address)
	}
	if c.Address6.IsValid() && (!v6.Is6() || v6.IsUnspecified() || v6.IsLinkLocalUnicast() || v6.Is4In6()) {
		return sprout.InvalidField("address6", "cannot use %q: it must be the agent's IPv6 address and prefix length, like fd00:20::1/64, and not a link-local one", c.Address6)
	}
	return nil
}

func (c Config) validateStatus() error {
	if c.Status == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Status)
	ip, parseErr := netip.ParseAddr(host)
	if err != nil || parseErr != nil || !ip.IsLoopback() {
		return sprout.InvalidField("status", "cannot use %q: it must be a loopback address and a port, like 127.0.0.1:7070", c.Status)
	}
	return nil
}

func (c Config) validateMedia() error {
	u, err := url.Parse(c.MediaURL)
	if c.MediaURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.HasSuffix(u.Path, "/")) {
		return sprout.InvalidField("mediaUrl", "cannot use %q: it must be a URL like http://10.9.0.1, without a final slash", c.MediaURL)
	}
	return nil
}

func (c Config) bootFiles() string {
	if c.BootFiles == "" {
		return "/usr/lib/ipxe"
	}
	return c.BootFiles
}

func (c Config) name() string {
	if c.Name != "" {
		return c.Name
	}
	name, err := os.Hostname()
	if err != nil {
		return "agent"
	}
	return name
}

func (c Config) path(name string) string { return filepath.Join(c.DataDir, name) }

// own are the agent's addresses on the provisioning network, IPv4 first.
func (c Config) own() (list []netip.Addr) {
	for _, p := range []netip.Prefix{c.Address, c.Address6} {
		if p.IsValid() {
			list = append(list, p.Addr())
		}
	}
	return list
}

// at is where a service listens at one of the agent's addresses.
func at(own netip.Addr, port, usual uint16) netip.AddrPort {
	if port == 0 {
		port = usual
	}
	return netip.AddrPortFrom(own, port)
}

// url is the agent's base URL as a machine at the address reaches it: of the same
// version of IP, where the agent has one.
func (c Config) url(from netip.Addr) string {
	own := c.own()[0]
	if from.Is6() && c.Address6.IsValid() {
		own = c.Address6.Addr()
	}
	host := at(own, c.Ports.HTTP, 80)
	if host.Port() != 80 {
		return "http://" + host.String()
	}
	return "http://" + strings.TrimSuffix(host.String(), ":80")
}

// token finds the enrolment token.
func (c Config) token() (string, error) {
	switch {
	case c.Token != "":
		return c.Token, nil
	case c.TokenFile != "":
		raw, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return "", sprout.InvalidField("tokenFile", "cannot read the enrolment token: %w", err)
		}
		return strings.TrimSpace(string(raw)), nil
	}
	if token := os.Getenv(tokenEnv); token != "" {
		return token, nil
	}
	return "", sprout.InvalidField("tokenFile", "cannot enrol without a token: name a file that holds it, or set %s", tokenEnv).
		WithRemedy("sprout agent token create --site …")
}
