package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func TestOutboxNumbersWithoutGapsUnderLoad(t *testing.T) {
	s := storetest.New(t)
	sites := []sprout.Site{storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")}
	undone := errors.New("undone")
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			// Each touches both sites, half of them in the other order, and
			// adds to the audit chain: locks in no one order would deadlock.
			err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				for k := range 2 {
					site := sites[(i+k)%2]
					if err := s.Audit(ctx, tx, sprout.AuditRecord{Site: site.ID, Actor: "ann", Action: "test", Outcome: "done"}); err != nil {
						return err
					}
					if err := s.Replicate(ctx, tx, site.ID, sprout.ChangeRecord, fmt.Sprint(i), i); err != nil {
						return err
					}
				}
				if i%5 == 0 {
					return undone
				}
				return nil
			})
			if err != nil && !errors.Is(err, undone) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, site := range sites {
		list, err := s.OutboxAfter(t.Context(), site.ID, 0, 1000)
		if err != nil || len(list) != 33 { // the site's own, and 32 that committed
			t.Fatalf("%d changes, %v", len(list), err)
		}
		for i, c := range list {
			if c.Seq != int64(i+1) {
				t.Fatalf("change %d has number %d", i+1, c.Seq)
			}
		}
	}
	if n, _, err := s.VerifyAudit(t.Context(), sprout.AuditHead{}); err != nil || n != 64 {
		t.Errorf("%d records, %v", n, err)
	}
}

