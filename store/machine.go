package store

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const machineColumns = `m.id, m.site, s.name, m.name, m.state, m.power, m.power_at, m.architecture, m.boot_mode,
	m.tags, m.labels, m.pool, m.zone, m.owner, m.locked, m.protected, m.secure_boot, m.virtual_media, m.record_console, m.generation, m.image, m.image_digest, CASE WHEN m.state = 'rescued' THEN m.shell END, m.tests_skipped, m.skip_reason, CASE WHEN m.rests_until > now() THEN m.rests_until END, m.inventory,
	m.created_at, m.changed_at, m.revision`

const machineSelect = `SELECT ` + machineColumns + ` FROM machine m JOIN site s ON s.id = m.site `

func scanMachine(row pgx.CollectableRow) (m sprout.Machine, err error) {
	err = row.Scan(machineDest(&m, &m.Inventory)...)
	return m, err
}

// machineDest is where machineColumns go, and the inventory among them.
func machineDest(m *sprout.Machine, inventory any) []any {
	return []any{&m.ID, &m.Site, &m.SiteName, &m.Name, &m.State, &m.Power, &m.PowerAt, &m.Architecture, &m.BootMode,
		&m.Tags, &m.Labels, &m.Pool, &m.Zone, &m.Owner, &m.Locked, &m.Protected, &m.SecureBoot, &m.VirtualMedia, &m.RecordConsole, &m.Generation, &m.Image, &m.ImageDigest, &m.Shell, &m.TestsSkipped, &m.SkipReason, &m.RestsUntil, inventory,
		&m.CreatedAt, &m.ChangedAt, &m.Rev}
}

// CreateMachine is AddMachine, and returns the machine as it is then.
func (s *Store) CreateMachine(ctx context.Context, tx pgx.Tx, m sprout.Machine, actor string) (sprout.Machine, error) {
	id, err := s.AddMachine(ctx, tx, m, actor)
	if err != nil {
		return m, err
	}
	return s.In(tx).Machine(ctx, id)
}

// AddMachine makes a machine with its interfaces and, where set, its BMC and
// inventory, whose interfaces go before the machine's. Its state must be
// Discovered or Registered. Conflict if the name or a MAC address is taken in the
// site.
func (s *Store) AddMachine(ctx context.Context, tx pgx.Tx, m sprout.Machine, actor string) (sprout.MachineID, error) {
	if err := checkNew(m); err != nil {
		return "", err
	}
	m = withInventory(m)
	n, err := exec(ctx, tx, `
		WITH made AS (
			INSERT INTO machine (site, id, name, state, architecture, boot_mode, tags, labels, pool, zone, owner, locked, protected, inventory, secure_boot, virtual_media, record_console)
			SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17 FROM site WHERE id = $1 RETURNING site, id, state)
		INSERT INTO machine_history (site, machine, actor, from_state, event, to_state, reason)
		SELECT site, id, $18, '', 'create', state, '' FROM made`,
		m.Site, m.ID, m.Name, m.State, m.Architecture, m.BootMode, orEmpty(m.Tags), m.Labels, m.Pool, m.Zone, m.Owner, m.Locked, m.Protected, m.Inventory, m.SecureBoot, m.VirtualMedia, m.RecordConsole, actor)
	if err := mustTouch(n, err, "site", string(m.Site)); err != nil {
		return "", err
	}
	if err := s.putInterfaces(ctx, tx, m.ID, m.Interfaces); err != nil {
		return "", err
	}
	if m.BMC != nil {
		if err := s.SetBMC(ctx, tx, m.ID, *m.BMC); err != nil {
			return "", err
		}
	}
	made := happened(sprout.WasCreated, m.Site, m.ID)
	made.State = string(m.State)
	return m.ID, s.touch(ctx, tx, made)
}

func checkNew(m sprout.Machine) error {
	if err := checkLabel(m.Name); err != nil {
		return err
	}
	if m.State != sprout.Discovered && m.State != sprout.Registered {
		return sprout.InvalidField("state", "a new machine must be %s or %s, not %q", sprout.Discovered, sprout.Registered, m.State)
	}
	return checkSaid(MachineChange{Tags: &m.Tags, Labels: &m.Labels, Pool: &m.Pool, Zone: &m.Zone, Owner: &m.Owner})
}

