package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// probeAgain is when a site's agent looks again at an address that somebody else
// used; unheard is the same where the agent could not be asked.
const (
	probeAgain = time.Hour
	unheard    = 5 * time.Minute
)

// QuarantineAddress is Quarantine in a transaction of its own.
func (s *Store) QuarantineAddress(ctx context.Context, c sprout.AddressConflict) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.Quarantine(ctx, tx, c) })
}

// Quarantine notes that somebody uses an address of c.Subnet who was not given
// it, as a problem of the address. Where c.Machine has it, or nobody, it is given
// to nobody from now on; else who has it keeps it. NotFound without such a subnet,
// Invalid for an address that is not in it.
func (s *Store) Quarantine(ctx context.Context, tx pgx.Tx, c sprout.AddressConflict) error {
	if c.MAC != "" {
		mac, err := canonicalMAC("mac", c.MAC)
		if err != nil {
			return err
		}
		c.MAC = mac
	}
	sub, err := one(ctx, tx, scanSubnet, subnetSelect+`WHERE id = $1 FOR KEY SHARE`, c.Subnet)
	if err != nil {
		return orNotFound(err, "subnet", string(c.Subnet))
	}
	if !sub.CIDR.Contains(c.IP) {
		return sprout.InvalidField("ip", "%s is not in %s", c.IP, sub.CIDR)
	}
	// Whoever is giving it out at this moment comes first, or finds it taken.
	_, err = exec(ctx, tx, `
		INSERT INTO address AS a (site, subnet, vrf, ip, id, kind) VALUES ($1, $2, $3, $4, $5, 'quarantined')
		ON CONFLICT (site, ip, vrf) DO UPDATE SET kind = 'quarantined', name = '', purpose = '', expires_at = NULL, created_at = now()
		WHERE a.expires_at <= now()`,
		sub.Site, sub.ID, sub.VRF, c.IP, sprout.NewID[sprout.AddressID](sprout.PrefixAddress))
	if err != nil {
		return err
	}
	a, err := one(ctx, tx, scanAddress, addressSelect+`WHERE a.site = $1 AND a.ip = $2 AND a.vrf = $3 FOR UPDATE OF a`, sub.Site, c.IP, sub.VRF)
	if err != nil {
		return err
	}
	if a.Machine != "" && a.Machine == c.Machine {
		if err := s.takeAway(ctx, tx, a); err != nil {
			return err
		}
	}
	if _, err := exec(ctx, tx, `
		UPDATE address SET taken_by = coalesce(nullif($2, '')::macaddr, taken_by), probe_at = now() + $3::interval WHERE id = $1`, a.ID, c.MAC, probeAgain); err != nil {
		return err
	}
	return s.raiseTaken(ctx, tx, a, c)
}

// takeAway takes an address from its machine and gives it to nobody.
func (s *Store) takeAway(ctx context.Context, tx pgx.Tx, a sprout.Address) error {
	if _, err := exec(ctx, tx, `
		UPDATE address SET kind = 'quarantined', machine = NULL, mac = NULL, name = '', created_at = now() WHERE id = $1`, a.ID); err != nil {
		return err
	}
	return s.replicateReservation(ctx, tx, a)
}

func (s *Store) raiseTaken(ctx context.Context, tx pgx.Tx, a sprout.Address, c sprout.AddressConflict) error {
	site, err := one(ctx, tx, pgx.RowTo[string], `SELECT name FROM site WHERE id = $1`, a.Site)
	if err != nil {
		return err
	}
	who := "somebody whose MAC address is not known"
	if c.MAC != "" {
		who = c.MAC
	}
	severity, remedy := sprout.Explain(sprout.AddressTaken, "", "", site)
	return s.RaiseProblem(ctx, tx, sprout.Problem{
		Site: a.Site, Subject: string(a.ID), Name: a.IP.String(), Code: sprout.AddressTaken, Severity: severity,
		Reason: fmt.Sprintf("%s of site %s is used by %s, who was not given it", a.IP, site, who), Evidence: "found by " + c.By,
		Remedy: strings.ReplaceAll(remedy, "ADDRESS", a.IP.String()),
	})
}

