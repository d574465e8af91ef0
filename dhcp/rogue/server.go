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
}

// String names it for people.
func (s Server) String() string {
	if s.MAC == "" {
		return s.Address.String() + " (its MAC address was not seen: clients name it)"
	}
	return fmt.Sprintf("%s (%s)", s.Address, s.MAC)
}

// known tells whether a list of addresses and MAC addresses names it.
func (s Server) known(list []string) bool {
	return slices.Contains(list, s.Address.WithZone("").String()) || s.MAC != "" && slices.Contains(list, s.MAC)
}

// mostServers bounds what is remembered: whoever makes up more is told of by
// these.
const mostServers = 16

// A record has the servers that were heard of lately, by address.
type record struct {
	mu   sync.Mutex
	seen map[netip.Addr]sighting
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
		r.seen = map[netip.Addr]sighting{}
	}
	old, had := r.seen[s.Address]
	if !had && len(r.seen) >= mostServers {
		return false
	}
	if had && (s.MAC == "" || s.MAC == old.MAC) {
		s = old.Server
	}
	r.seen[s.Address] = sighting{s, at}
	return !had || s.MAC != old.MAC
}

// rogues lists those that were heard of since a time and that nobody knows, by
// address. What is older is forgotten.
func (r *record) rogues(since time.Time, known []string) (list []Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for address, s := range r.seen {
		switch {
		case s.last.Before(since):
			delete(r.seen, address)
		case !s.known(known):
			list = append(list, s.Server)
		}
	}
	slices.SortFunc(list, func(a, b Server) int { return cmp.Or(a.Address.Compare(b.Address), strings.Compare(a.MAC, b.MAC)) })
	return list
}
