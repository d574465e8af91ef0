package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
	"sprout/workflow"
)

func start(ctx context.Context, s *store.Store, tx pgx.Tx, id string, site sprout.SiteID, m sprout.MachineID) error {
	return s.CreateRun(ctx, tx, workflow.Run{ID: id, Kind: "deploy", State: sprout.Running, StepName: "reserve-address",
		Input: json.RawMessage(`{"image":"debian-12"}`), NextAt: time.Now()}, store.Origin{Site: site, Machine: m, Actor: "ann"})
}

func TestOneWorkflowAtATimeOnAMachine(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	ids := []string{"wfl_1", "wfl_2", "wfl_3", "wfl_4"}
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() {
			errs[i] = s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return start(ctx, s, tx, id, site.ID, m.ID) })
		})
	}
	all.Wait()
	var won string
	for i, err := range errs {
		if err == nil {
			won += ids[i]
		}
	}
	if len(won) != len("wfl_1") {
		t.Fatalf("these won: %q", won)
	}
	for _, err := range errs {
		if err == nil {
			continue
		}
		wantKind(t, err, sprout.Conflict)
		if e := asError(err); !strings.Contains(e.Remedy, "sprout workflow cancel "+won) || !strings.Contains(e.Message, won) {
			t.Errorf("it does not say what runs and how to end it: %+v", e)
		}
	}
	got, err := s.Machine(t.Context(), m.ID)
	if err != nil || got.Generation != 1 {
		t.Errorf("generation %d, %v", got.Generation, err)
	}
}

func TestLockedMachineRefusesWorkflows(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	locked := true
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		err := s.UpdateMachine(ctx, tx, m.ID, store.MachineChange{Locked: &locked})
		return err
	})
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return start(ctx, s, tx, "wfl_1", site.ID, m.ID) })
	wantKind(t, err, sprout.Conflict)
}

func TestSaveRunIsGuardedByVersion(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return start(ctx, s, tx, "wfl_1", site.ID, m.ID) })
	save := func(run workflow.Run) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return s.SaveRun(ctx, tx, run) })
	}
	run, err := s.GetRun(t.Context(), "wfl_1")
	if err != nil || run.Version != 1 || string(run.Input) != `{"image": "debian-12"}` && string(run.Input) != `{"image":"debian-12"}` {
		t.Fatalf("run %+v, %v", run, err)
	}
	run.StepName, run.Step = "publish-name", 1
	if err := save(run); err != nil {
		t.Fatal(err)
	}
	wantKind(t, save(run), sprout.Conflict) // somebody saved it since
	if run, err = s.GetRun(t.Context(), "wfl_1"); err != nil || run.Version != 2 || run.StepName != "publish-name" {
		t.Fatalf("run %+v, %v", run, err)
	}
	_, err = s.GetRun(t.Context(), "wfl_9")
	wantKind(t, err, sprout.NotFound)
	again := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return start(ctx, s, tx, "wfl_1", site.ID, "") })
	wantField(t, again, sprout.Conflict, "id")
}

func TestRetryOccupiesTheMachineAnew(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	move := func(id string, state sprout.WorkflowState) error {
		run, err := s.GetRun(t.Context(), id)
		if err != nil {
			return err
		}
		run.State, run.EndedAt = state, time.Time{}
		if state.Ended() {
			run.EndedAt = time.Now()
		}
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return s.SaveRun(ctx, tx, run) })
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return start(ctx, s, tx, "wfl_1", site.ID, m.ID) })
	if err := move("wfl_1", sprout.FailedRun); err != nil {
		t.Fatal(err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return start(ctx, s, tx, "wfl_2", site.ID, m.ID) })
	err := move("wfl_1", sprout.Running)
	wantKind(t, err, sprout.Conflict)
	if !strings.Contains(err.Error(), "wfl_2") {
		t.Errorf("it does not name the other: %v", err)
	}
	if err := errors.Join(move("wfl_2", sprout.Succeeded), move("wfl_1", sprout.Running)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Machine(t.Context(), m.ID); err != nil || got.Generation != 3 || got.Activity.Workflow != "wfl_1" {
		t.Errorf("machine %+v, %v", got, err)
	}
}

func TestWorkflowShowsTheStepsOfItsSite(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	begun := time.Now().UTC().Truncate(time.Microsecond)
	ended := begun.Add(time.Second)
	step := sprout.StepRecord{Name: "write-image", Attempt: 1, Outcome: "running", StartedAt: begun}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(start(ctx, s, tx, "wfl_1", site.ID, m.ID), s.ReportSteps(ctx, tx, site.ID, []store.SiteStep{{Workflow: "wfl_1", Work: "wfl_1/1", StepRecord: step}}))
	})
	w, err := s.Workflow(t.Context(), "wfl_1")
	if err != nil || w.Step != "write-image" || len(w.Steps) != 1 || w.Steps[0].At != "site" || w.MachineName != "m1" || w.SiteName != "lon1" {
		t.Errorf("workflow %+v, %v", w, err)
	}
	step.Outcome, step.EndedAt = "done", &ended
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		return s.ReportSteps(ctx, tx, site.ID, []store.SiteStep{{Workflow: "wfl_1", Work: "wfl_1/1", StepRecord: step}})
	})
	w, err = s.Workflow(t.Context(), "wfl_1")
	if err != nil || len(w.Steps) != 1 || w.Steps[0].Outcome != "done" || !w.Steps[0].EndedAt.Equal(ended) || w.Step != "reserve-address" {
		t.Errorf("workflow %+v, %v", w, err)
	}
	list, _, err := s.Workflows(t.Context(), store.WorkflowFilter{Machine: m.ID, Live: true})
	if err != nil || len(list) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
	due, err := s.RunsDue(t.Context(), time.Now().Add(time.Minute), time.Time{}, 10)
	if err != nil || len(due) != 1 || due[0] != "wfl_1" {
		t.Errorf("due %v, %v", due, err)
	}
}

// The centre saves a run again and again while it waits for its site: what the
// site shows live stays until the run's step or state is another.
func TestSavingWhileWaitingKeepsWhatIsLive(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return start(ctx, s, tx, "wfl_1", site.ID, "") })
	if err := s.SaveLive(t.Context(), "wfl_1", sprout.Live{Work: "wfl_1/1", Step: "write-image", Progress: &sprout.Progress{Done: 43, Total: 100}}); err != nil {
		t.Fatal(err)
	}
	save := func(change func(*workflow.Run)) *sprout.Progress {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			run, err := s.In(tx).GetRun(ctx, "wfl_1")
			if err != nil {
				return err
			}
			change(&run)
			return s.SaveRun(ctx, tx, run)
		})
		w, err := s.Workflow(t.Context(), "wfl_1")
		if err != nil {
			t.Fatal(err)
		}
		return w.Progress
	}
	if p := save(func(r *workflow.Run) { r.NextAt = time.Now().Add(time.Minute) }); p == nil || p.Done != 43 {
		t.Errorf("a save that moved nothing left %+v", p)
	}
	if p := save(func(r *workflow.Run) { r.StepName = "publish-name" }); p != nil {
		t.Errorf("another step still shows %+v", p)
	}
}
