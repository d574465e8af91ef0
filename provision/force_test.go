package provision

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

// forced is a centre's release of a deployed machine with an address and a name.
func forced(in ReleaseInput, check func(t *testing.T, w *centreWorld, run workflow.Run)) (*centreWorld, workflowtest.Case[tx]) {
	w := newCentreWorld(sprout.Deployed)
	w.held = []sprout.Address{{Site: "sit_1", IP: netip.MustParseAddr("10.0.0.10"), Name: "m1.lon1.example"}}
	w.names["m1.lon1.example"] = netip.MustParseAddr("10.0.0.10")
	return w, centreCase(w, Release, in, func(t *testing.T, run workflow.Run) { check(t, w, run) })
}

// It ends without a word of the site, becomes registered and never ready, and says
// what was not done.
func released(t *testing.T, w *centreWorld, run workflow.Run) {
	t.Helper()
	if run.State != sprout.Succeeded {
		if w.now() != sprout.Deployed {
			t.Errorf("%s, and the machine is %s", run.State, w.now())
		}
		return
	}
	if len(w.held) != 0 || len(w.names) != 0 || w.now() != sprout.Registered || w.Values()["problem"] != string(sprout.DisksNotErased) {
		t.Errorf("released by force: %s with %v and %v, problem %q", w.now(), w.held, w.names, w.Values()["problem"])
	}
	var left sprout.ReleaseWork
	if err := json.Unmarshal(w.sent.Input, &left); err != nil || left.Erase || w.sent.ID != w.Values()["work"] || w.sent.Deadline.Sub(run.CreatedAt) < forcedBy-workSlack {
		t.Errorf("the site is left %+v: %s (%v)", w.sent, w.sent.Input, err)
	}
	if !slices.ContainsFunc(run.Steps, func(s sprout.StepRecord) bool {
		return s.Name == "finish" && strings.Contains(s.Detail, "disks are not erased") && strings.Contains(s.Detail, "switched off")
	}) {
		t.Errorf("it does not say what was not done:\n%s", workflowtest.Describe(run))
	}
}

func TestForcedReleaseBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		_, c := forced(ReleaseInput{Machine: "mch_1", Erase: true, Force: "the site burned down"}, released)
		return c
	})
}

// A release that waits for its site is forced while it waits: what the site was
// given to do is taken back.
func TestAReleaseThatWaitsIsForced(t *testing.T) {
	w, c := forced(ReleaseInput{Machine: "mch_1", Erase: true}, released)
	first := ""
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.WaitSignal != SignalWorkEnded {
			return
		}
		first = w.Values()["work"]
		if err := e.Signal(t.Context(), run.ID, SignalWorkEnded, WorkEnded{Force: "the site burned down"}); err != nil {
			t.Fatal(err)
		}
	})
	if run.State != sprout.Succeeded || first == "" || w.Values()["work"] == first {
		t.Fatalf("%s; the first work was %q\n%s", run.State, first, workflowtest.Describe(run))
	}
	released(t, w, run)
}

// An erase that nobody forced ends the problem; a commissioning does not.
func TestOnlyAnEraseEmptiesTheDisks(t *testing.T) {
	for _, c := range []struct {
		kind  string
		input any
		ends  bool
	}{
		{Release, ReleaseInput{Machine: "mch_1", Erase: true}, true},
		{Release, ReleaseInput{Machine: "mch_1"}, false},
		{Release, ReleaseInput{Machine: "mch_1", Erase: true, Force: "why"}, false},
		{Commission, CommissionInput{Machine: "mch_1"}, false},
	} {
		raw, err := json.Marshal(c.input)
		if err != nil {
			t.Fatal(err)
		}
		data := centreData{}
		if in, ok := c.input.(ReleaseInput); ok {
			data.Forced = in.Force
		}
		kept, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		run := workflow.Run{Kind: c.kind, Input: raw, Data: kept}
		if got := slices.Contains(endedBy(run), sprout.DisksNotErased); got != c.ends {
			t.Errorf("%s %s ends it: %v", c.kind, raw, got)
		}
	}
}
