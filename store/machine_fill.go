package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// fill completes machines with what other tables know of them: one batch of
// six statements, however many machines there are.
func (s *Store) fill(ctx context.Context, list []sprout.Machine) error {
	ids := make([]string, len(list))
	at := make(map[sprout.MachineID]*sprout.Machine, len(list))
	for i := range list {
		m := &list[i]
		m.Interfaces, m.Addresses = []sprout.Interface{}, []sprout.Address{}
		ids[i], at[m.ID] = string(m.ID), m
	}
	b := &pgx.Batch{}
	b.Queue(interfaceSelect, ids).Query(fillInterfaces(at))
	b.Queue(`
		SELECT machine, driver, url, username, system, insecure, about FROM bmc WHERE machine = ANY ($1)`, ids).Query(fillBMCs(at))
	b.Queue(addressSelect+`WHERE a.machine = ANY ($1) ORDER BY a.machine, a.ip`, ids).Query(fillAddresses(at))
	b.Queue(problemSelect+`WHERE subject = ANY ($1) AND cleared_at IS NULL ORDER BY id`, ids).Query(fillProblems(at))
	b.Queue(`
		SELECT machine, test, kind, device, outcome, message, metrics, at, seconds, serial
		FROM test_result WHERE machine = ANY ($1) AND latest ORDER BY machine, seq`, ids).Query(fillTests(at))
	b.Queue(activitySelect, ids).Query(fillActivities(at))
	return explain(s.db.SendBatch(ctx, b).Close())
}

// MachinePorts returns a machine with its interfaces, and else without what other
// tables know of it.
func (s *Store) MachinePorts(ctx context.Context, id sprout.MachineID) (sprout.Machine, error) {
	m, err := s.Bare().Machine(ctx, id)
	if err != nil {
		return m, err
	}
	m.Interfaces, err = interfacesOf(ctx, s.db, id)
	return m, err
}

func interfacesOf(ctx context.Context, q querier, id sprout.MachineID) ([]sprout.Interface, error) {
	rows, err := q.Query(ctx, interfaceSelect, []string{string(id)})
	if err != nil {
		return nil, explain(err)
	}
	var m sprout.Machine
	err = fillInterfaces(machineIndex{id: &m})(rows)
	return m.Interfaces, explain(err)
}

const interfaceSelect = `
	SELECT machine, name, mac::text, boot, driver, link, speed_mbs, pci
	FROM interface WHERE machine = ANY ($1) ORDER BY machine, position`

type machineIndex map[sprout.MachineID]*sprout.Machine

// eachRow calls add for every row after scan filled what add reads.
func eachRow(rows pgx.Rows, add func(), dest ...any) error {
	_, err := pgx.ForEachRow(rows, dest, func() error { add(); return nil })
	return err
}

func fillInterfaces(at machineIndex) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var id sprout.MachineID
		var f sprout.Interface
		return eachRow(rows, func() { at[id].Interfaces = append(at[id].Interfaces, f) },
			&id, &f.Name, &f.MAC, &f.Boot, &f.Driver, &f.Link, &f.SpeedMbs, &f.PCI)
	}
}

func fillBMCs(at machineIndex) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var id sprout.MachineID
		var b sprout.BMC
		var about *sprout.BMCAbout
		return eachRow(rows, func() { found := b; at[id].BMC, at[id].BMCAbout, about = &found, about, nil },
			&id, &b.Driver, &b.URL, &b.Username, &b.System, &b.Insecure, &about)
	}
}

func fillAddresses(at machineIndex) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scanAddress)
		for _, a := range list {
			at[a.Machine].Addresses = append(at[a.Machine].Addresses, a)
		}
		return err
	}
}

func fillProblems(at machineIndex) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scanProblem)
		for _, p := range list {
			m := at[sprout.MachineID(p.Subject)]
			m.Problems = append(m.Problems, p)
		}
		return err
	}
}

func fillTests(at machineIndex) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var row machineTest
		_, err := pgx.ForEachRow(rows, row.dest(), func() error {
			m := at[row.machine]
			m.Tests = append(m.Tests, row.TestResult)
			row.Metrics = nil // the next row must not share it
			return nil
		})
		return err
	}
}

// activitySelect says what runs on machines. What the site last said live goes
// before what is stored.
const activitySelect = `
	SELECT w.machine, w.id, w.kind,
	       coalesce(l.live ->> 'step',
	                (SELECT t.name FROM site_step t WHERE t.workflow = w.id AND t.outcome = 'running' ORDER BY t.seq DESC LIMIT 1),
	                w.step_name),
	       coalesce(100 * (l.live #>> '{progress,done}')::float8 / nullif((l.live #>> '{progress,total}')::float8, 0), 0)::int,
	       coalesce(l.live #>> '{wait,for}', w.run #>> '{wait,for}', '')
	FROM workflow w LEFT JOIN workflow_live l ON l.workflow = w.id
	WHERE w.machine = ANY ($1) AND w.state IN ('running', 'unwinding')`

func fillActivities(at machineIndex) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var id sprout.MachineID
		var a sprout.Activity
		return eachRow(rows, func() { found := a; at[id].Activity = &found },
			&id, &a.Workflow, &a.Kind, &a.Step, &a.Percent, &a.Reason)
	}
}
