package builtin

import (
	"net/netip"
	"slices"
	"strings"

	"sprout"
	"sprout/dns"
)

// Rules are a site's policy, ready to be asked.
type Rules struct {
	keys     map[string]Key // by canonical name
	transfer []grant
	update   []grant
	notify   []secondary
	forward  []netip.AddrPort
	clients  []netip.Prefix // whose queries are forwarded
}

// A Key is a TSIG key (RFC 8945).
type Key struct {
	Name      string // canonical
	Algorithm string // as sprout.DNSKey has it
	Secret    string // base64
}

// A grant is one entry of an access list: who shows the key, from the prefix.
type grant struct {
	key  string       // "": none is needed
	from netip.Prefix // zero: anywhere
}

// A secondary is told of changes.
type secondary struct {
	at  netip.AddrPort
	key string // signs what it is told; "": nothing does
}

// NewRules reads a policy. What cannot be read grants nothing: the centre has
// checked it.
func NewRules(p sprout.DNSPolicy, keys []Key, clients []netip.Prefix) *Rules {
	r := &Rules{keys: map[string]Key{}, clients: clients}
	for _, k := range keys {
		r.keys[dns.Canonical(k.Name)] = k
	}
	for _, list := range []struct {
		texts []string
		to    *[]grant
	}{{p.Transfer, &r.transfer}, {p.Update, &r.update}} {
		for _, text := range list.texts {
			if key, from, err := dns.ParseGrant(text); err == nil {
				*list.to = append(*list.to, grant{key, from})
			}
		}
	}
	r.update = slices.DeleteFunc(r.update, func(g grant) bool { return g.key == "" })
	for _, text := range p.Notify {
		if key, at, err := dns.ParseSecondary(text); err == nil {
			r.notify = append(r.notify, secondary{at, key})
		}
	}
	for _, text := range p.Forward {
		if _, at, err := dns.ParseSecondary(text); err == nil {
			r.forward = append(r.forward, at)
		}
	}
	return r
}

// with returns the rules for other subnets.
func (r *Rules) with(clients []netip.Prefix) *Rules {
	other := *r
	other.clients = clients
	return &other
}

func (r *Rules) mayTransfer(key string, from netip.Addr) bool { return granted(r.transfer, key, from) }
func (r *Rules) mayUpdate(key string, from netip.Addr) bool   { return granted(r.update, key, from) }

func granted(list []grant, key string, from netip.Addr) bool {
	return slices.ContainsFunc(list, func(g grant) bool {
		return (g.key == "" || g.key == key) && (!g.from.IsValid() || g.from.Contains(from.WithZone("")))
	})
}

// forwards tells whether a client's queries for other names are passed on.
func (r *Rules) forwards(from netip.Addr) bool {
	return len(r.forward) > 0 && slices.ContainsFunc(r.clients, func(p netip.Prefix) bool { return p.Contains(from.WithZone("")) })
}

// key finds a TSIG key by the name that a message gives.
func (r *Rules) key(name string) (Key, bool) {
	k, ok := r.keys[strings.ToLower(strings.TrimSuffix(name, "."))]
	return k, ok
}
