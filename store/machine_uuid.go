package store

import (
	"context"

	"sprout"
)

// MachineBySystem returns the machine of the site whose last inventory has both
// this SMBIOS system UUID and this serial number. Either alone is not enough:
// vendors have shipped both in copies.
func (s *Store) MachineBySystem(ctx context.Context, site sprout.SiteID, uuid, serial string) (sprout.Machine, error) {
	return s.oneMachine(ctx, uuid, `
		WHERE m.site = $1 AND lower(m.inventory ->> 'uuid') = lower($2) AND m.inventory ->> 'serial' = $3
		ORDER BY m.id LIMIT 1`, site, uuid, serial)
}
