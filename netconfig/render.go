package netconfig

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v4"

	"sprout"
)

// The network-config version 2 of cloud-init, which is netplan's. Only what is
// used of it; keys are those of netplan 0.106 (netplan-yaml).
type document struct {
	Version   int                 `yaml:"version"`
	Ethernets map[string]ethernet `yaml:"ethernets,omitempty"`
	Bonds     map[string]bond     `yaml:"bonds,omitempty"`
	VLANs     map[string]vlan     `yaml:"vlans,omitempty"`
	Bridges   map[string]bridge   `yaml:"bridges,omitempty"`
}

// common is what every interface may have.
type common struct {
	Addresses   []string     `yaml:"addresses,omitempty"`
	DHCP4       bool         `yaml:"dhcp4,omitempty"`
	DHCP6       bool         `yaml:"dhcp6,omitempty"`
	AcceptRA    *bool        `yaml:"accept-ra,omitempty"`
	LinkLocal   *[]string    `yaml:"link-local,omitempty,flow"`
	Optional    bool         `yaml:"optional,omitempty"`
	MTU         int          `yaml:"mtu,omitempty"`
	MAC         string       `yaml:"macaddress,omitempty"` // of a bond or bridge
	Routes      []route      `yaml:"routes,omitempty"`
	Nameservers *nameservers `yaml:"nameservers,omitempty"`
}

type match struct {
	MAC string `yaml:"macaddress"`
}

type ethernet struct {
	Match   match  `yaml:"match"`
	SetName string `yaml:"set-name,omitempty"`
	common  `yaml:",inline"`
}

type bond struct {
	Interfaces []string `yaml:"interfaces"`
	Parameters struct {
		Mode     string `yaml:"mode"`
		MIIMon   int    `yaml:"mii-monitor-interval"`
		LACPRate string `yaml:"lacp-rate,omitempty"`
		Hash     string `yaml:"transmit-hash-policy,omitempty"`
		Primary  string `yaml:"primary,omitempty"`
	} `yaml:"parameters"`
	common `yaml:",inline"`
}

type vlan struct {
	ID     int    `yaml:"id"`
	Link   string `yaml:"link"`
	common `yaml:",inline"`
}

type bridge struct {
	Interfaces []string `yaml:"interfaces"`
	Parameters struct {
		STP          bool `yaml:"stp"`
		ForwardDelay int  `yaml:"forward-delay"` // seconds
	} `yaml:"parameters"`
	common `yaml:",inline"`
}

type route struct {
	To     string `yaml:"to"`
	Via    string `yaml:"via"`
	Metric int    `yaml:"metric,omitempty"`
	OnLink bool   `yaml:"on-link,omitempty"`
}

type nameservers struct {
	Addresses []netip.Addr `yaml:"addresses,omitempty"`
	Search    []string     `yaml:"search,omitempty"`
}

// defaultMIIMon is how often a bond looks at its links, in milliseconds: the
// kernel's own default is never.
const defaultMIIMon = 100

// Render writes cloud-init's network-config version 2. A port is told by its
// MAC, and given its name if it has one.
func Render(links []sprout.LinkSetup) (string, error) {
	d := document{Version: 2, Ethernets: map[string]ethernet{}, Bonds: map[string]bond{}, VLANs: map[string]vlan{}, Bridges: map[string]bridge{}}
	for i, l := range links {
		c := commonOf(l)
		switch {
		case l.Bond != nil:
			b := bond{Interfaces: l.Bond.Members, common: c}
			b.Parameters.Mode, b.Parameters.LACPRate, b.Parameters.Hash, b.Parameters.Primary = l.Bond.Mode, l.Bond.LACPRate, l.Bond.XmitHashPolicy, l.Bond.Primary
			if b.Parameters.MIIMon = l.Bond.MIIMon; b.Parameters.MIIMon == 0 {
				b.Parameters.MIIMon = defaultMIIMon
			}
			b.MAC = l.MAC
			d.Bonds[l.Name] = b
		case l.VLAN != nil:
			d.VLANs[l.Name] = vlan{ID: l.VLAN.ID, Link: l.VLAN.Parent, common: c}
		case l.Bridge != nil:
			b := bridge{Interfaces: l.Bridge.Members, common: c}
			b.Parameters.STP, b.Parameters.ForwardDelay = l.Bridge.STP, l.Bridge.ForwardDelay
			if l.Bridge.STP && l.Bridge.ForwardDelay == 0 {
				b.Parameters.ForwardDelay = 15 // IEEE 802.1D-2004 table 17-1
			}
			b.MAC = l.MAC
			d.Bridges[l.Name] = b
		default:
			name := l.Name
			if name == "" {
				name = fmt.Sprintf("id%d", i)
			}
			d.Ethernets[name] = ethernet{Match: match{l.MAC}, SetName: l.Name, common: c}
		}
	}
	raw, err := yaml.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("cannot write network-config: %w", err)
	}
	return string(raw), nil
}

// commonOf is what the link has like any other. One without addresses and DHCP
// takes none from routers either, and nobody waits for it at boot.
func commonOf(l sprout.LinkSetup) common {
	c := common{DHCP4: l.DHCP4, DHCP6: l.DHCP6, MTU: l.MTU}
	if len(l.Addresses) == 0 && !l.DHCP4 && !l.DHCP6 {
		c.AcceptRA, c.LinkLocal, c.Optional = new(bool), &[]string{}, true
	}
	for _, a := range l.Addresses {
		c.Addresses = append(c.Addresses, a.String())
	}
	for _, r := range l.Routes {
		near := r.Via.IsLinkLocalUnicast()
		for _, a := range l.Addresses {
			near = near || a.Masked().Contains(r.Via)
		}
		c.Routes = append(c.Routes, route{To: r.To.String(), Via: r.Via.String(), Metric: r.Metric, OnLink: !near})
	}
	if len(l.DNS) > 0 || len(l.Search) > 0 {
		c.Nameservers = &nameservers{l.DNS, l.Search}
	}
	return c
}
