package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
)

// lookForConflicts is how often a replica looks whether addresses that somebody
// else used are to be looked at again.
const lookForConflicts = 10 * time.Second

// watchConflicts has the agents look again at such addresses, until ctx ends.
func (s *Server) watchConflicts(ctx context.Context) error {
	tick := time.NewTicker(lookForConflicts)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for more := true; more; {
				var err error
				if more, err = s.probeConflicts(ctx); err != nil && ctx.Err() == nil {
					s.log.Warn("addresses in conflict not looked at again", "error", err)
				}
				more = more && err == nil // such as a database that only reads: the same are due again
			}
		}
	}
}

// probeConflicts has the agent of one site look again at its addresses that
// are due, and tells whether there may be more. What cannot be kept of an address
// holds up no other, and is looked at again soon.
func (s *Server) probeConflicts(ctx context.Context) (more bool, err error) {
	due, err := s.store.ConflictsToProbe(ctx, sprout.MostProbes)
	if err != nil || len(due) == 0 {
		return false, err
	}
	ips := make([]netip.Addr, len(due))
	for i, a := range due {
		ips[i] = a.IP
	}
	probes, err := s.askForProbes(ctx, due[0].Site, ips)
	switch {
	case sprout.KindOf(err) == sprout.Unavailable:
		return true, s.store.ProbeLater(ctx, due)
	case err != nil:
		s.log.Warn("agent cannot look who has addresses; an hour has to do", "site", due[0].Site, "error", err)
		probes = slices.Repeat([]sprout.AddressProbe{{State: sprout.ProbeUnasked}}, len(due))
	}
	var failed []sprout.Address
	var errs []error
	for i, a := range due {
		if err := s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.store.TakeProbe(ctx, tx, a.ID, probes[i]) }); err != nil {
			failed, errs = append(failed, a), append(errs, fmt.Errorf("cannot keep what was found of %s: %w", a.IP, err))
		}
	}
	if len(failed) > 0 {
		errs = append(errs, s.store.ProbeLater(ctx, failed))
	}
	return true, errors.Join(errs...)
}

// askForProbes asks a site's agent who has each address.
func (s *Server) askForProbes(ctx context.Context, site sprout.SiteID, ips []netip.Addr) (probes []sprout.AddressProbe, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := s.bus.Ask(ctx, site, sprout.ProbeAddresses, ips, &probes); err != nil {
		return nil, err
	}
	if len(probes) != len(ips) {
		return nil, sprout.Errorf(sprout.Invalid, "cannot use an answer of %d probes to %d addresses", len(probes), len(ips))
	}
	return probes, nil
}

// addressProbe has the site's agent look now who has an address. Where somebody
// else was found to use it, what is found now counts.
func (s *Server) addressProbe(ctx context.Context, in *api.AddressRef) (out sprout.AddressProbe, err error) {
	a, err := s.addressAt(ctx, in.Address)
	if err != nil {
		return out, err
	}
	probes, err := s.askForProbes(ctx, a.Site, []netip.Addr{a.IP})
	if err != nil {
		return out, err
	}
	return probes[0], s.change(ctx, api.AddressProbe.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, a.Site, cmp.Or(string(a.ID), string(a.Subnet)), a.IP.String())
		r.Detail = probes[0].State + " " + probes[0].MAC
		return s.store.TakeProbe(ctx, tx, a.ID, probes[0])
	})
}

// addressAt is findAddress of what nobody need have: then it has no id.
func (s *Server) addressAt(ctx context.Context, ref string) (sprout.Address, error) {
	a, err := s.findAddress(ctx, ref)
	if sprout.KindOf(err) != sprout.NotFound {
		return a, err
	}
	sites, text, scoped := s.splitAddress(ctx, ref)
	ip, parsed := netip.ParseAddr(text)
	if scoped != nil || parsed != nil {
		return a, err
	}
	subnets, err := s.store.SubnetsAt(ctx, sites, ip)
	switch {
	case err != nil:
		return a, err
	case len(subnets) == 0:
		return a, sprout.Errorf(sprout.NotFound, "cannot find a subnet that %s is in", ip).WithRemedy("sprout subnet list")
	case len(subnets) > 1:
		return a, sprout.InvalidField("address", "%s is in more than one subnet: name it with its site, as lon1/%s", ip, ip)
	}
	return sprout.Address{Site: subnets[0].Site, Subnet: subnets[0].ID, IP: ip}, nil
}
