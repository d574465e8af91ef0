package rogue

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Server is another DHCP server that was heard of.
type Server struct {
	Address netip.Addr // that it names itself by, or spoke from; IPv6: link-local, mostly
	MAC     string     // it spoke from; empty: only clients named it, as from beyond a relay
	Says    string     // what it said first, for people
	DUID    string     // of a DHCPv6 server: hexadecimal
	Router  bool       // it is a router, which advertises
}

// key is what it is remembered by.
func (s Server) key() string {
	if s.Router {
		return "router " + s.Address.String()
	}
	if s.Address.IsValid() {
		return s.Address.String()
	}
	return s.DUID
}

// String names it for people.
func (s Server) String() string {
	name := s.Address.String()
	if !s.Address.IsValid() {
		name = "DUID " + s.DUID
	}
	if s.MAC == "" {
		return name + " (its MAC address was not seen: clients name it)"
	}
	return fmt.Sprintf("%s (%s)", name, s.MAC)
}

// known tells whether a list of addresses, prefixes and MAC addresses names it.
func (s Server) known(list []string) bool {
	at := s.Address.WithZone("")
	return slices.ContainsFunc(list, func(one string) bool {
		if p, err := netip.ParsePrefix(one); err == nil {
			return p.Contains(at)
		}
		return one == at.String() || one == s.MAC && s.MAC != ""
	})
}

// mostServers bounds what is remembered: whoever makes up more is told of by
// these.
const mostServers = 16

// A record has the servers that were heard of lately, by address or DUID.
type record struct {
	mu   sync.Mutex
	seen map[string]sighting
}

type sighting struct {
	Server
	last time.Time
}

// note remembers that a server was heard at a time; true: it is news.
func (r *record) note(s Server, at time.Time) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]sighting{}
	}
	key := r.same(s)
	old, had := r.seen[key]
	if !had && len(r.seen) >= mostServers {
		return false
	}
	nothingNew := (s.MAC == "" || s.MAC == old.MAC) && (s.DUID == "" || s.DUID == old.DUID)
	if had && (nothingNew || old.Address.IsValid() && !s.Address.IsValid()) {
		s = old.Server
	}
	r.seen[key] = sighting{s, at}
	return !had || s != old.Server
}

// same is the key of the server, where it was heard of before: one that clients
// name by its DUID is the one that spoke with it.
func (r *record) same(s Server) string {
	if s.Address.IsValid() {
		if s.DUID != "" {
			delete(r.seen, s.DUID) // from here on it is known by its address
		}
		return s.key()
	}
	for key, o := range r.seen {
		if o.DUID == s.DUID {
			return key
		}
	}
	return s.key()
}

// rogues lists those that were heard of since a time and that nobody knows, by
// address. What is older is forgotten.
func (r *record) rogues(since time.Time, known []string) (list []Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, s := range r.seen {
		switch {
		case s.last.Before(since):
			delete(r.seen, key)
		case !s.known(known):
			list = append(list, s.Server)
		}
	}
	slices.SortFunc(list, func(a, b Server) int {
		return cmp.Or(a.Address.Compare(b.Address), strings.Compare(a.DUID, b.DUID), strings.Compare(a.MAC, b.MAC))
	})
	return list
}
