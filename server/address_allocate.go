package server

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
)

// addressAllocate gives out addresses for which nobody answers at their site. Those
// for which somebody does are kept away from, and others looked for, as a deploy
// does it: so often, and no transaction is open while the site is asked.
func (s *Server) addressAllocate(ctx context.Context, in *api.AllocateAddress) (out api.GivenAddresses, err error) {
	sub, b, err := s.wantedBlock(ctx, in.Body.WantedAddresses)
	if err != nil {
		return out, err
	}
	for others := 0; ; others++ {
		if out, err = s.giveOut(ctx, api.AddressAllocate.Name, sub, b); err != nil || in.Body.NoProbe || b.First.IsValid() {
			return out, err
		}
		var taken []sprout.AddressConflict
		if taken, out.Unprobed = s.strangersAt(ctx, sub, out.Items); len(taken) == 0 {
			return out, nil
		}
		if err := s.giveUp(ctx, sub, out.Items, taken); err != nil {
			return out, err
		}
		if others == sprout.MostOthers {
			e := sprout.Errorf(sprout.Conflict, "cannot find addresses in %s that nobody uses: %s", sub.CIDR, strangers(taken))
			return api.GivenAddresses{}, e.WithRemedy("sprout address list --kind quarantined; sprout range create %s FIRST-LAST --kind reserved keeps away from all of theirs", sub.CIDR)
		}
	}
}

// strangersAt asks the site's agent who has addresses that were just given out.
// unprobed says why that could not be had, in words.
func (s *Server) strangersAt(ctx context.Context, sub sprout.Subnet, list []sprout.Address) (taken []sprout.AddressConflict, unprobed string) {
	if len(list) > sprout.MostProbes {
		return nil, fmt.Sprintf("more than %d addresses at once are not looked at", sprout.MostProbes)
	}
	agent, err := s.store.AgentOf(ctx, sub.Site)
	switch {
	case sprout.KindOf(err) == sprout.NotFound:
		return nil, "the site has no agent"
	case err != nil:
		return nil, err.Error()
	case !agent.Online:
		return nil, "the agent of " + agent.SiteName + " is offline"
	}
	ips := make([]netip.Addr, len(list))
	for i, a := range list {
		ips[i] = a.IP
	}
	probes, err := s.askForProbes(ctx, sub.Site, ips)
	if err != nil {
		return nil, err.Error()
	}
	for i, p := range probes {
		switch p.State {
		case sprout.ProbeFree:
		case sprout.ProbeTaken:
			taken = append(taken, sprout.AddressConflict{Subnet: sub.ID, IP: ips[i], MAC: p.MAC, By: "a probe before it was given out"})
		default:
			unprobed = p.Why
		}
	}
	return taken, unprobed
}

// giveUp takes addresses back that were given out, and keeps away from those that
// somebody else uses.
func (s *Server) giveUp(ctx context.Context, sub sprout.Subnet, list []sprout.Address, taken []sprout.AddressConflict) error {
	return s.change(ctx, api.AddressAllocate.Name, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) error {
		about(r, sub.Site, list[0].ID, list[0].IP.String())
		r.Detail = strangers(taken) + ": others instead"
		for _, a := range list {
			if err := s.providers.IPAM.Free(ctx, a.ID); err != nil {
				return err
			}
		}
		for _, c := range taken {
			if err := s.providers.IPAM.Quarantine(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// strangers says who has which address.
func strangers(taken []sprout.AddressConflict) string {
	var said []string
	for _, c := range taken {
		said = append(said, fmt.Sprintf("%s is used by %s", c.IP, c.MAC))
	}
	return strings.Join(said, ", ")
}