// withInventory fills in what a new machine does not say, from its inventory
// where that does.
func withInventory(m sprout.Machine) sprout.Machine {
	if inv := m.Inventory; inv != nil {
		m.Architecture, m.BootMode = cmp.Or(inv.Architecture, m.Architecture), cmp.Or(inv.BootMode, m.BootMode)
		if len(inv.Interfaces) > 0 {
			m.Interfaces = keepBoot(inv.Interfaces, m.Interfaces)
		}
	}
	m.ID = cmp.Or(m.ID, sprout.NewID[sprout.MachineID](sprout.PrefixMachine))
	m.Architecture = cmp.Or(m.Architecture, sprout.AMD64)
	if m.Labels == nil {
		m.Labels = sprout.Labels{}
	}
	return m
}

// A MachineChange is what an operator changes of a machine; nil fields stay.
type MachineChange struct {
	Name          *string
	Tags          *[]string
	Labels        *sprout.Labels // in place of all it has
	Pool          *string
	Zone          *string
	Owner         *string
	Locked        *bool
	Protected     *bool
	SecureBoot    *bool
	VirtualMedia  *bool
	RecordConsole *bool
	Image         *sprout.Image // now on its disk; the zero Image: none
	TestsSkipped  *bool
	Shell         *sprout.Shell // it is shown while the machine is in rescue
}

// checkSaid checks what people say of a machine; what is nil is not said.
func checkSaid(c MachineChange) error {
	said := func(field string, word *string) error {
		if word == nil {
			return nil
		}
		return sprout.CheckWord(field, *word)
	}
	var labels, tags error
	if c.Labels != nil {
		labels = c.Labels.Check()
	}
	if c.Tags != nil {
		tags = sprout.CheckTags(*c.Tags)
	}
	return cmp.Or(labels, tags, said("pool", c.Pool), said("zone", c.Zone), said("owner", c.Owner))
}

// UpdateMachine changes a machine. Conflict if the name is taken in the site.
func (s *Store) UpdateMachine(ctx context.Context, tx pgx.Tx, id sprout.MachineID, c MachineChange) error {
	if c.Name != nil {
		if err := checkLabel(*c.Name); err != nil {
			return err
		}
	}
	if err := checkSaid(c); err != nil {
		return err
	}
	var image, digest *string
	if c.Image != nil {
		image, digest = &c.Image.Name, &c.Image.Digest
	}
	n, err := exec(ctx, tx, `
		UPDATE machine SET name = coalesce($2, name), tags = coalesce($3, tags), pool = coalesce($4, pool),
			zone = coalesce($5, zone), owner = coalesce($6, owner), locked = coalesce($7, locked),
			protected = coalesce($8, protected), image = coalesce($9, image), image_digest = coalesce($16, image_digest),
			tests_skipped = coalesce($10, tests_skipped), labels = coalesce($11, labels),
			secure_boot = coalesce($12, secure_boot), virtual_media = coalesce($13, virtual_media), shell = coalesce($14, shell),
			record_console = coalesce($15, record_console), changed_at = now()
		WHERE id = $1`, id, c.Name, c.Tags, c.Pool, c.Zone, c.Owner, c.Locked, c.Protected, image, c.TestsSkipped, c.Labels, c.SecureBoot, c.VirtualMedia, c.Shell, c.RecordConsole, digest)
	if err := mustTouch(n, err, "machine", string(id)); err != nil {
		return err
	}
	return s.replicateMachine(ctx, tx, id)
}

