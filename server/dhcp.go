package server

import (
	"context"
	"time"

	"sprout"
	"sprout/api"
)

// answerWithin is how long an agent has for an answer.
const answerWithin = 3 * time.Second

func (s *Server) dhcpExplain(ctx context.Context, in *api.ExplainDHCP) (out sprout.DHCPExplanation, err error) {
	site, err := s.findSite(ctx, in.Site)
	if err != nil {
		return out, err
	}
	if in.MAC == "" {
		return out, sprout.InvalidField("mac", "cannot explain without a MAC address, as 52:54:00:12:34:56")
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	q := sprout.DHCPQuestion{Version: version(in.IPv6), MAC: in.MAC, Subnet: sprout.SubnetID(in.Subnet), Firmware: in.Arch}
	return out, s.bus.Ask(ctx, site.ID, sprout.ExplainDHCP, q, &out)
}
