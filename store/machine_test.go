package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func asError(err error) *sprout.Error {
	var e *sprout.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func TestEveryMoveOfTheLifecycleAndNoOther(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	events := map[sprout.Event]bool{}
	for _, m := range sprout.Lifecycle {
		events[m.On] = true
	}
	n := 0
	for _, from := range sprout.States {
		for event := range events {
			n++
			m := storetest.Machine(t, s, site.ID, fmt.Sprintf("m%d", n), fmt.Sprintf("52:54:00:00:00:%02x", n))
			if _, err := s.Pool().Exec(t.Context(), `UPDATE machine SET state = $2 WHERE id = $1`, m.ID, from); err != nil {
				t.Fatal(err)
			}
			want, illegal := sprout.Next(from, event)
			err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				_, err := s.MoveMachine(ctx, tx, m.ID, event, "ann", "because")
				return err
			})
			if (err != nil) != (illegal != nil) {
				t.Errorf("%s on %s: got %v", event, from, err)
				continue
			}
			got, err := s.Machine(t.Context(), m.ID)
			if err != nil {
				t.Fatal(err)
			}
			moves, _, err := s.MachineHistory(t.Context(), m, store.Page{})
			if err != nil {
				t.Fatal(err)
			}
			if illegal != nil && (got.State != from || len(moves) != 1) {
				t.Errorf("%s on %s is illegal, yet: %s, %d rows of history", event, from, got.State, len(moves))
			}
			if illegal == nil && (got.State != want || len(moves) != 2 || moves[0].To != want || moves[0].Actor != "ann") {
				t.Errorf("%s on %s: %s, history %+v", event, from, got.State, moves)
			}
		}
	}
}

// TestTwoMovesAtOnceOneWins lets two transactions read the same state before
// either moves the machine.
func TestTwoMovesAtOnceOneWins(t *testing.T) {
	s := storetest.New(t)
	m := storetest.Machine(t, s, storetest.Site(t, s, "lon1").ID, "m1", "52:54:00:00:00:01")
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.MoveMachine(ctx, tx, m.ID, sprout.Commissioned, "ann", "")
		return err
	})
	const racers = 8
	errs := make([]error, racers)
	var begin, done sync.WaitGroup
	begin.Add(racers)
	for i := range racers {
		done.Go(func() {
			errs[i] = s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				begin.Done()
				begin.Wait()
				_, err := s.MoveMachine(ctx, tx, m.ID, sprout.Allocate, fmt.Sprint("racer ", i), "")
				return err
			})
		})
	}
	done.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantKind(t, err, sprout.Conflict)
	}
	moves, _, err := s.MachineHistory(t.Context(), m, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if won != 1 || len(moves) != 3 {
		t.Errorf("%d won, history %+v", won, moves)
	}
}

func TestNamesAndMACsAreTheirSitesOwn(t *testing.T) {
	s := storetest.New(t)
	lon, par := storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")
	storetest.Machine(t, s, lon.ID, "m1", "52:54:00:00:00:01")
	storetest.Machine(t, s, par.ID, "m1", "52:54:00:00:00:01")
	create := func(m sprout.Machine) error {
		m.Site, m.State = lon.ID, sprout.Registered
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.CreateMachine(ctx, tx, m, "ann")
			return err
		})
	}
	wantField(t, create(sprout.Machine{Name: "m1"}), sprout.Conflict, "name")
	wantField(t, create(sprout.Machine{Name: "m2", Interfaces: []sprout.Interface{{MAC: "52-54-00-00-00-01"}}}), sprout.Conflict, "interfaces.mac")
	wantField(t, create(sprout.Machine{Name: "m2", Interfaces: []sprout.Interface{{MAC: "52:54"}}}), sprout.Invalid, "interfaces.mac")
	wantField(t, create(sprout.Machine{Name: "M_2"}), sprout.Invalid, "name")
	wantField(t, create(sprout.Machine{Name: "m2", Architecture: "vax"}), sprout.Invalid, "architecture")
	wantField(t, create(sprout.Machine{Name: "m2", BMC: &sprout.BMC{Driver: "telnet"}}), sprout.Invalid, "bmc.driver")
	list, _, err := s.Machines(t.Context(), store.MachineFilter{Sites: sprout.At(lon.ID)})
	if err != nil || len(list) != 1 {
		t.Errorf("what was refused left something: %d machines, %v", len(list), err)
	}
}

func TestFindMachine(t *testing.T) {
	s := storetest.New(t)
	lon, par := storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")
	m1 := storetest.Machine(t, s, lon.ID, "m1", "52:54:00:00:00:01")
	other := storetest.Machine(t, s, par.ID, "m1", "52:54:00:00:00:01")
	for ref, site := range map[string]sprout.SiteID{
		"m1": lon.ID, "lon1/m1": "", string(m1.ID): "", string(m1.ID)[:29]: "",
	} {
		got, err := s.FindMachine(t.Context(), sprout.At(site), ref)
		if err != nil || got.ID != m1.ID {
			t.Errorf("%s: got %s, %v", ref, got.ID, err)
		}
	}
	_, err := s.FindMachine(t.Context(), nil, "m1")
	wantField(t, err, sprout.Invalid, "machine")
	if !strings.Contains(err.Error(), "lon1/m1 or par1/m1") {
		t.Errorf("it does not name them: %v", err)
	}
	_, err = s.FindMachine(t.Context(), nil, "mch_z")
	wantKind(t, err, sprout.NotFound)
	_, err = s.FindMachine(t.Context(), nil, "%")
	wantKind(t, err, sprout.NotFound)
	got, err := s.MachineOf(t.Context(), par.ID, store.Hardware{MACs: []string{"52:54:00:00:00:07", "52:54:00:00:00:01"}})
	if err != nil || got != other.ID {
		t.Errorf("by MAC: %s, %v", got, err)
	}
}

