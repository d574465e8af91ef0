// Package provider is the one list of implementations: which capability can be
// had in which ways. Nothing registers itself; what is not built yet is listed
// as such and refuses to be selected. It knows implementations and nothing of
// who uses them.
package provider

import (
	"slices"
	"strings"

	"sprout"
)

// A Provider is one row of the list.
type Provider struct {
	Capability  string
	Name        string
	Description string
	Selectable  bool
	Why         string // why it cannot be selected
}

const (
	notBuilt = "not built yet"
	perBMC   = "power is chosen for each machine by the driver of its BMC"
)

// atSite are the providers that a site's agent is told to have, by capability,
// and perSite why.
var (
	atSite  = map[string]string{"dhcp": "kea", "dns": "powerdns"}
	perSite = map[string]string{"dhcp": "DHCP is served by each site's agent", "dns": "names are answered at each site"}
)

// List is every provider, the default of each capability first.
func List() []Provider {
	return []Provider{
		{"ipam", "builtin", "Addresses from the subnets in PostgreSQL.", true, ""},
		{"ipam", "netbox", "Addresses from NetBox.", false, notBuilt},
		{"ipam", "nautobot", "Addresses from Nautobot.", false, notBuilt},
		{"network", "builtin", "Networks and subnets in PostgreSQL.", true, ""},
		{"network", "netbox", "Networks from NetBox.", false, notBuilt},
		{"network", "nautobot", "Networks from Nautobot.", false, notBuilt},
		{"dhcp", "builtin", "The agent answers DHCP by itself.", true, ""},
		{"dhcp", "kea", "ISC Kea answers DHCP of IPv4, and the agent tells it what.", true, ""},
		{"dns", "builtin", "The agent answers for the site's zones.", true, ""},
		{"dns", "powerdns", "PowerDNS answers for the site's zones, and the agent tells it what.", true, ""},
		{"hwtest", "builtin", "Memory, CPU, disk and link tests of the ramdisk.", true, ""},
		{"alloc", "builtin", "The machine that fits tightest.", true, ""},
		{"power", "redfish", "BMCs that speak Redfish (DMTF DSP0266).", true, ""},
		{"power", "ipmi", "BMCs that speak IPMI 2.0 over LAN.", true, ""},
		{"power", "webhook", "A program of yours that switches power, asked by HTTP.", true, ""},
		{"power", "manual", "A person at the power button.", true, ""},
	}
}

// A Selection names the provider of each capability. What is absent is the
// capability's first provider.
type Selection map[string]string

// Name returns the selected provider of the capability.
func (s Selection) Name(capability string) string {
	if name := s[capability]; name != "" {
		return name
	}
	for _, p := range List() {
		if p.Capability == capability {
			return p.Name
		}
	}
	return ""
}

// Selected tells whether p is in use. Power providers all are: each machine's
// BMC names its own.
func (s Selection) Selected(p Provider) bool {
	return p.Selectable && (p.Capability == "power" || s.Name(p.Capability) == p.Name)
}

// Check refuses a selection that names an unknown capability or provider, or
// one that cannot be selected. The error's field is providers.CAPABILITY.
func (s Selection) Check() error {
	for capability, name := range s {
		if err := check(capability, name); err != nil {
			return err
		}
	}
	return nil
}

// OfSite refuses a provider that a site's agent cannot have for the capability;
// empty is the capability's first. The error's field is CAPABILITY.provider.
func OfSite(capability, name string) error {
	var names []string
	for _, p := range List() {
		if p.Capability == capability && p.Selectable {
			names = append(names, p.Name)
		}
	}
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return sprout.InvalidField(capability+".provider", "unknown provider %q; it must be one of %s", name, strings.Join(names, ", "))
}

func check(capability, name string) error {
	var known, names []string
	for _, p := range List() {
		if !slices.Contains(known, p.Capability) {
			known = append(known, p.Capability)
		}
		if p.Capability == capability && p.Selectable {
			names = append(names, p.Name)
		}
	}
	field := "providers." + capability
	switch {
	case !slices.Contains(known, capability):
		return sprout.InvalidField(field, "unknown capability; known are %s", strings.Join(known, ", "))
	case capability == "power":
		return sprout.InvalidField(field, "cannot be selected here: %s", perBMC)
	case atSite[capability] == name && name != "":
		return sprout.InvalidField(field, "cannot be selected here: %s", perSite[capability]).WithRemedy("%s.provider: %s, in the agent's configuration", capability, name)
	case slices.Contains(names, name):
		return nil
	}
	for _, p := range List() {
		if p.Capability == capability && p.Name == name {
			return sprout.InvalidField(field, "cannot select %s: %s", name, p.Why).WithRemedy("%s: %s", field, names[0])
		}
	}
	return sprout.InvalidField(field, "unknown provider %q; it must be one of %s", name, strings.Join(names, ", "))
}
