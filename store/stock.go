package store

import (
	"context"
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
	known map[sprout.MachineID]sprout.Machine
}

// stockBatch is how many machines are read at once.
const stockBatch = 1000

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
	read, err := s.slim(ctx, anew)
	if err != nil {
		return nil, err
	}
	now := make(map[sprout.MachineID]sprout.Machine, len(rows))
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
		now[r.ID], list = m, append(list, m)
	}
	k.known = now
	return list, nil
}

// slim reads machines with their ports, and of an inventory what is chosen by.
func (s *Store) slim(ctx context.Context, ids []string) (map[sprout.MachineID]sprout.Machine, error) {
	all := make(map[sprout.MachineID]sprout.Machine, len(ids))
	for len(ids) > 0 {
		part := ids[:min(stockBatch, len(ids))]
		ids = ids[len(part):]
		list, err := s.Bare().machines(ctx, `WHERE m.id = ANY ($1)`, part)
		if err != nil {
			return nil, err
		}
		at := make(machineIndex, len(list))
		for i := range list {
			m := &list[i]
			at[m.ID] = m
			if inv := m.Inventory; inv != nil {
				m.Inventory = &sprout.Inventory{Vendor: inv.Vendor, Model: inv.Model, CPU: inv.CPU, MemoryBytes: inv.MemoryBytes, Disks: inv.Disks, PCI: inv.PCI}
			}
		}
		found := make([]string, 0, len(at)) // one that is deleted meanwhile has no place in at
		for id := range at {
			found = append(found, string(id))
		}
		rows, err := s.db.Query(ctx, interfaceSelect, found)
		if err != nil {
			return nil, explain(err)
		}
		if err := fillInterfaces(at)(rows); err != nil {
			return nil, explain(err)
		}
		for id, m := range at {
			all[id] = *m
		}
	}
	return all, nil
}
