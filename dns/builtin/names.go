package builtin

import (
	"iter"
	"log/slog"
	"net/netip"
	"sync"
	"time"

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
	// Unsigned: whoever answers for the zones signs them, or not.
	Unsigned bool
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
	var signing []dns.SigningKey
	unusable := false
	for k := range keys {
		secret, err := n.Unseal(k.Secret)
		var s dns.SigningKey
		if err == nil && k.Algorithm == dns.SigningAlgorithm {
			s, err = dns.ReadSigningKey(secret)
		}
		switch {
		case err != nil:
			n.Log.Error("DNS key cannot be used", "key", k.Name, "error", err)
			unusable = unusable || k.Algorithm == dns.SigningAlgorithm
		case k.Algorithm == dns.SigningAlgorithm:
			signing = append(signing, s)
		default:
			list = append(list, Key{k.Name, k.Algorithm, secret})
		}
	}
	if len(signing) > 0 || !unusable { // a parent that vouches is not let down for a key that comes again
		n.sign(signing)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = NewRules(p, list, n.subnets)
	n.Policy.Set(n.rules)
}

// sign has the zones signed with the keys, unless another does it.
func (n *Names) sign(keys []dns.SigningKey) {
	if n.Unsigned {
		if len(keys) > 0 {
			n.Log.Warn("zones are not signed: the agent does not answer for them", "keys", len(keys))
		}
		return
	}
	n.Zones.Sign(keys, time.Now())
}