// MoveMachine moves a machine by the row of the lifecycle for event, and writes
// its history. Conflict if there is no such row, or if somebody else moved the
// machine at the same time.
func (s *Store) MoveMachine(ctx context.Context, tx pgx.Tx, id sprout.MachineID, event sprout.Event, actor, reason string) (sprout.State, error) {
	from, err := one(ctx, tx, pgx.RowTo[sprout.State], `SELECT state FROM machine WHERE id = $1`, id)
	if err != nil {
		return "", orNotFound(err, "machine", string(id))
	}
	to, err := sprout.Next(from, event)
	if err != nil {
		return from, err
	}
	n, err := exec(ctx, tx, `
		WITH moved AS (UPDATE machine SET state = $3, changed_at = now() WHERE id = $1 AND state = $2 RETURNING site, id)
		INSERT INTO machine_history (site, machine, actor, from_state, event, to_state, reason)
		SELECT site, id, $4, $2, $5, $3, $6 FROM moved`, id, from, to, actor, event, reason)
	if err != nil {
		return from, err
	}
	if n == 0 {
		return from, sprout.Errorf(sprout.Conflict, "cannot %s machine %s: it is no longer %s", event, id, from)
	}
	if from == sprout.Discovered { // whether a rule could take it is of no matter any more
		if _, err := s.ClearProblems(ctx, tx, string(id), sprout.RuleRefused); err != nil {
			return from, err
		}
	}
	if owned(from) && !owned(to) {
		if err := s.leaveAllocation(ctx, tx, id); err != nil {
			return from, err
		}
	}
	moved := changed("", id)
	moved.State = string(to)
	if err := s.touch(ctx, tx, moved); err != nil {
		return from, err
	}
	return to, s.replicateMachine(ctx, tx, id)
}

// owned tells whether a machine in this state is for its owner to use.
func owned(s sprout.State) bool { return s == sprout.Allocated || s == sprout.Deployed }

// RetireMachine moves a machine out of service, gives back its addresses and their
// names, and has its site forget it. Its record stays, without an owner.
func (s *Store) RetireMachine(ctx context.Context, tx pgx.Tx, m sprout.Machine, actor, reason string) error {
	if _, err := s.MoveMachine(ctx, tx, m.ID, sprout.Retire, actor, reason); err != nil {
		return err
	}
	for _, a := range m.Addresses {
		if a.Name == "" {
			continue
		}
		if err := s.DeleteRecord(ctx, tx, a.Site, a.Name); err != nil {
			return err
		}
	}
	if err := s.Release(ctx, tx, m.ID); err != nil {
		return err
	}
	if err := s.forgetDHCPOptions(ctx, tx, string(m.ID)); err != nil {
		return err
	}
	if _, err := s.ClearProblems(ctx, tx, string(m.ID)); err != nil {
		return err
	}
	if err := s.UpdateMachine(ctx, tx, m.ID, MachineChange{Owner: new("")}); err != nil {
		return err
	}
	return s.forgetAtSite(ctx, tx, m.Site, sprout.ChangeMachine, string(m.ID))
}

// DeleteMachine removes a machine and everything that belongs to it. Conflict
// while it holds addresses or a workflow runs on it.
func (s *Store) DeleteMachine(ctx context.Context, tx pgx.Tx, id sprout.MachineID) error {
	type row struct {
		Site sprout.SiteID
		Name string
	}
	m, err := one(ctx, tx, pgx.RowToStructByPos[row], `SELECT site, name FROM machine WHERE id = $1 FOR UPDATE`, id)
	if err != nil {
		return orNotFound(err, "machine", string(id))
	}
	if err := refuseBusy(ctx, tx, id, "delete"); err != nil {
		return err
	}
	if err := s.forgetProblems(ctx, tx, string(id)); err != nil {
		return err
	}
	if err := s.forgetDHCPOptions(ctx, tx, string(id)); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `DELETE FROM machine WHERE id = $1`, id); err != nil {
		return err
	}
	gone := happened(sprout.WasDeleted, m.Site, id)
	gone.Name, gone.Machine = m.Name, id
	if err := s.touch(ctx, tx, gone); err != nil {
		return err
	}
	return s.forgetAtSite(ctx, tx, m.Site, sprout.ChangeMachine, string(id))
}

