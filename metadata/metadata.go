// Package metadata says to an installed system what it is, in the words of each
// kind that asks: cloud-init's NoCloud, on a volume or over HTTP, the paths of
// EC2, and Ignition. All of them are made of one Instance, so that no two of them
// differ. It knows neither who may ask nor how the bytes get there.
package metadata

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"sprout"
	"sprout/netconfig"
)

// An Instance is one installation of a machine.
type Instance struct {
	ID       string // never the same for two installations
	Hostname string // fully qualified
	SSHKeys  []string
	UserData string // as the operator wrote it; empty: none
	Home     string // URL that the system posts to once it runs
	Links    []sprout.LinkSetup
}

// Drive is the whole NoCloud volume of the instance.
func (i Instance) Drive() (sprout.ConfigDrive, error) {
	vendor, err := i.vendor()
	if err != nil {
		return sprout.ConfigDrive{}, err
	}
	d, err := i.start("")
	if err != nil {
		return d, err
	}
	d.VendorData, d.UserData = vendor, i.user()
	return d, nil
}

// Seed is a NoCloud volume that says only where all else is: at the URL, which
// ends in a slash, and at the machine's first boot alone.
func (i Instance) Seed(url string) (sprout.ConfigDrive, error) {
	d, err := i.start(url)
	d.UserData = noUserData
	return d, err
}

const noUserData = "#cloud-config\n{}\n"

// start is what NoCloud needs on the volume itself: who the machine is, and its
// network (cloud-init, "NoCloud" datasource; seedfrom names neither).
func (i Instance) start(seedFrom string) (d sprout.ConfigDrive, err error) {
	meta := map[string]any{"instance-id": i.ID, "local-hostname": i.Hostname}
	if seedFrom != "" {
		meta["seedfrom"] = seedFrom
	} else {
		meta["public-keys"] = i.SSHKeys
	}
	if d.MetaData, err = document("", meta); err != nil {
		return d, err
	}
	d.NetworkConfig, err = netconfig.Render(i.Links)
	return d, err
}

// vendor is what Sprout needs of the system. It is vendor data, so that the
// operator's user data stays as it was written and wins where both speak.
func (i Instance) vendor() (string, error) {
	short, _, _ := strings.Cut(i.Hostname, ".")
	config := map[string]any{
		"hostname": short, "fqdn": i.Hostname, "prefer_fqdn_over_hostname": false,
		"ssh_authorized_keys": i.SSHKeys,
		"phone_home": map[string]any{
			"url": i.Home, "post": []string{"hostname", "instance_id"}, "tries": 20,
		},
	}
	if servers := i.timeServers(); len(servers) > 0 {
		config["ntp"] = map[string]any{"enabled": true, "servers": servers}
	}
	return document("#cloud-config\n", config)
}

// timeServers are those of the networks in which it has an address of its own: network
// configurations have no place for them.
func (i Instance) timeServers() (servers []string) {
	for _, l := range i.Links {
		for _, at := range l.NTP {
			if !slices.Contains(servers, at.String()) {
				servers = append(servers, at.String())
			}
		}
	}
	return servers
}

func (i Instance) user() string {
	if strings.TrimSpace(i.UserData) == "" {
		return noUserData
	}
	return i.UserData
}

// first is the instance's first address of the family; the zero Addr: none.
func (i Instance) first(family func(netip.Addr) bool) netip.Addr {
	for _, l := range i.Links {
		for _, a := range l.Addresses {
			if family(a.Addr()) {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}

func document(head string, v any) (string, error) {
	raw, err := yaml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("cannot write metadata: %w", err)
	}
	return head + string(raw), nil
}
