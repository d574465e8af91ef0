// Package lab is a site on one host, with real firmware: QEMU machines with
// Redfish BMCs on a bridge, in a network namespace of its own, beside the
// site's agent. One supervisor process holds it all and takes it all with it
// when it ends. It must not know the control plane, beyond the addresses that
// its WAN leads to, nor what anybody does with the machines.
package lab

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"

	"sprout"
)

// A Config is what a lab is made of. It is kept in the lab's directory.
type Config struct {
	Name     string       `json:"name"`              // of the network namespace
	Dir      string       `json:"dir"`               // absolute; holds disks, logs, sockets
	Address  netip.Prefix `json:"address"`           // of the bridge: the agent's and the BMCs'
	Address6 netip.Prefix `json:"address6,omitzero"` // of the bridge, of IPv6; zero: none
	WAN      []string     `json:"wan"`               // host:port of the control plane on the host's loopback, reached at the same address from inside
	Agent    []string     `json:"agent"`             // arguments of the agent, run from our own executable; empty: no agent

	// Up writes these, where they are not empty, to AgentConfigPath and
	// AgentTokenPath, for the arguments to name.
	AgentConfig string `json:"-"`
	AgentToken  string `json:"-"`
}

// BridgeName is the network device of the site's network, inside the lab.
const BridgeName = "br0"

// DefaultName is the network namespace of a lab that was not named.
const DefaultName = "sprout-lab"

// DefaultAddress is the bridge's address unless another is chosen.
var DefaultAddress = netip.MustParsePrefix("10.20.0.1/24")

// DefaultAddress6 is an example of one of IPv6.
var DefaultAddress6 = netip.MustParsePrefix("fd00:20::1/64")

var nameRule = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// maxSocketPath is what fits a unix socket's address (unix(7)).
const maxSocketPath = 107

// check says what is wrong with a config before anything starts.
func (c *Config) check() error {
	c.Name = cmp.Or(c.Name, DefaultName)
	if !c.Address.IsValid() {
		c.Address = DefaultAddress
	}
	switch {
	case !nameRule.MatchString(c.Name):
		return sprout.InvalidField("name", "cannot name a lab %q: use a-z, 0-9 and -, at most 63", c.Name)
	case !c.Address.Addr().Is4() || c.Address.Bits() > 30 || c.Address.Masked().Addr() == c.Address.Addr():
		return sprout.InvalidField("address", "cannot use %s: give the bridge's own IPv4 address and prefix length, like %s", c.Address, DefaultAddress)
	case c.Address6.IsValid() && (!c.Address6.Addr().Is6() || c.Address6.Addr().IsLinkLocalUnicast() || c.Address6.Masked().Addr() == c.Address6.Addr()):
		return sprout.InvalidField("address6", "cannot use %s: give the bridge's own IPv6 address and prefix length, like %s", c.Address6, DefaultAddress6)
	case !filepath.IsAbs(c.Dir):
		return sprout.InvalidField("dir", "cannot use directory %q: it must be absolute", c.Dir)
	case len(socketPath(c.Dir)) > maxSocketPath:
		return sprout.InvalidField("dir", "cannot use directory %s: a unix socket's path must fit in it (%d characters in all)", c.Dir, maxSocketPath)
	}
	for _, to := range c.WAN {
		at, err := netip.ParseAddrPort(to)
		if err != nil || !at.Addr().IsLoopback() || at.Port() == 0 {
			return sprout.InvalidField("wan", "cannot lead the WAN to %q: it must be a loopback address of the host and a port, like 127.0.0.1:8080", to)
		}
	}
	return nil
}

// DefaultDir is where a lab keeps its things unless told otherwise.
func DefaultDir(name string) (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("cannot choose a directory for the lab: %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "sprout", "lab", cmp.Or(name, DefaultName)), nil
}

// The files of a lab's directory.
func configPath(dir string) string { return filepath.Join(dir, "lab.json") }
func lockPath(dir string) string   { return filepath.Join(dir, "lab.lock") }
func socketPath(dir string) string { return filepath.Join(dir, "lab.sock") }
func rackPath(dir string) string   { return filepath.Join(dir, "machines") }

// LogPath is where the supervisor of the lab in dir logs.
func LogPath(dir string) string { return filepath.Join(dir, "lab.log") }

// AgentLogPath is where the agent's output goes.
func AgentLogPath(dir string) string { return filepath.Join(dir, "agent.log") }

// AgentConfigPath is the file of Config.AgentConfig.
func AgentConfigPath(dir string) string { return filepath.Join(dir, "agent.yaml") }

// AgentTokenPath is the file of Config.AgentToken.
func AgentTokenPath(dir string) string { return filepath.Join(dir, "agent-token") }

// AgentDir is where the agent of the lab in dir keeps its state.
func AgentDir(dir string) string { return filepath.Join(dir, "agent") }

// ConsolePath is the file of everything a machine's serial console said.
func ConsolePath(dir, machine string) string {
	return filepath.Join(rackPath(dir), machine, consoleLog)
}

// ReadConfig reads what the lab in dir is made of. It returns a NotFound error
// where there is none.
func ReadConfig(dir string) (Config, error) {
	var c Config
	err := readJSON(configPath(dir), &c)
	if errors.Is(err, fs.ErrNotExist) {
		return c, sprout.Errorf(sprout.NotFound, "there is no lab in %s", dir).WithRemedy("sprout lab up")
	}
	return c, err
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces the file as a whole, readable by its owner only.
func writeJSON(path string, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", append(raw, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
