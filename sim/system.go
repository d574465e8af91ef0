package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"sprout"
)

// homePause is between tries to phone home; cloud-init waits 3 s.
const homePause = time.Second

// runSystem boots the installed system: it configures its address and phones
// home as cloud-init does (module cc_phone_home, once an instance), and runs
// until power goes.
func (m *Machine) runSystem(ctx context.Context, s *System) error {
	if err := m.at(ctx, StepDisk, "%s as %s", s.Image, s.Hostname); err != nil {
		return err
	}
	if err := sprout.Pause(ctx, m.pace.System); err != nil {
		return err
	}
	m.mu.Lock()
	homed := s.Homed
	m.mu.Unlock()
	if !homed {
		if err := m.phoneHome(ctx, s); err != nil {
			if ctx.Err() != nil || errors.Is(err, errPowerLost) {
				return err
			}
			m.note(StepHome, "cannot phone home: %v", err)
		}
	}
	if err := m.at(ctx, StepUp, "%s", s.Hostname); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// A seed is what cloud-init reads of a NoCloud volume to phone home.
type seed struct {
	instance string
	hostname string
	url      string
	tries    int
	source   netip.Addr
}

func (m *Machine) phoneHome(ctx context.Context, s *System) error {
	seed, err := m.readSeed(s)
	if err != nil {
		return err
	}
	if err := m.at(ctx, StepHome, "from %s", seed.source); err != nil {
		return err
	}
	if f, hit := m.fault(NeverHome, StepHome, 0); hit {
		m.note(StepHome, "fault: %s", f)
		return errors.New("fault: " + f.String())
	}
	w := newWeb(seed.source)
	defer w.Close()
	form := url.Values{"hostname": {seed.hostname}, "instance_id": {seed.instance}}.Encode()
	for range max(seed.tries, 1) {
		resp, err := w.do(ctx, "POST", seed.url, "", strings.NewReader(form), "application/x-www-form-urlencoded")
		if err == nil {
			_ = resp.Body.Close()
			m.mu.Lock()
			s.Homed = true
			m.mu.Unlock()
			return nil
		}
		m.note(StepHome, "not yet: %v", err)
		if err := sprout.Pause(ctx, homePause); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d tries failed", seed.tries)
}

// readSeed reads the config drive. User-data wins over vendor-data where both
// speak, as in cloud-init.
func (m *Machine) readSeed(s *System) (seed, error) {
	var meta struct {
		Instance string `yaml:"instance-id"`
		Hostname string `yaml:"local-hostname"`
	}
	if err := yaml.Unmarshal([]byte(s.Drive.MetaData), &meta); err != nil {
		return seed{}, fmt.Errorf("cannot read meta-data: %w", err)
	}
	out := seed{instance: meta.Instance, hostname: meta.Hostname}
	for _, text := range []string{s.Drive.VendorData, s.Drive.UserData} {
		var cloud struct {
			PhoneHome struct {
				URL   string `yaml:"url"`
				Tries int    `yaml:"tries"`
			} `yaml:"phone_home"`
		}
		if !strings.HasPrefix(text, "#cloud-config") {
			continue
		}
		if err := yaml.Unmarshal([]byte(text), &cloud); err != nil {
			return seed{}, fmt.Errorf("cannot read cloud-config: %w", err)
		}
		if cloud.PhoneHome.URL != "" {
			out.url, out.tries = cloud.PhoneHome.URL, cloud.PhoneHome.Tries
		}
	}
	if out.instance == "" || out.url == "" {
		return seed{}, errors.New("the config drive has no instance-id or no phone_home url")
	}
	source, err := m.address(s.Drive.NetworkConfig)
	out.source = source
	return out, err
}

// address returns the address that network-config (version 2) gives to one of
// the machine's ports.
func (m *Machine) address(config string) (netip.Addr, error) {
	var network struct {
		Ethernets map[string]struct {
			Match struct {
				MAC string `yaml:"macaddress"`
			} `yaml:"match"`
			Addresses []string `yaml:"addresses"`
		} `yaml:"ethernets"`
	}
	if err := yaml.Unmarshal([]byte(config), &network); err != nil {
		return netip.Addr{}, fmt.Errorf("cannot read network-config: %w", err)
	}
	for _, e := range network.Ethernets {
		if len(e.Addresses) == 0 || !slices.Contains(m.spec.MACs, e.Match.MAC) {
			continue
		}
		p, err := netip.ParsePrefix(e.Addresses[0])
		return p.Addr(), err
	}
	return netip.Addr{}, errors.New("network-config has no address for a port of this machine")
}
