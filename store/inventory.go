package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// SetInventory keeps what the ramdisk found, and takes architecture, boot mode
// and interfaces over from it. Which port is the boot port, and where the machine
// was discovered, stay known. It returns
// the hardware that the machine was expected to have: nil if this is the first
// that is known of it.
func (s *Store) SetInventory(ctx context.Context, tx pgx.Tx, id sprout.MachineID, inv sprout.Inventory) (expected *sprout.Inventory, err error) {
	expected, err = one(ctx, tx, pgx.RowTo[*sprout.Inventory], `
		WITH old AS (SELECT expected, inventory FROM machine WHERE id = $1 FOR UPDATE)
		UPDATE machine m SET inventory = CASE WHEN m.inventory ? 'address' THEN jsonb_build_object('address', m.inventory -> 'address') ELSE '{}' END || $2::jsonb,
			architecture = coalesce(nullif($3, ''), m.architecture),
			boot_mode = coalesce(nullif($4, ''), m.boot_mode), changed_at = now()
		FROM old WHERE m.id = $1 RETURNING coalesce(old.expected, old.inventory)`, id, inv, inv.Architecture, inv.BootMode)
	if err != nil {
		return nil, orNotFound(err, "machine", string(id))
	}
	if len(inv.Interfaces) == 0 {
		return expected, s.touch(ctx, tx, changed("", id))
	}
	before, err := interfacesOf(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	now := keepBoot(inv.Interfaces, before)
	if slices.Equal(now, before) {
		return expected, s.replicateMachine(ctx, tx, id)
	}
	return expected, s.SetInterfaces(ctx, tx, id, now)
}

// ExpectHardware keeps what the machine is expected to have; nil: what it has.
func (s *Store) ExpectHardware(ctx context.Context, tx pgx.Tx, id sprout.MachineID, expected *sprout.Inventory) error {
	_, err := exec(ctx, tx, `UPDATE machine SET expected = $2 WHERE id = $1 AND expected IS DISTINCT FROM $2`, id, expected)
	return err
}

// ExpectedHardware returns what the machine is expected to have; nil: what it has.
func (s *Store) ExpectedHardware(ctx context.Context, id sprout.MachineID) (*sprout.Inventory, error) {
	return one(ctx, s.db, pgx.RowTo[*sprout.Inventory], `SELECT expected FROM machine WHERE id = $1`, id)
}

// keepBoot marks the ports that were known to boot where the inventory marks none.
func keepBoot(list, before []sprout.Interface) []sprout.Interface {
	out := slices.Clone(list)
	if slices.ContainsFunc(list, func(f sprout.Interface) bool { return f.Boot }) {
		return out
	}
	for i := range out {
		out[i].Boot = slices.ContainsFunc(before, func(f sprout.Interface) bool { return f.Boot && f.MAC == out[i].MAC })
	}
	return out
}

type machineTest struct {
	machine sprout.MachineID
	sprout.TestResult
}

func (t *machineTest) dest() []any {
	return []any{&t.machine, &t.Test, &t.Kind, &t.Device, &t.Outcome, &t.Message, &t.Metrics, &t.At, &t.Seconds, &t.Serial}
}

// SetTests keeps the results of one run of hardware tests as the machine's
// latest. Earlier ones become history. skipped is why a commissioning ran without
// tests; empty: it did not.
func (s *Store) SetTests(ctx context.Context, tx pgx.Tx, id sprout.MachineID, results []sprout.TestResult, skipped string) error {
	n, err := exec(ctx, tx, `UPDATE machine SET tests_skipped = $2 <> '', skip_reason = $2 WHERE id = $1`, id, skipped)
	if err := mustTouch(n, err, "machine", string(id)); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `UPDATE test_result SET latest = false WHERE machine = $1 AND latest`, id); err != nil {
		return err
	}
	b := &pgx.Batch{}
	for _, r := range results {
		b.Queue(`
			INSERT INTO test_result (site, machine, test, kind, device, outcome, message, metrics, at, seconds, serial, output, model, parameters)
			SELECT site, id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM machine WHERE id = $1`,
			id, r.Test, r.Kind, r.Device, r.Outcome, r.Message, orEmpty(r.Metrics), r.At, r.Seconds, r.Serial, r.Output, r.Model, said(r.Parameters))
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return explain(err)
	}
	return s.touch(ctx, tx, changed("", id))
}

// said is what a test was told; nil: nothing.
func said(parameters map[string]string) map[string]string {
	if parameters == nil {
		return map[string]string{}
	}
	return parameters
}

// TestsRun notes that the machine's hardware was tested when it was commissioned.
func (s *Store) TestsRun(ctx context.Context, tx pgx.Tx, id sprout.MachineID) error {
	n, err := exec(ctx, tx, `UPDATE machine SET tests_skipped = false, skip_reason = '', changed_at = now() WHERE id = $1 AND tests_skipped`, id)
	if err != nil || n == 0 {
		return err
	}
	return s.touch(ctx, tx, changed("", id))
}
