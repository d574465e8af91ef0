package agent

import (
	"fmt"
	"slices"
	"strings"

	"sprout"
	"sprout/dhcp/rogue"
)

// linkLocal is where servers of DHCPv6 speak from (RFC 4291 section 2.5.6).
const linkLocal = "fe80::/10"

// knownServers are the DHCP servers that belong beside the agent, by IP or MAC
// address: those that the site's subnets name, and whoever is in a subnet where
// the agent is none.
func (s *site) knownServers() (list []string) {
	here, _ := s.store.SubnetOf(s.config.Address6.Addr())
	for _, sub := range s.store.Subnets() {
		list = append(list, sub.DHCPServers...)
		if sub.DHCP != sprout.DHCPOff {
			continue
		}
		list = append(list, sub.CIDR.String())
		if here.ID == sub.ID {
			list = append(list, linkLocal)
		}
	}
	return list
}

// sayRogues says which servers do not belong there; an empty list ends the
// trouble. Its words change only with the servers.
func (s *site) sayRogues(list []rogue.Server) {
	if len(list) == 0 {
		s.troubles.Set(sprout.RogueDHCP, "", "")
		return
	}
	var names, said []string
	for _, r := range list {
		names = append(names, r.String())
		said = append(said, r.String()+": "+r.Says)
	}
	where := s.config.Interface
	if where == "" {
		where = "the networks behind relays"
	}
	s.troubles.Set(sprout.RogueDHCP, "a server or router that does not belong there speaks on "+where+": "+strings.Join(names, ", "), strings.Join(said, "; "))
}

// wrongRouter says what is wrong with what a router advertises on the agent's
// segment: a prefix that the segment does not have, of which hosts make addresses
// that lead nowhere; or that it is a way out where the agent is the gateway. Where
// the agent serves no IPv6 it does not know what is right.
func (s *site) wrongRouter(r rogue.Router) string {
	here, ok := s.store.SubnetOf(s.config.Address6.Addr())
	if !ok || !s.config.Address6.IsValid() {
		return ""
	}
	var own []sprout.Subnet
	for _, sub := range s.store.Subnets() {
		if sub.ID == here.ID || here.Network != "" && sub.Network == here.Network {
			own = append(own, sub)
		}
	}
	for _, p := range r.Prefixes {
		if !slices.ContainsFunc(own, func(sub sprout.Subnet) bool { return sub.CIDR.Masked() == p }) {
			return fmt.Sprintf("it advertises the prefix %s, which this network does not have", p)
		}
	}
	if gateway := here.Gateway; r.Lasts > 0 && (gateway == s.config.Address6.Addr() || gateway.IsLinkLocalUnicast() && gateway != r.Address) {
		return fmt.Sprintf("it advertises itself as a router, and the gateway is %s", gateway)
	}
	return ""
}