// ConflictsToProbe returns up to n addresses that are to be looked at again, of
// one site, and says that somebody does: another call finds them again in an hour.
// Those of sites where nothing is due are none.
func (s *Store) ConflictsToProbe(ctx context.Context, n int) (list []sprout.Address, err error) {
	err = s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		ids, err := many(ctx, tx, pgx.RowTo[sprout.AddressID], `
			UPDATE address SET probe_at = now() + $2::interval WHERE id IN (
				SELECT id FROM address WHERE probe_at <= now() AND site = (SELECT site FROM address WHERE probe_at <= now() ORDER BY probe_at LIMIT 1)
				ORDER BY probe_at LIMIT $1 FOR UPDATE SKIP LOCKED)
			RETURNING id`, n, probeAgain)
		if err != nil || len(ids) == 0 {
			return err
		}
		list, err = many(ctx, tx, scanAddress, addressSelect+`WHERE a.id = ANY ($1) ORDER BY a.ip`, ids)
		return err
	})
	return list, err
}

// ProbeLater has addresses looked at again soon, for nobody could be asked.
func (s *Store) ProbeLater(ctx context.Context, list []sprout.Address) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := exec(ctx, tx, `UPDATE address SET probe_at = now() + $2::interval WHERE id = ANY ($1) AND probe_at IS NOT NULL`, idsOf(list), unheard)
		return err
	})
}

// TakeProbe takes what a probe of an address at a site found, if that address is
// one that somebody else was found to use: whoever has it now, or that nobody has
// it any more, which ends its problem, and its quarantine if it is in one. Where
// the agent could not ask, the time that has passed has to do.
func (s *Store) TakeProbe(ctx context.Context, tx pgx.Tx, id sprout.AddressID, p sprout.AddressProbe) error {
	a, err := one(ctx, tx, scanAddress, addressSelect+`WHERE a.id = $1 AND a.probe_at IS NOT NULL FOR UPDATE OF a`, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	case p.State == sprout.ProbeTaken:
		return s.Quarantine(ctx, tx, sprout.AddressConflict{Subnet: a.Subnet, IP: a.IP, MAC: p.MAC, By: "a probe"})
	case p.State != sprout.ProbeFree: // not asked, or a word of an agent that is newer
		// Nobody can look: the time that has passed since has to do.
		if recent, err := one(ctx, tx, pgx.RowTo[bool], `
			SELECT EXISTS (SELECT FROM problem WHERE subject = $1 AND code = $2 AND cleared_at IS NULL AND since > now() - $3::interval)`,
			a.ID, sprout.AddressTaken, probeAgain); err != nil || recent {
			return err
		}
	}
	if a.Kind == "quarantined" {
		return s.Free(ctx, tx, a.ID)
	}
	if _, err := exec(ctx, tx, `UPDATE address SET taken_by = NULL, probe_at = NULL WHERE id = $1`, a.ID); err != nil {
		return err
	}
	_, err = s.ClearProblems(ctx, tx, string(a.ID))
	return err
}

// Declined notes that clients of DHCP found addresses of leases in use by somebody
// else, and has the site's agent look at once who that is. What is not of the
// site any more is passed over.
func (s *Store) Declined(ctx context.Context, tx pgx.Tx, leases []sprout.Lease) error {
	for _, l := range leases {
		err := s.Quarantine(ctx, tx, sprout.AddressConflict{Subnet: l.Subnet, IP: l.IP, By: "the DHCP client " + l.MAC + ", which declined it"})
		if kind := sprout.KindOf(err); err != nil && (kind == sprout.NotFound || kind == sprout.Invalid) {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := exec(ctx, tx, `UPDATE address SET probe_at = now() WHERE subnet = $1 AND ip = $2 AND taken_by IS NULL`, l.Subnet, l.IP); err != nil {
			return err
		}
	}
	return nil
}

// SubnetsAt returns the subnets of the sites that an address is in: some of them,
// and more than one if there are several.
func (s *Store) SubnetsAt(ctx context.Context, sites sprout.Sites, ip netip.Addr) ([]sprout.Subnet, error) {
	return many(ctx, s.db, scanSubnet, subnetSelect+`WHERE ($1::text[] IS NULL OR site = ANY ($1)) AND cidr >>= $2 ORDER BY site, vrf LIMIT 2`, sites, ip)
}
