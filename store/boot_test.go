package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

var bootNoon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// bootEvents makes n events of an attempt, a second apart.
func bootEvents(attempt sprout.AttemptID, machine sprout.MachineID, mac string, n int) []sprout.BootEvent {
	var all []sprout.BootEvent
	for i := range n {
		all = append(all, sprout.BootEvent{
			At: bootNoon.Add(time.Duration(i) * time.Second), Attempt: attempt, Machine: machine, MAC: mac, What: "dhcp-offer", Count: i,
		})
	}
	return all
}

func record(t *testing.T, s *store.Store, site sprout.SiteID, events []sprout.BootEvent) {
	t.Helper()
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.RecordBoots(ctx, tx, site, events) })
}

func attemptID(n int) sprout.AttemptID { return sprout.AttemptID(fmt.Sprintf("att_%026d", n)) }

func TestBootTimelineIsBoundedByEvents(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	first, second := bootEvents(attemptID(1), m.ID, "52:54:00:00:00:01", 390), bootEvents(attemptID(1), m.ID, "52:54:00:00:00:01", 30)
	for i := range second {
		second[i].At = second[i].At.Add(time.Hour)
	}
	record(t, s, site.ID, append(first, sprout.BootEvent{What: "of no attempt"}))
	record(t, s, site.ID, second)
	got, err := s.BootEvents(t.Context(), site.ID, attemptID(1))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 400 || got[0].Count != 20 || got[399].Count != 29 || got[0].MAC != "52:54:00:00:00:01" {
		t.Errorf("%d events are kept, from %+v to %+v", len(got), got[0], got[len(got)-1])
	}
	list, _, err := s.BootAttempts(t.Context(), m, store.Page{})
	if err != nil || len(list) != 1 || list[0].Seen != 420 || list[0].Machine != m.ID || !list[0].StartedAt.Equal(bootNoon) {
		t.Errorf("attempts are %+v, %v", list, err)
	}
}

func TestBootAttemptsAreBoundedByMachine(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	other := storetest.Machine(t, s, site.ID, "m2", "52:54:00:00:00:02")
	record(t, s, site.ID, bootEvents(attemptID(0), other.ID, "", 1))
	for n := range 25 {
		record(t, s, site.ID, bootEvents(attemptID(n+1), m.ID, "", 2))
	}
	list, _, err := s.BootAttempts(t.Context(), m, store.Page{})
	if err != nil || len(list) != 20 || list[0].ID != attemptID(25) || list[19].ID != attemptID(6) {
		t.Errorf("%d attempts are kept: %v", len(list), err)
	}
	if events, err := s.BootEvents(t.Context(), site.ID, attemptID(1)); err != nil || len(events) != 0 {
		t.Errorf("a pruned attempt has %d events, %v", len(events), err)
	}
	if list, _, err := s.BootAttempts(t.Context(), other, store.Page{}); err != nil || len(list) != 1 {
		t.Errorf("the other machine's attempts: %v, %v", list, err)
	}
}

// What a machine did before it was known is found by its MAC; a machine that is
// gone takes its timelines with it.
func TestBootsOfStrangers(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	record(t, s, site.ID, bootEvents(attemptID(1), "", "52:54:00:00:00:01", 1))
	record(t, s, site.ID, bootEvents(attemptID(2), "mch_gone", "52:54:00:00:00:01", 1))
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	m, err := s.Machine(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	record(t, s, site.ID, bootEvents(attemptID(3), m.ID, "52:54:00:00:00:01", 1))
	if list, _, err := s.BootAttempts(t.Context(), m, store.Page{}); err != nil || len(list) != 3 || list[2].Machine != "" || list[0].Machine != m.ID {
		t.Errorf("attempts are %+v, %v", list, err)
	}
	if _, err := s.Pool().Exec(t.Context(), `DELETE FROM machine WHERE id = $1`, m.ID); err != nil {
		t.Fatal(err)
	}
	if list, _, err := s.BootAttempts(t.Context(), m, store.Page{}); err != nil || len(list) != 2 {
		t.Errorf("after its deletion attempts are %+v, %v", list, err)
	}
}

// Events of several attempts that are told together come to their own timelines,
// in their order, and each owner keeps its own newest attempts.
func TestBootsToldTogether(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	a := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	b := storetest.Machine(t, s, site.ID, "m2", "52:54:00:00:00:02")
	var told []sprout.BootEvent
	for n := range 25 {
		ofA, ofB := bootEvents(attemptID(n), a.ID, "52:54:00:00:00:01", 2), bootEvents(attemptID(100+n%3), b.ID, "52:54:00:00:00:02", 1)
		told = append(told, ofA[1], ofB[0], ofA[0]) // at one time or another: each says when it was
	}
	record(t, s, site.ID, told)
	for _, c := range []struct {
		m             sprout.Machine
		attempts      int
		newest        sprout.AttemptID
		seen, whenced int
	}{{a, 20, attemptID(24), 2, 2}, {b, 3, attemptID(102), 8, 8}} {
		list, _, err := s.BootAttempts(t.Context(), c.m, store.Page{})
		if err != nil || len(list) != c.attempts || list[0].ID != c.newest || list[0].Seen != c.seen || list[0].Machine != c.m.ID {
			t.Errorf("%s: %d attempts, the newest %+v, %v", c.m.Name, len(list), list[0], err)
		}
		events, err := s.BootEvents(t.Context(), site.ID, c.newest)
		if err != nil || len(events) != c.whenced || events[0].Count != 0 || events[0].Attempt != "" {
			t.Errorf("%s: events %+v, %v", c.m.Name, events, err)
		}
	}
}