func TestRelaySeesWhatIsUnpublished(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	heard, ready := make(chan string, 10), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- s.Listen(ctx, []string{store.OutboxChannel}, func() { close(ready) }, func(_, site string) { heard <- site })
	}()
	<-ready
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		return s.Replicate(ctx, tx, site.ID, sprout.ChangeWork, "wfl_1/1", sprout.Work{ID: "wfl_1/1"})
	})
	select {
	case got := <-heard:
		if got != string(site.ID) {
			t.Errorf("heard %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the relay was not woken")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	rows, err := s.Unpublished(t.Context(), 10)
	if err != nil || len(rows) != 2 || rows[1].Site != site.ID || rows[1].Kind != sprout.ChangeWork || rows[1].Seq != 2 {
		t.Fatalf("unpublished %+v, %v", rows, err)
	}
	if err := s.MarkPublished(t.Context(), site.ID, 1); err != nil {
		t.Fatal(err)
	}
	if rows, err = s.Unpublished(t.Context(), 10); err != nil || len(rows) != 1 || rows[0].Seq != 2 {
		t.Errorf("unpublished %+v, %v", rows, err)
	}
}

func TestMachineGoesOutOnceATransaction(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	list, err := s.OutboxAfter(t.Context(), site.ID, 1, 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("making one sent %+v, %v", list, err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.DeleteMachine(ctx, tx, m.ID) })
	list, err = s.OutboxAfter(t.Context(), site.ID, 2, 10)
	if err != nil || len(list) != 1 || !list[0].Deleted || list[0].Key != string(m.ID) {
		t.Errorf("deleting it sent %+v, %v", list, err)
	}
}

func TestRecordsAndReservationsFollow(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/24")
	last := outboxEnd(t, s, site.ID)
	a, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:00:01", Name: "m1.lon1.example"})
	if err != nil {
		t.Fatal(err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(
			s.SetRecord(ctx, tx, sprout.Record{Site: site.ID, Name: a.Name, IP: a.IP.Next()}),
			s.SetRecord(ctx, tx, sprout.Record{Site: site.ID, Name: a.Name, IP: a.IP}),
			s.DeleteRecord(ctx, tx, site.ID, a.Name), s.DeleteRecord(ctx, tx, site.ID, a.Name),
			s.Release(ctx, tx, m.ID))
	})
	list, err := s.OutboxAfter(t.Context(), site.ID, last, 20)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		word := string(c.Kind) + " " + c.Key
		if c.Deleted {
			word = "-" + word
		}
		got = append(got, word)
	}
	want := "reservation 52:54:00:00:00:01, record m1.lon1.example 10.0.0.3, -record m1.lon1.example 10.0.0.3, " +
		"record m1.lon1.example 10.0.0.2, -record m1.lon1.example 10.0.0.2, -reservation 52:54:00:00:00:01"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

func outboxEnd(t *testing.T, s *store.Store, site sprout.SiteID) int64 {
	t.Helper()
	list, err := s.OutboxAfter(t.Context(), site, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return list[len(list)-1].Seq
}

// sealed shows to which key a secret was sealed.
func sealed(key string, secret []byte) ([]byte, error) {
	return []byte(key + ":" + string(secret)), nil
}

func TestSnapshotFillsANewAgent(t *testing.T) {
	s := storetest.NewWith(t, store.Config{SealFor: sealed})
	site := storetest.Site(t, s, "lon1")
	enrol := func(n string) (after int64) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.EnrolAgent(ctx, tx, sprout.Agent{Site: site.ID, Name: "a" + n, PublicKey: "U" + n, SealKey: "X" + n})
			if err != nil {
				return err
			}
			after, err = s.Snapshot(ctx, tx, site.ID)
			return err
		})
		return after
	}
	enrol("1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/24")
	if _, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:00:01"}); err != nil {
		t.Fatal(err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(
			s.SetBMC(ctx, tx, m.ID, sprout.BMC{Driver: "redfish", URL: "http://bmc", Password: "hunter2"}),
			s.UpdateMachine(ctx, tx, m.ID, store.MachineChange{SecureBoot: new(true), VirtualMedia: new(true)}),
			s.SetRecord(ctx, tx, sprout.Record{Site: site.ID, Name: "m1.lon1.example", IP: mustIP("10.0.0.2")}),
			start(ctx, s, tx, "wfl_1", site.ID, m.ID), start(ctx, s, tx, "wfl_2", site.ID, ""),
			s.Replicate(ctx, tx, site.ID, sprout.ChangeWork, "wfl_1/1", sprout.Work{ID: "wfl_1/1"}),
			s.Replicate(ctx, tx, site.ID, sprout.ChangeWork, "wfl_2/1", sprout.Work{ID: "wfl_2/1"}),
			s.Forget(ctx, tx, site.ID, sprout.ChangeWork, "wfl_2/1"))
	})
	if _, err := s.Pool().Exec(t.Context(), `UPDATE inbox SET last_fact = 7`); err != nil {
		t.Fatal(err)
	}
	after := enrol("2")
	list, err := s.OutboxAfter(t.Context(), site.ID, after, 100)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	var machine sprout.SiteMachine
	for i, c := range list {
		kinds = append(kinds, string(c.Kind))
		if c.Seq != after+int64(i)+1 {
			t.Errorf("change %d has number %d", i, c.Seq)
		}
		if c.Kind == sprout.ChangeMachine {
			if err := json.Unmarshal(c.Body, &machine); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := strings.Join(kinds, " "); got != "site subnet machine reservation record work" {
		t.Errorf("the snapshot holds %s", got)
	}
	if string(machine.Secret) != "X2:hunter2" || machine.BMC.Password != "" || machine.MACs[0] != "52:54:00:00:00:01" || !machine.SecureBoot || !machine.VirtualMedia || machine.Generation != 1 {
		t.Errorf("machine %+v, secret %q", machine, machine.Secret)
	}
	if last, err := s.LastFact(t.Context(), site.ID); err != nil || last != 0 {
		t.Errorf("the new agent's facts go on after %d, %v", last, err)
	}
	agents, _, err := s.Agents(t.Context(), store.AgentFilter{})
	if begins, err := s.BeginsAfter(t.Context(), agents[0].ID); err != nil || begins != after || agents[0].Applied != after {
		t.Errorf("the agent's store begins after %d, %v; its snapshot after %d", begins, err, after)
	}
	if err != nil || len(agents) != 1 || agents[0].PublicKey != "U2" || agents[0].Wanted != after+int64(len(list)) {
		t.Errorf("agents %+v, %v", agents, err)
	}
}

func TestPruneKeepsWhatIsStillTrue(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	for i := range 3 {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			return s.Replicate(ctx, tx, site.ID, sprout.ChangeRecord, "a", i)
		})
	}
	if err := s.NumberChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkPublished(t.Context(), site.ID, 4); err != nil {
		t.Fatal(err)
	}
	if n, err := s.PruneOutbox(t.Context(), site.ID, 2); err != nil || n != 1 { // 2 of 1 site and 3 records
		t.Errorf("removed %d, %v", n, err)
	}
	list, err := s.OutboxAfter(t.Context(), site.ID, 0, 10)
	if err != nil || len(list) != 3 || list[0].Seq != 1 || list[1].Seq != 3 {
		t.Errorf("left %+v, %v", list, err)
	}
}
