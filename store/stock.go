package store

import (
	"context"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A Stock is the machines that may be given away, as far as a choice needs them:
// with their inventory, ports, and a problem for each warning; the rest is not
// read. It keeps what it has read: a machine whose revision has not risen is not
// read again. A zero Stock works; any number of goroutines may read it.
type Stock struct {
	mu    sync.Mutex
	known map[sprout.MachineID]stocked
}

// A stocked machine is known by its revision, its inventory by its stamp.
type stocked struct {
	sprout.Machine
	stamp string
}

// stockBatch is how many machines are read at once.
const stockBatch = 1000

// mostStocked bounds what is remembered of machines that are away.
const mostStocked = 10_000

// ReadStock returns the machines of every site that are ready, not locked, have
// no workflow and no critical problem. The caller must not change what they hold.
func (s *Store) ReadStock(ctx context.Context, k *Stock) ([]sprout.Machine, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	type row struct {
		ID       sprout.MachineID
		Revision int64
		Warnings int
	}
	rows, err := many(ctx, s.db, pgx.RowToStructByPos[row], `
		SELECT m.id, m.revision, coalesce(p.warnings, 0) FROM machine m
		LEFT JOIN (SELECT subject, count(*)::int AS warnings, bool_or(severity = 'critical') AS critical
		           FROM problem WHERE cleared_at IS NULL GROUP BY subject) p ON p.subject = m.id
		WHERE m.state = 'ready' AND NOT m.locked AND p.critical IS NOT TRUE
		  AND NOT EXISTS (SELECT FROM workflow w WHERE w.machine = m.id AND w.state IN ('running', 'unwinding'))`)
	if err != nil {
		return nil, err
	}
	var anew []string
	for _, r := range rows {
		if m, ok := k.known[r.ID]; !ok || m.Rev != r.Revision {
			anew = append(anew, string(r.ID))
		}
	}
	read, err := s.slim(ctx, k, anew)
	if err != nil {
		return nil, err
	}
	now := make(map[sprout.MachineID]stocked, len(rows))
	list := make([]sprout.Machine, 0, len(rows))
	for _, r := range rows {
		m, ok := read[r.ID]
		if !ok {
			if m, ok = k.known[r.ID]; !ok {
				continue // it was deleted meanwhile
			}
		}
		m.Problems = nil
		for range r.Warnings {
			m.Problems = append(m.Problems, sprout.Problem{Severity: sprout.Warning})
		}
		now[r.ID], list = m, append(list, m.Machine)
	}
	k.remember(now)
	return list, nil
}

// remember keeps what was read, and of machines that are away what is most of the
// work to read: they come back. The caller holds k.mu.
func (k *Stock) remember(now map[sprout.MachineID]stocked) {
	for id, m := range k.known {
		if len(now) == mostStocked {
			break
		}
		if _, ok := now[id]; !ok {
			m.Rev = 0
			now[id] = m
		}
	}
	k.known = now
}

// slim reads machines with their ports, and of an inventory what is chosen by;
// one that it has read before it does not read again: a machine that comes back is
// what it was. The caller holds k.mu.
func (s *Store) slim(ctx context.Context, k *Stock, ids []string) (map[sprout.MachineID]stocked, error) {
	all := make(map[sprout.MachineID]stocked, len(ids))
	for len(ids) > 0 {
		part := ids[:min(stockBatch, len(ids))]
		ids = ids[len(part):]
		stamps := make([]string, len(part))
		for i, id := range part {
			stamps[i] = k.known[sprout.MachineID(id)].stamp
		}
		list, err := many(ctx, s.db, scanStocked, stockSelect, part, stamps)
		if err != nil {
			return nil, err
		}
		at, found := make(machineIndex, len(list)), make([]string, 0, len(list))
		for i := range list {
			m := &list[i]
			at[m.ID], found = &m.Machine, append(found, string(m.ID)) // one that is deleted meanwhile has no place
			if m.Inventory == nil {
				m.Inventory = k.known[m.ID].Inventory
			}
		}
		rows, err := s.db.Query(ctx, interfaceSelect, found)
		if err != nil {
			return nil, explain(err)
		}
		if err := fillInterfaces(at)(rows); err != nil {
			return nil, explain(err)
		}
		for _, m := range list {
			all[m.ID] = m
		}
	}
	return all, nil
}

// stockSelect reads machines by id, with their inventory where it is not the one
// that was stamped so: by when it was taken, and its size.
var stockSelect = `
	WITH u AS (SELECT * FROM unnest($1::text[], $2::text[]) u (id, stamp)),
	i AS (SELECT m.id, coalesce(m.inventory ->> 'at', '') || '/' || coalesce(pg_column_size(m.inventory), 0) AS stamp FROM machine m JOIN u USING (id))
	SELECT ` + strings.Replace(machineColumns, "m.inventory", "CASE WHEN i.stamp <> u.stamp THEN m.inventory END", 1) + `, i.stamp
	FROM u JOIN machine m ON m.id = u.id JOIN i ON i.id = u.id JOIN site s ON s.id = m.site`

func scanStocked(row pgx.CollectableRow) (m stocked, err error) {
	v := &m.Machine
	var inv *struct {
		Vendor, Model string
		CPU           sprout.CPU
		MemoryBytes   int64
		Disks         []struct {
			Bytes                int64
			Rotational, ReadOnly bool
			Bus                  string
		}
		PCI []struct{ Vendor, Device string }
	}
	err = row.Scan(append(machineDest(v, &inv), &m.stamp)...)
	if inv != nil {
		v.Inventory = &sprout.Inventory{Vendor: inv.Vendor, Model: inv.Model, CPU: inv.CPU, MemoryBytes: inv.MemoryBytes}
		for _, d := range inv.Disks {
			v.Inventory.Disks = append(v.Inventory.Disks, sprout.Disk{Bytes: d.Bytes, Rotational: d.Rotational, ReadOnly: d.ReadOnly, Bus: d.Bus})
		}
		for _, d := range inv.PCI {
			v.Inventory.PCI = append(v.Inventory.PCI, sprout.PCIDevice{Vendor: d.Vendor, Device: d.Device})
		}
	}
	return m, err
}
