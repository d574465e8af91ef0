package agent

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"sprout"
	"sprout/ipam/probe"
)

// Probe asks the agent's link who has each address, the interfaces of the machine
// aside.
func (s *site) Probe(ctx context.Context, id sprout.MachineID, ips []netip.Addr) ([]sprout.AddressProbe, error) {
	m, err := s.store.Machine(id)
	if err != nil {
		return nil, err
	}
	return s.probe(ctx, ips, m.MACs...), nil
}

// probe asks for all addresses that are on the agent's link; own MACs have none
// of them. Where it cannot ask, the probes say why.
func (s *site) probe(ctx context.Context, ips []netip.Addr, own ...string) []sprout.AddressProbe {
	all := make([]sprout.AddressProbe, len(ips))
	var ask []netip.Addr
	link, find := s.link(), s.config.Link
	if find == nil && s.config.Interface != "" {
		find = func(ctx context.Context, ips []netip.Addr, own ...string) (map[netip.Addr]string, error) {
			return probe.Find(ctx, s.config.Interface, ips, own...)
		}
	}
	for i, ip := range ips {
		all[i] = sprout.AddressProbe{IP: ip, State: sprout.ProbeUnasked}
		switch on := slices.ContainsFunc(link, func(p netip.Prefix) bool { return p.Contains(ip) }); {
		case find == nil:
			all[i].Why = "the agent has no interface on the site's network: it answers relays only"
		case !on:
			all[i].Why = "it is not on the agent's link"
		default:
			all[i].State = sprout.ProbeFree
			ask = append(ask, ip)
		}
	}
	if len(ask) == 0 {
		return all
	}
	for i := range own {
		own[i] = strings.ToLower(own[i])
	}
	found, err := find(ctx, ask, own...)
	if err != nil {
		s.log.Warn("addresses not probed", "addresses", ask, "error", err)
	}
	for i, p := range all {
		switch {
		case p.State != sprout.ProbeFree:
		case err != nil:
			all[i].State, all[i].Why = sprout.ProbeUnasked, err.Error()
		case found[p.IP] != "":
			all[i].State, all[i].MAC = sprout.ProbeTaken, found[p.IP]
		}
	}
	return all
}

// link is every prefix of the layer-2 segment that the agent is on.
func (s *site) link() (all []netip.Prefix) {
	subnets := s.store.Subnets()
	for _, own := range s.config.own() {
		for _, sub := range sprout.LinkAt(subnets, s.config.VRF, false, own) {
			all = append(all, sub.CIDR)
		}
	}
	return all
}
