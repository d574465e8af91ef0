package builtin

import (
	"iter"
	"log/slog"
	"net/netip"
	"sync"

	"sprout"
	"sprout/dns"
	"sprout/dns/zone"
)

// Names brings a site's names into zones as its store tells them.
type Names struct {
	Zones  *zone.DB
	Agent  []netip.Addr // addresses of the name server
	VRF    string       // that it is in
	Policy *Policy
	// Unseal opens the secret of a key.
	Unseal func(sealed []byte) (string, error)
	Log    *slog.Logger

	mu      sync.Mutex
	subnets []netip.Prefix
	rules   *Rules
}

// Load takes all names.
func (n *Names) Load(site sprout.Site, subnets iter.Seq[sprout.Subnet], records iter.Seq[sprout.Record], serial uint32) {
	l := zone.Layout{Domain: dns.Canonical(site.Domain), Agent: n.Agent, VRF: n.VRF}
	var prefixes []netip.Prefix
	for s := range subnets {
		l.Subnets, prefixes = append(l.Subnets, zone.Subnet{Prefix: s.CIDR, VRF: s.VRF}), append(prefixes, s.CIDR)
		l.Domains = append(l.Domains, dns.Canonical(s.Domain))
	}
	n.Zones.Load(l, records, serial)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subnets = prefixes
	if n.rules != nil {
		n.Policy.Set(n.rules.with(prefixes))
	}
}

// Change replaces records by others.
func (n *Names) Change(remove, add []sprout.Record, serial uint32) {
	n.Zones.Change(remove, add, serial)
}

// Rules takes who may do what. A key that was sealed to another agent is not
// known until the centre seals it to this one.
func (n *Names) Rules(p sprout.DNSPolicy, keys iter.Seq[sprout.SiteDNSKey]) {
	var list []Key
	for k := range keys {
		secret, err := n.Unseal(k.Secret)
		if err != nil {
			n.Log.Error("DNS key cannot be used", "key", k.Name, "error", err)
			continue
		}
		list = append(list, Key{k.Name, k.Algorithm, secret})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = NewRules(p, list, n.subnets)
	n.Policy.Set(n.rules)
}