// counter counts statements: each query and each of a batch.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() { c.mu.Lock(); c.n++; c.mu.Unlock() }

func (c *counter) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = 0
	return n
}

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(q.SQL, "pg_notify") { // sent when it suits
		c.add()
	}
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { c.add() }
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func TestListsTakeAConstantNumberOfStatements(t *testing.T) {
	count := &counter{}
	pool := storetest.NewPool(t, func(c *pgxpool.Config) { c.ConnConfig.Tracer = count })
	s := store.New(pool, store.Config{})
	site := storetest.Site(t, s, "lon1")
	storetest.Machine(t, s, site.ID, "m0", "52:54:00:00:00:00")
	list := func() int {
		count.take()
		if _, _, err := s.Machines(t.Context(), store.MachineFilter{}); err != nil {
			t.Fatal(err)
		}
		return count.take()
	}
	few := list()
	for i := 1; i < 20; i++ {
		storetest.Machine(t, s, site.ID, fmt.Sprint("m", i), fmt.Sprintf("52:54:00:00:00:%02x", i))
	}
	if many := list(); many != few || few != 7 {
		t.Errorf("1 machine takes %d statements, 20 take %d; want 7", few, many)
	}
}

func TestAMachineIsWhole(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/24")
	now := time.Now().UTC().Truncate(time.Millisecond)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.SetInventory(ctx, tx, m.ID, sprout.Inventory{BootMode: sprout.UEFI, MemoryBytes: 4 << 30,
			Interfaces: []sprout.Interface{{Name: "eno1", MAC: "52:54:00:00:00:01", Link: true}, {Name: "eno2", MAC: "52:54:00:00:00:02"}}})
		return errors.Join(err,
			s.SetBMC(ctx, tx, m.ID, sprout.BMC{Driver: "redfish", URL: "http://10.0.0.5", Username: "root", Password: "hunter2"}),
			s.SetBMCAbout(ctx, tx, m.ID, sprout.BMCFact{URL: "http://10.0.0.5", BMCAbout: sprout.BMCAbout{Vendor: "Acme", Quirks: []sprout.Quirk{{Name: "etag"}}}}),
			s.SetTests(ctx, tx, m.ID, []sprout.TestResult{
				{Test: "disk-read", Kind: "disk", Device: "vda", Outcome: sprout.Passed, At: now, Metrics: []sprout.Metric{{Name: "throughput", Value: 90, Unit: "MB/s"}}},
				{Test: "link", Kind: "nic", Device: "eno1", Outcome: sprout.Failed, At: now, Metrics: []sprout.Metric{{Name: "loss", Value: 2, Unit: "%"}}}}, ""),
			s.SetPower(ctx, tx, m.ID, sprout.PowerOn, now),
			s.SetPower(ctx, tx, m.ID, sprout.PowerOff, now.Add(-time.Second)), // an older word
			s.RaiseProblem(ctx, tx, sprout.Problem{Site: site.ID, Subject: string(m.ID), Name: "m1", Code: sprout.TestFailed, Severity: sprout.Critical, Reason: "loss"}),
			start(ctx, s, tx, "wfl_1", site.ID, m.ID))
	})
	if _, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:00:01", Name: "m1.lon1.example"}); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveLive(t.Context(), "wfl_1", sprout.Live{Step: "write-image", Progress: &sprout.Progress{Done: 43, Total: 100, Unit: "B"}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Machine(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.BMC == nil || got.BMC.Username != "root" || got.BMC.Password != "" {
		t.Errorf("BMC %+v", got.BMC)
	}
	if a := got.BMCAbout; a == nil || a.Vendor != "Acme" || len(a.Quirks) != 1 || a.Quirks[0].Name != "etag" {
		t.Errorf("of its BMC is known %+v", a)
	}
	if len(got.Interfaces) != 2 || !got.Interfaces[0].Boot || got.BootMode != sprout.UEFI || got.Inventory.MemoryBytes != 4<<30 {
		t.Errorf("interfaces %+v, boot mode %s", got.Interfaces, got.BootMode)
	}
	if len(got.Tests) != 2 || got.Tests[0].Metrics[0].Value != 90 || got.Tests[1].Metrics[0].Name != "loss" {
		t.Errorf("tests %+v", got.Tests)
	}
	if got.Power != sprout.PowerOn || len(got.Problems) != 1 || len(got.Addresses) != 1 || got.Generation != 1 {
		t.Errorf("power %s, problems %v, addresses %v, generation %d", got.Power, got.Problems, got.Addresses, got.Generation)
	}
	if a := got.Activity; a == nil || a.Step != "write-image" || a.Percent != 43 || a.Kind != "deploy" {
		t.Errorf("activity %+v", a)
	}
}

func TestDeleteMachineOnlyWhenNothingHoldsIt(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/24")
	if _, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID}); err != nil {
		t.Fatal(err)
	}
	remove := func(ctx context.Context, tx pgx.Tx) error { return s.DeleteMachine(ctx, tx, m.ID) }
	wantField(t, s.Tx(t.Context(), remove), sprout.Conflict, "machine")
	if err := s.ReleaseAddresses(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	inTx(t, s, remove)
	_, err := s.Machine(t.Context(), m.ID)
	wantKind(t, err, sprout.NotFound)
}
