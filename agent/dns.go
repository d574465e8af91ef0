package agent

import (
	"context"
	"net/netip"

	"sprout"
	"sprout/dns/builtin"
	"sprout/dns/powerdns"
	"sprout/provider"
)

// DNS says who answers for the site's names.
type DNS struct {
	// Provider is builtin or powerdns; empty: builtin.
	Provider string   `json:"provider,omitempty" yaml:"provider,omitempty"`
	PowerDNS PowerDNS `json:"powerdns,omitzero" yaml:"powerdns,omitempty"`
}

// PowerDNS says which one, where it is the provider.
type PowerDNS struct {
	// URL is where its HTTP API is: http://127.0.0.1:8081, or https beyond this host.
	URL string `json:"url,omitempty" yaml:"url,omitempty"`
	// KeyFile holds the key of the API.
	KeyFile string `json:"keyFile,omitempty" yaml:"keyFile,omitempty"`
	// Server is what the API calls the server; empty: localhost.
	Server string `json:"server,omitempty" yaml:"server,omitempty"`
	// TakeOver allows to replace zones that Sprout did not make.
	TakeOver bool `json:"takeOver,omitempty" yaml:"takeOver,omitempty"`
}

// powerdnsProvider is the name of the provider in the list.
const powerdnsProvider = "powerdns"

func (d DNS) check() error {
	if err := provider.OfSite("dns", d.Provider); err != nil {
		return err
	}
	switch {
	case d.Provider == powerdnsProvider:
		return d.PowerDNS.config().Check()
	case d.PowerDNS != (PowerDNS{}):
		return sprout.InvalidField("dns.powerdns", "cannot be set without PowerDNS as the provider").WithRemedy("dns.provider: powerdns")
	}
	return nil
}

func (p PowerDNS) config() powerdns.Config {
	return powerdns.Config{URL: p.URL, KeyFile: p.KeyFile, Server: p.Server, TakeOver: p.TakeOver}
}

// namer makes what has the site's names answered: the agent's own name server at
// the addresses, or what tells PowerDNS.
func (s *site) namer(listen []netip.AddrPort) (func(context.Context) error, error) {
	if s.config.DNS.Provider != powerdnsProvider {
		server, err := builtin.NewServer(builtin.ServerConfig{Addresses: listen, Zones: s.zones, Rules: s.policy, Updates: s.store, Log: s.log})
		if err != nil {
			return nil, err
		}
		return server.Serve, nil
	}
	c := s.config.DNS.PowerDNS.config()
	c.Site, c.Zones, c.Trouble, c.Log = s.enrol.Site.ID, s.zones, s.troubles.Set, s.log
	server, err := powerdns.New(c)
	if err != nil {
		return nil, err
	}
	return server.Serve, nil
}
