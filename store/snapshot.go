package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// siteMachines reads machines as changes for their sites, each with its BMC's
// password sealed to the agent that its site has now.
func (s *Store) siteMachines(ctx context.Context, tx pgx.Tx, where string, arg any) ([]change, error) {
	if list, ok := arg.([]sprout.MachineID); ok && len(list) == 0 {
		return nil, nil
	}
	type row struct {
		site    sprout.SiteID
		m       sprout.SiteMachine
		driver  *string
		bmc     sprout.BMC
		secret  []byte
		sealKey string
	}
	rows, err := many(ctx, tx, func(r pgx.CollectableRow) (v row, err error) {
		err = r.Scan(&v.site, &v.m.ID, &v.m.Name, &v.m.Generation, &v.m.Deployed, &v.m.SecureBoot, &v.m.VirtualMedia, &v.m.RecordConsole, &v.m.BootMode, &v.m.MACs, &v.m.UUID,
			&v.driver, &v.bmc.URL, &v.bmc.Username, &v.bmc.System, &v.bmc.Insecure, &v.secret, &v.sealKey)
		return v, err
	}, `
		SELECT m.site, m.id, m.name, m.generation, m.state = 'deployed', m.secure_boot, m.virtual_media, m.record_console, m.boot_mode,
		       ARRAY (SELECT mac::text FROM interface i WHERE i.machine = m.id ORDER BY i.position),
		       lower(coalesce(m.inventory ->> 'uuid', '')),
		       c.driver, coalesce(c.url, ''), coalesce(c.username, ''), coalesce(c.system, ''), coalesce(c.insecure, false),
		       c.secret, coalesce(g.seal_key, '')
		FROM machine m LEFT JOIN bmc c ON c.machine = m.id
		LEFT JOIN agent g ON g.site = m.site AND g.retired_at IS NULL
		WHERE `+where+` ORDER BY m.id`, arg)
	if err != nil {
		return nil, err
	}
	out := make([]change, 0, len(rows))
	for _, v := range rows {
		if v.driver != nil {
			v.bmc.Driver, v.m.BMC = *v.driver, &v.bmc
		}
		if v.m.Secret, err = s.sealFor(ctx, v.m.ID, v.secret, v.sealKey); err != nil {
			return nil, err
		}
		body, err := json.Marshal(v.m)
		if err != nil {
			return nil, fmt.Errorf("cannot replicate machine %s: %w", v.m.ID, err)
		}
		out = append(out, change{site: v.site, Change: sprout.Change{Kind: sprout.ChangeMachine, Key: string(v.m.ID), Body: body}})
	}
	return out, nil
}

// Snapshot queues every record of a site anew, for an agent whose store is
// empty: the site, subnets, machines (their secrets sealed to the live agent),
// reservations, records, and the work of workflows that still run. It returns
// the number after which these changes begin, and keeps it with the site's live
// agent: earlier changes may be pruned, so that the agent's store must count
// from there. Call it last in the transaction that enrols the agent.
func (s *Store) Snapshot(ctx context.Context, tx pgx.Tx, site sprout.SiteID) (after int64, err error) {
	t, finish := queued(tx)
	t.anew = site // what others commit meanwhile is numbered after this
	// The row is held until the commit: no other change comes between.
	if err := numberSite(ctx, tx, site); err != nil {
		return 0, err
	}
	after, err = one(ctx, tx, pgx.RowTo[int64], `SELECT outbox_seq FROM site WHERE id = $1 FOR NO KEY UPDATE`, site)
	if err != nil {
		return 0, orNotFound(err, "site", string(site))
	}
	if _, err := exec(ctx, tx, `
		UPDATE agent SET begins_after = $2, applied = $2 WHERE site = $1 AND retired_at IS NULL`, site, after); err != nil {
		return 0, err
	}
	// Nobody needs what came before: one that the bus would not take holds up nothing more.
	if _, err := exec(ctx, tx, `
		UPDATE outbox SET published_at = now() WHERE site = $1 AND seq <= $2 AND published_at IS NULL`, site, after); err != nil {
		return 0, err
	}
	for _, part := range []func(context.Context, pgx.Tx, sprout.SiteID) error{
		s.snapshotSite, s.snapshotMachines, s.snapshotReservations, s.snapshotRecords, s.snapshotDNS, s.snapshotDHCP, s.snapshotWork,
	} {
		if err := part(ctx, t, site); err != nil {
			return 0, err
		}
	}
	return after, finish(ctx, s)
}

func (s *Store) snapshotSite(ctx context.Context, tx pgx.Tx, id sprout.SiteID) error {
	site, err := s.In(tx).FindSite(ctx, string(id))
	if err != nil {
		return err
	}
	if err := s.Replicate(ctx, tx, id, sprout.ChangeSite, string(id), site); err != nil {
		return err
	}
	subnets, err := s.In(tx).subnets(ctx, `WHERE site = $1 ORDER BY id`, id)
	for _, sub := range subnets {
		err = errors.Join(err, s.Replicate(ctx, tx, id, sprout.ChangeSubnet, string(sub.ID), sub))
	}
	return err
}

func (s *Store) snapshotMachines(ctx context.Context, tx pgx.Tx, id sprout.SiteID) error {
	list, err := s.siteMachines(ctx, tx, `m.site = $1 AND m.state <> 'retired'`, id)
	for _, c := range list {
		err = errors.Join(err, s.queue(ctx, tx, c))
	}
	return err
}

func (s *Store) snapshotReservations(ctx context.Context, tx pgx.Tx, id sprout.SiteID) error {
	list, err := many(ctx, tx, scanAddress, addressSelect+`WHERE a.site = $1 AND a.machine IS NOT NULL ORDER BY a.ip`, id)
	told := map[string]bool{}
	for _, a := range list {
		if told[a.MAC] {
			continue
		}
		told[a.MAC] = true
		err = errors.Join(err, s.replicateReservation(ctx, tx, a))
	}
	return err
}

func (s *Store) snapshotRecords(ctx context.Context, tx pgx.Tx, id sprout.SiteID) error {
	list, err := many(ctx, tx, scanRecord, recordSelect+`WHERE site = $1 ORDER BY name`, id)
	for _, n := range list {
		for _, r := range n.records() {
			err = errors.Join(err, s.Replicate(ctx, tx, id, sprout.ChangeRecord, recordKey(r), r))
		}
	}
	return err
}

// snapshotWork queues work again from the outbox itself, where it is kept: the
// last that was said of each piece whose workflow still runs, with its
// cancellation if there was one.
func (s *Store) snapshotWork(ctx context.Context, tx pgx.Tx, id sprout.SiteID) error {
	rows, err := many(ctx, tx, scanOutbox, `
		SELECT o.site, o.seq, o.kind, o.key, o.deleted, o.body, o.secret
		FROM (SELECT DISTINCT ON (kind, key) * FROM outbox
		      WHERE site = $1 AND kind IN ('work', 'cancel') ORDER BY kind, key, seq DESC) o
		JOIN workflow w ON w.site = o.site AND w.id = split_part(o.key, '/', 1)
		WHERE w.state IN ('running', 'unwinding') AND NOT o.deleted ORDER BY o.seq`, id)
	for _, r := range rows {
		err = errors.Join(err, s.queue(ctx, tx, change{id, r.Change, r.secret}))
	}
	return err
}
