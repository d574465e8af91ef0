package sim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Squatters are hosts of a site's network that use addresses which nobody gave
// them. The agent of simulated machines asks them who has an address, as others ask
// their link (agent.Config.Link). The zero value has none.
type Squatters struct {
	mu   sync.Mutex
	has  map[netip.Addr]string // MAC
	next map[string]int        // by MAC of a machine: so many addresses that it is to have are taken first
}

// Take has a host of the MAC address use an address.
func (s *Squatters) Take(ip netip.Addr, mac string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has == nil {
		s.has = map[netip.Addr]string{}
	}
	s.has[ip] = strings.ToLower(mac)
}

// Leave has whoever uses the address go.
func (s *Squatters) Leave(ip netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.has, ip)
}

// Forestall has somebody use each of the next n addresses that are asked for on
// behalf of the machine with the MAC address.
func (s *Squatters) Forestall(machine string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = map[string]int{}
	}
	s.next[strings.ToLower(machine)] += n
}

// Left is how often that is still to happen to the machine.
func (s *Squatters) Left(machine string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next[strings.ToLower(machine)]
}

// Find returns the MAC of who has each address, those of own aside.
func (s *Squatters) Find(ctx context.Context, ips []netip.Addr, own ...string) (map[netip.Addr]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[netip.Addr]string{}
	for _, ip := range ips {
		mac := s.has[ip]
		for _, machine := range own {
			if mac == "" && s.next[strings.ToLower(machine)] > 0 {
				s.next[strings.ToLower(machine)]--
				mac = squatter(ip)
				if s.has == nil {
					s.has = map[netip.Addr]string{}
				}
				s.has[ip] = mac
			}
		}
		if mac != "" && !slices.Contains(own, mac) {
			found[ip] = mac
		}
	}
	return found, ctx.Err()
}

// squatter is the MAC address of who uses an address: one that tells it.
func squatter(ip netip.Addr) string {
	raw := ip.As16()
	return fmt.Sprintf("06:00:%02x:%02x:%02x:%02x", raw[12], raw[13], raw[14], raw[15])
}
