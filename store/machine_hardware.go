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
			WHERE $3 <> '' AND $4 <> '' AND m.inventory ->> 'uuid' <> '' AND m.site = $1 AND `+uuidBegin+` = left(lower($3), 64)
			      AND lower(m.inventory ->> 'uuid') = lower($3) AND m.inventory ->> 'serial' = $4) found
		ORDER BY n, id LIMIT 1`, site, macs, hw.UUID, hw.Serial)
	return id, orNotFound(err, "machine", cmp.Or(append(macs, hw.UUID)...))
}

// A Likeness is a machine that something found may be, and in what it is like it.
type Likeness struct {
	ID            sprout.MachineID
	Name          string
	State         sprout.State
	UUID, Serial  string // of its last inventory; empty: it has none
	System        string // Redfish id at its BMC; empty: the only one, or it has none
	HasBMC        bool
	ByMAC, ByHost bool // one of the MACs is of its ports; its BMC is at the address
	ByUUID        bool
	BySerial      bool
}

// What indexes have of a machine's UUID and serial number, and of the host of a BMC's URL.
const (
	uuidBegin   = `left(lower(inventory ->> 'uuid'), 64)`
	serialBegin = `left(inventory ->> 'serial', 64)`
	hostBegin   = `left(substring(url FROM '://(\[[^]]*\]|[^:/?#]*)'), 255)`
)

// Alike returns the machines of the site that have one of the MACs, one of the UUIDs as RFC
// 9562 writes them in lower case, one of the serial numbers, or a BMC at the host, an address
// as URLs have it: what of those is proof enough is for the caller to say. At most 100, the
// surest first.
func (s *Store) Alike(ctx context.Context, site sprout.SiteID, macs, uuids, serials []string, host string) ([]Likeness, error) {
	return many(ctx, s.db, pgx.RowToStructByPos[Likeness], `
		SELECT m.id, m.name, m.state, lower(coalesce(m.inventory ->> 'uuid', '')), coalesce(m.inventory ->> 'serial', ''), coalesce(b.system, ''), b.machine IS NOT NULL,
			bool_or(found.how = 'mac'), bool_or(found.how = 'host'), bool_or(found.how = 'uuid'), bool_or(found.how = 'serial')
		FROM (
			SELECT machine AS id, 'mac' AS how FROM interface WHERE site = $1 AND mac = ANY ($2::text[]::macaddr[])
			UNION ALL SELECT id, 'uuid' FROM machine WHERE site = $1 AND `+uuidBegin+` = ANY ($3::text[]) AND inventory ->> 'uuid' <> ''
			UNION ALL SELECT id, 'serial' FROM machine WHERE site = $1 AND `+serialBegin+` = ANY (ARRAY (SELECT left(s, 64) FROM unnest($4::text[]) s))
				AND inventory ->> 'serial' = ANY ($4::text[]) AND inventory ->> 'serial' <> ''
			UNION ALL SELECT machine, 'host' FROM bmc WHERE site = $1 AND `+hostBegin+` = $5
		) found JOIN machine m ON m.site = $1 AND m.id = found.id LEFT JOIN bmc b ON b.site = m.site AND b.machine = m.id
		GROUP BY m.site, m.id, b.site, b.machine
		ORDER BY bool_or(found.how = 'mac') DESC, bool_or(found.how = 'uuid') DESC, m.id LIMIT 100`, site, macs, uuids, serials, host)
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
