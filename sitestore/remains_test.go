package sitestore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/sitestore"
	"sprout/workflow"
)

// What is over takes little room, and keeps no secret: the site's memory is made
// of it for a week.
func TestWhatIsOverKeepsLittle(t *testing.T) {
	s := fresh(t)
	const secret = "what nobody needs any more"
	run := workflow.Run{
		ID: "wfl_1/1", Kind: "deploy", State: sprout.Running, StepName: "write-image",
		Input: json.RawMessage(`{"machine":"mch_1","said":"` + secret + `"}`), Data: json.RawMessage(`{"said":"` + secret + `"}`),
		Steps: []sprout.StepRecord{{Name: secret}},
	}
	if err := s.Create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	run.Version, run.State, run.EndedAt = 1, sprout.Succeeded, time.Now().UTC().Truncate(time.Second)
	if err := s.Save(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	kept, err := s.Get(t.Context(), run.ID)
	if raw, _ := json.Marshal(kept); err != nil || strings.Contains(string(raw), secret) || len(raw) > 500 {
		t.Errorf("%v: of the run is kept %s", err, raw)
	}
	if kept.State != sprout.Succeeded || !kept.EndedAt.Equal(run.EndedAt) || kept.StepName != run.StepName {
		t.Errorf("how it ended is lost: %+v", kept)
	}
	if live, err := s.LiveRuns("mch_1"); err != nil || len(live) != 0 {
		t.Errorf("live: %v, %v", live, err)
	}

	order := sprout.Order{ID: "att_1/write", Kind: sprout.OrderWrite, Write: &sprout.Write{Hostname: secret, UserData: []byte(secret)}}
	answer := func(r sprout.Report) (taken bool) {
		t.Helper()
		err := s.Update(t.Context(), func(tx *bbolt.Tx) (err error) {
			if err := s.Give(tx, "att_1", order); err != nil {
				return err
			}
			taken, err = s.Answer(tx, "att_1", r)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	if !answer(sprout.Report{Order: order.ID, Outcome: "done", Inventory: &sprout.Inventory{Serial: secret}}) || answer(sprout.Report{Order: order.ID, Outcome: "failed"}) {
		t.Error("a report is taken once, the first one")
	}
	given, ok, err := s.Order("att_1")
	if raw, _ := json.Marshal(given); err != nil || !ok || strings.Contains(string(raw), secret) {
		t.Errorf("%v, %v: of the order is kept %s", ok, err, raw)
	}
	if given.Order.ID != order.ID || given.Order.Kind != order.Kind || given.Report == nil || given.Report.Outcome != "done" {
		t.Errorf("how the order ended is lost: %+v", given)
	}
}

// What remains of runs takes no more pages than it needs, however large they
// were; so it is with those that an older version kept whole.
func TestEndedRunsLeaveTheirPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s := open(t, path)
	const runs = 60
	large := json.RawMessage(`{"machine":"mch_1","said":"` + strings.Repeat("x", 3000) + `"}`)
	err := s.Update(t.Context(), func(tx *bbolt.Tx) error {
		for i := range runs / 2 {
			raw, err := json.Marshal(workflow.Run{ID: fmt.Sprintf("wfl_0%02d/1", i), State: sprout.FailedRun, Input: large, EndedAt: time.Now()})
			if err == nil {
				err = tx.Bucket([]byte("run")).Put([]byte(fmt.Sprintf("wfl_0%02d/1", i)), raw)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	for i := range runs / 2 {
		run := workflow.Run{ID: fmt.Sprintf("wfl_1%02d/1", i), State: sprout.Running, Input: large}
		if err := s.Create(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		run.Version, run.State, run.EndedAt = 1, sprout.Succeeded, time.Now()
		if err := s.Save(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		if err := s.Create(t.Context(), run); sprout.KindOf(err) != sprout.Conflict {
			t.Errorf("a run that ended begins again: %v", err)
		}
	}
	err = s.View(func(tx *bbolt.Tx) error {
		live, ended := tx.Bucket([]byte("run")).Stats(), tx.Bucket([]byte("ended")).Stats()
		if live.KeyN != 0 || live.LeafAlloc > 8192 || ended.KeyN != runs || ended.LeafAlloc > 2*ended.LeafInuse {
			t.Errorf("%d runs go on, in %d bytes of pages; of %d remains %d bytes, in %d", live.KeyN, live.LeafAlloc, ended.KeyN, ended.LeafInuse, ended.LeafAlloc)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.DropRuns(t.Context(), time.Now().Add(time.Hour)); n != runs || err != nil {
		t.Errorf("%d are dropped, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Pages are nearly full: most keys only rise.
func TestRisingKeysFillTheirPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s := open(t, path)
	for i := range int64(300) {
		m := sprout.SiteMachine{ID: sprout.NewID[sprout.MachineID](sprout.PrefixMachine), Name: strings.Repeat("n", 100)}
		apply(t, s, i+1, sprout.ChangeMachine, string(m.ID), m)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // of this test only
	err = db.View(func(tx *bbolt.Tx) error {
		if of := tx.Bucket([]byte("machine")).Stats(); of.KeyN != 300 || float64(of.LeafInuse) < 0.8*float64(of.LeafAlloc) {
			t.Errorf("of %d bytes of pages %d are in use, by %d keys", of.LeafAlloc, of.LeafInuse, of.KeyN)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Changes that come together share a transaction; what was applied before needs
// none.
func TestChangesTogetherAreOneTransaction(t *testing.T) {
	s := fresh(t)
	var changes []sprout.Change
	for i := range int64(20) {
		m := sprout.SiteMachine{ID: sprout.NewID[sprout.MachineID](sprout.PrefixMachine)}
		changes = append(changes, changeOf(t, i+1, sprout.ChangeMachine, string(m.ID), m))
	}
	transactions := func() (id int) {
		t.Helper()
		if err := s.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
			t.Fatal(err)
		}
		return id
	}
	before := transactions()
	for range 3 {
		if err := s.Apply(t.Context(), changes...); err != nil {
			t.Fatal(err)
		}
	}
	if n := transactions() - before; n != 1 {
		t.Errorf("%d transactions, want 1", n)
	}
	for _, c := range changes {
		if _, err := s.Machine(sprout.MachineID(c.Key)); err != nil {
			t.Errorf("machine %s is not known", c.Key)
		}
	}
	// A gap takes back all that came with it.
	err := s.Apply(t.Context(), changeOf(t, 21, sprout.ChangeMachine, "mch_a", sprout.SiteMachine{ID: "mch_a"}),
		changeOf(t, 23, sprout.ChangeMachine, "mch_b", sprout.SiteMachine{ID: "mch_b"}))
	if _, unknown := s.Machine("mch_a"); unknown == nil || !errors.Is(err, sitestore.ErrGap) {
		t.Errorf("got %v; the first: %v", err, unknown)
	}
}
