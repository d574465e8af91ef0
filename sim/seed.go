package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A seed is what cloud-init reads of a NoCloud volume to phone home.
type seed struct {
	instance string
	hostname string
	url      string
	tries    int
	source   netip.Addr
}

// readSeed reads the config drive, and what that says is elsewhere. User-data
// wins over vendor-data where both speak, as in cloud-init.
func (m *Machine) readSeed(ctx context.Context, s *System) (seed, error) {
	var meta struct {
		Instance string `yaml:"instance-id"`
		Hostname string `yaml:"local-hostname"`
		SeedFrom string `yaml:"seedfrom"`
	}
	if err := yaml.Unmarshal([]byte(s.Drive.MetaData), &meta); err != nil {
		return seed{}, fmt.Errorf("cannot read meta-data: %w", err)
	}
	out := seed{instance: meta.Instance, hostname: meta.Hostname}
	source, err := m.address(s.Drive.NetworkConfig)
	if err != nil {
		return seed{}, err
	}
	out.source = source
	texts := []string{s.Drive.VendorData, s.Drive.UserData}
	if meta.SeedFrom != "" {
		if texts, err = m.fetchSeed(ctx, source, meta.SeedFrom); err != nil {
			return seed{}, err
		}
	}
	for _, text := range texts {
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
	return out, nil
}

// fetchSeed fetches vendor-data and user-data over HTTP, as NoCloud's seedfrom
// has cloud-init do. Of what comes in parts it returns the cloud-configs.
func (m *Machine) fetchSeed(ctx context.Context, source netip.Addr, from string) (texts []string, err error) {
	w := newWeb(source, &m.cable)
	defer w.Close()
	for _, name := range []string{"vendor-data", "user-data"} {
		resp, err := w.do(ctx, "GET", from+name, nil, "")
		if err != nil {
			return nil, fmt.Errorf("cannot fetch %s: %w", name, err)
		}
		raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
		parts, err := cloudConfigs(raw)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
		texts = append(texts, parts...)
	}
	return texts, nil
}

func cloudConfigs(raw []byte) (all []string, err error) {
	if !bytes.HasPrefix(raw, []byte("Content-Type:")) {
		return []string{string(raw)}, nil
	}
	whole, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	_, is, err := mime.ParseMediaType(whole.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	parts := multipart.NewReader(whole.Body, is["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
	}
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
