package provision

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/workflow"
)

var burnIn = sprout.CommissionWork{Tests: []sprout.TestRun{{Test: sprout.Test{Name: "burn-in", Kind: "disk", Timeout: 60}}}}

// toldTests tells whether the centre was told results of tests with these words.
func (w *siteWorld) toldTests(words string) bool {
	return slices.ContainsFunc(w.Notes(), func(n string) bool { return strings.HasPrefix(n, "tests ") && strings.Contains(n, words) })
}

// A machine that goes off while it is tested for hours is started again from the
// network, and its finding says so; without such tests it has failed.
func TestBurnInIsStartedAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     sprout.CommissionWork
		silent bool // it hangs, rather than going off
		want   sprout.Code
	}{
		{"power lost", burnIn, false, ""},
		{"hangs", burnIn, true, ""},
		{"nobody asked for tests", sprout.CommissionWork{}, false, sprout.PowerLost},
	} {
		w := newSiteWorld()
		cut, started := false, time.Time{}
		run := play(t, siteCase(w, Commission, c.in, nil), func(e *workflow.Engine[tx], run workflow.Run) {
			switch {
			case run.StepName != "test-hardware":
				w.drive(t, e, run)
			case !cut:
				cut, w.silent, w.boot = true, true, ""
				if !c.silent {
					w.power = sprout.PowerOff
				}
			case w.boot != "" && started.IsZero():
				started = w.clock.Now() // its firmware takes its time
			case !started.IsZero() && w.clock.Now().Sub(started) > 10*time.Minute:
				hello := HelloSeen{Attempt: sprout.AttemptID(w.Values()["intent"]), Hello: sprout.Hello{Boot: "second"}}
				if err := e.Signal(t.Context(), run.ID, SignalHello, hello); err != nil {
					t.Fatal(err)
				}
				w.silent = false
				w.drive(t, e, run)
			}
		})
		if c.want != "" {
			if run.Failure == nil || run.Failure.Code != c.want {
				t.Errorf("%s: failure is %+v", c.name, run.Failure)
			}
			continue
		}
		if run.State != sprout.Succeeded || !w.toldTests(`"restarts","value":1`) || !w.toldTests("nobody asked Sprout for it") {
			t.Errorf("%s: %s by %+v; told %q", c.name, run.State, run.Failure, w.Notes())
		}
	}
}

// A restart is told from a hello that comes twice by the name of the boot; a machine
// that restarts again and again has failed.
func TestRestartsAreCounted(t *testing.T) {
	for _, c := range []struct {
		boots int
		same  bool
		want  string
	}{{3, false, `"restarts","value":3`}, {3, true, `"restarts","value":1`}, {mostRestarts + 1, false, ""}} {
		w := newSiteWorld()
		boots := 0
		run := play(t, siteCase(w, Commission, burnIn, nil), func(e *workflow.Engine[tx], run workflow.Run) {
			if run.StepName != "test-hardware" || boots == c.boots {
				w.drive(t, e, run)
				return
			}
			name := "boot"
			if boots++; !c.same {
				name = fmt.Sprint("boot ", boots)
			}
			hello := HelloSeen{Attempt: sprout.AttemptID(w.Values()["intent"]), Hello: sprout.Hello{Boot: name}}
			if err := e.Signal(t.Context(), run.ID, SignalHello, hello); err != nil {
				t.Fatal(err)
			}
		})
		if c.want == "" {
			if run.Failure == nil || run.Failure.Code != sprout.TestFailed || !strings.Contains(run.Failure.Reason, "restarted 6 times") || w.left() != nil {
				t.Errorf("failure is %+v; left %v", run.Failure, w.left())
			}
			continue
		}
		if run.State != sprout.Succeeded || !w.toldTests(c.want) {
			t.Errorf("%+v: %s by %+v; told %q", c, run.State, run.Failure, w.Notes())
		}
	}
}