// SetPower notes what the BMC said at a time; an older word than the one known
// changes nothing.
func (s *Store) SetPower(ctx context.Context, tx pgx.Tx, id sprout.MachineID, power sprout.PowerState, at time.Time) error {
	n, err := exec(ctx, tx, `
		UPDATE machine SET power = $2, power_at = $3, rests_until = CASE WHEN $2 <> 'off' THEN rests_until END WHERE id = $1 AND (power_at IS NULL OR power_at <= $3)`, id, power, at)
	if err != nil || n == 0 {
		return err
	}
	return s.touch(ctx, tx, changed("", id))
}

// SetRest notes until when a machine waits in the ramdisk. It does so no more when it
// is off, or the next workflow begins.
func (s *Store) SetRest(ctx context.Context, tx pgx.Tx, id sprout.MachineID, until time.Time) error {
	if _, err := exec(ctx, tx, `UPDATE machine SET rests_until = $2 WHERE id = $1`, id, until); err != nil {
		return err
	}
	return s.touch(ctx, tx, changed("", id))
}

// SetInterfaces replaces the interfaces of a machine. Conflict if another
// machine of the site has one of the MAC addresses.
func (s *Store) SetInterfaces(ctx context.Context, tx pgx.Tx, id sprout.MachineID, list []sprout.Interface) error {
	if _, err := exec(ctx, tx, `DELETE FROM interface WHERE machine = $1`, id); err != nil {
		return err
	}
	return s.putInterfaces(ctx, tx, id, list)
}

// putInterfaces gives interfaces to a machine that has none.
func (s *Store) putInterfaces(ctx context.Context, tx pgx.Tx, id sprout.MachineID, list []sprout.Interface) error {
	for i, f := range list {
		mac, err := canonicalMAC("interfaces.mac", f.MAC)
		if err != nil {
			return err
		}
		n, err := exec(ctx, tx, `
			INSERT INTO interface (site, machine, mac, position, name, boot, driver, link, speed_mbs, pci)
			SELECT site, id, $2::text::macaddr, $3, $4, $5, $6, $7, $8, $9 FROM machine WHERE id = $1`,
			id, mac, i, f.Name, f.Boot, f.Driver, f.Link, f.SpeedMbs, f.PCI)
		if violates(err, "interface_mac_key") {
			return conflictIn("interfaces.mac", "%s is in use by another machine of the site, or is given twice", mac)
		}
		if err := mustTouch(n, err, "machine", string(id)); err != nil {
			return err
		}
	}
	return s.replicateMachine(ctx, tx, id)
}

// canonicalMAC writes a MAC address in lower case with colons.
func canonicalMAC(field, text string) (string, error) {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return "", sprout.InvalidField(field, "%q must be a MAC address such as 52:54:00:12:34:56", text)
	}
	return mac.String(), nil
}

// Machine returns a machine with all that belongs to it.
func (s *Store) Machine(ctx context.Context, id sprout.MachineID) (sprout.Machine, error) {
	return s.oneMachine(ctx, string(id), `WHERE m.id = $1`, id)
}

func (s *Store) oneMachine(ctx context.Context, ref, where string, args ...any) (sprout.Machine, error) {
	list, err := s.machines(ctx, where, args...)
	if err != nil {
		return sprout.Machine{}, err
	}
	if len(list) == 0 {
		return sprout.Machine{}, sprout.Errorf(sprout.NotFound, "cannot find machine %q", ref)
	}
	return list[0], nil
}

// machines reads machines and completes them by a constant number of queries.
func (s *Store) machines(ctx context.Context, where string, args ...any) ([]sprout.Machine, error) {
	list, err := many(ctx, s.db, scanMachine, machineSelect+where, args...)
	if err != nil || len(list) == 0 || s.bare {
		return list, err
	}
	return list, s.fill(ctx, list)
}

// LockMachine takes the machine's row until the transaction ends: for checks
// that must still be true when it commits.
func (s *Store) LockMachine(ctx context.Context, tx pgx.Tx, id sprout.MachineID) (sprout.Machine, error) {
	return s.In(tx).oneMachine(ctx, string(id), `WHERE m.id = $1 FOR UPDATE OF m`, id)
}
