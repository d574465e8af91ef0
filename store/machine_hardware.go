package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// Hardware is what tells one machine from another.
type Hardware struct {
	MACs []string // the surest first
	// The SMBIOS system UUID and the serial number: either alone is not enough,
	// for vendors have shipped both in copies.
	UUID, Serial string
}

// MachineOf returns the machine of the site that has one of the MACs, else the
// one whose last inventory has both UUID and serial number. NotFound if none is.
func (s *Store) MachineOf(ctx context.Context, site sprout.SiteID, hw Hardware) (sprout.MachineID, error) {
	macs := make([]string, len(hw.MACs))
	for i, mac := range hw.MACs {
		var err error
		if macs[i], err = canonicalMAC("mac", mac); err != nil {
			return "", err
		}
	}
	id, err := one(ctx, s.db, pgx.RowTo[sprout.MachineID], `
		SELECT id FROM (
			SELECT i.machine AS id, u.n FROM unnest($2::text[]) WITH ORDINALITY u (mac, n) JOIN interface i ON i.site = $1 AND i.mac = u.mac::macaddr
			UNION ALL
			SELECT m.id, NULL FROM machine m
			WHERE $3 <> '' AND $4 <> '' AND m.site = $1 AND lower(m.inventory ->> 'uuid') = lower($3) AND m.inventory ->> 'serial' = $4) found
		ORDER BY n, id LIMIT 1`, site, macs, hw.UUID, hw.Serial)
	return id, orNotFound(err, "machine", cmp.Or(append(macs, hw.UUID)...))
}

// namesTried is how many machines may be named alike but for a number.
const namesTried = 10

// FreeName returns the name with the lowest number behind it that no machine of
// the site has: none, 2, 3, … Invalid if all are taken.
func (s *Store) FreeName(ctx context.Context, tx pgx.Tx, site sprout.SiteID, base string) (string, error) {
	names := []string{base}
	for n := 2; n <= namesTried; n++ {
		names = append(names, fmt.Sprintf("%s-%d", base, n))
	}
	name, err := one(ctx, tx, pgx.RowTo[string], `
		SELECT u.name FROM unnest($2::text[]) WITH ORDINALITY u (name, n)
		WHERE NOT EXISTS (SELECT FROM machine m WHERE m.site = $1 AND m.name = u.name) ORDER BY u.n LIMIT 1`, site, names)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", sprout.Errorf(sprout.Invalid, "cannot name a machine %s: ten have that name", base)
	}
	return name, err
}
