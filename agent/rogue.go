package agent

import (
	"fmt"
	"strings"

	"sprout"
	"sprout/dhcp/rogue"
)

// knownServers are the DHCP servers that belong beside the agent, by IP or MAC
// address: those that the site's subnets name.
func (s *site) knownServers() (list []string) {
	for _, sub := range s.store.Subnets() {
		list = append(list, sub.DHCPServers...)
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
		said = append(said, fmt.Sprintf("%s said %s", r.Address, r.Says))
	}
	where := s.config.Interface
	if where == "" {
		where = "the networks behind relays"
	}
	s.troubles.Set(sprout.RogueDHCP, "another DHCP server answers on "+where+": "+strings.Join(names, ", "), strings.Join(said, "; "))
}
