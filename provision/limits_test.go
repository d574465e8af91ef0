package provision

import (
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/workflow"
)

func TestStepLimits(t *testing.T) {
	past := func(runs int, p95 time.Duration) map[string]sprout.Usual {
		return map[string]sprout.Usual{"boot-ramdisk": {Runs: runs, P50: p95 / 2, P95: p95}}
	}
	set := []sprout.ModelLimit{{Step: "boot-ramdisk", Seconds: 1500, By: "ann"}}
	for _, test := range []struct {
		name  string
		kind  string
		basis Basis
		step  string
		want  time.Duration
		from  sprout.LimitOrigin
		why   string
	}{
		{"of a machine nobody knows", Commission, Basis{}, "boot-ramdisk", 15 * time.Minute, sprout.LimitUsual, "every model"},
		{"of a small box", Commission, Basis{Size: Size{Memory: 2 << 30}}, "boot-ramdisk", 15 * time.Minute, sprout.LimitUsual, "every model"},
		{"of 3 TiB of memory", Commission, Basis{Size: Size{Memory: 3 << 40}}, "boot-ramdisk", 39 * time.Minute, sprout.LimitSize, "3072 GiB"},
		{"of 3 TiB, after the install", Deploy, Basis{Size: Size{Memory: 3 << 40}}, "phone-home", 54 * time.Minute, sprout.LimitSize, "3072 GiB"},
		{"of few runs", Deploy, Basis{Model: "Dell R740", Past: past(4, time.Hour)}, "boot-ramdisk", 15 * time.Minute, sprout.LimitUsual, ""},
		{"of quick runs", Deploy, Basis{Model: "Dell R740", Past: past(40, time.Minute)}, "boot-ramdisk", 15 * time.Minute, sprout.LimitUsual, ""},
		{"of slow runs", Deploy, Basis{Model: "Dell R740", Past: past(40, 8*time.Minute)}, "boot-ramdisk", 24 * time.Minute, sprout.LimitHistory, "Dell R740"},
		{"of endless runs", Deploy, Basis{Model: "Dell R740", Past: past(40, 9*time.Hour)}, "boot-ramdisk", time.Hour, sprout.LimitHistory, "as long as history may"},
		{"set by somebody", Deploy, Basis{Model: "Dell R740", Past: past(40, time.Hour), Size: Size{Memory: 3 << 40}, Set: set}, "boot-ramdisk", 25 * time.Minute, sprout.LimitSet, "for Dell R740, set by ann"},
		{"set to less than can be", Deploy, Basis{Set: []sprout.ModelLimit{{Step: "phone-home", Seconds: 1}}}, "phone-home", LeastLimit, sprout.LimitSet, ""},
		{"of a small image", Deploy, Basis{Size: Size{Raw: 4e9}}, "write-image", 52 * time.Minute, sprout.LimitSize, "an image of 4.0 GB"},
		{"of a large image", Deploy, Basis{Size: Size{Raw: 100e9}}, "write-image", 212 * time.Minute, sprout.LimitSize, "an image of 100.0 GB"},
		{"of a large image, fetched", Deploy, Basis{Size: Size{Image: 30e9}}, "fetch-image", 115 * time.Minute, sprout.LimitSize, "30.0 GB"},
		{"of a small disk", Release, Basis{Size: Size{Disks: 8e9}}, "erase-disks", 62 * time.Minute, sprout.LimitSize, "disks of 8.0 GB"},
		{"of disks nobody knows", Release, Basis{}, "erase-disks", 12 * time.Hour, sprout.LimitUsual, ""},
		{"of many large disks", Release, Basis{Size: Size{Disks: 160e12}}, "erase-disks", LongestLimit, sprout.LimitSize, "160000.0 GB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, got := range StepLimits(test.kind, test.basis) {
				if got.Step == test.step && (got.Duration() != test.want || got.From != test.from || !strings.Contains(got.Why, test.why)) {
					t.Errorf("%+v, want %s from %s", got, test.want, test.from)
				}
			}
		})
	}
}

// Every step of a site has a limit, which the table names once.
func TestEveryStepHasALimit(t *testing.T) {
	known := map[string]bool{}
	for _, kind := range Kinds {
		steps, limits := SiteSteps(kind), StepLimits(kind, Basis{})
		if len(steps) < 2 || len(limits) != len(steps) {
			t.Errorf("%s has the steps %v, and limits of %d", kind, steps, len(limits))
		}
		for _, s := range steps {
			known[s] = true
		}
	}
	if len(known) != len(limitRules) {
		t.Errorf("the table has %d rows for %d steps", len(limitRules), len(known))
	}
}

// The limits travel with the work, and the work's own deadline is beyond them all.
func TestWorkCarriesItsLimits(t *testing.T) {
	w := newCentreWorld(sprout.Allocated)
	w.basis = Basis{Model: "Dell R740", Size: Size{Memory: 3 << 40}, Set: []sprout.ModelLimit{{Step: "phone-home", Seconds: 7200, By: "ann"}}}
	c := centreCase(w, Deploy, DeployInput{Machine: "mch_1", Image: sprout.Image{Name: "big", Bytes: 30e9, RawBytes: 100e9}}, nil)
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.WaitSignal != SignalWorkEnded {
			return
		}
		limits := LimitsOf(run)
		if len(limits) != len(w.sent.Limits) || len(limits) != len(SiteSteps(Deploy)) {
			t.Errorf("the run keeps %v, sent was %v", limits, w.sent.Limits)
		}
		var all time.Duration
		for _, l := range limits {
			all += l.Duration()
		}
		if all < 7*time.Hour || w.sent.Deadline.Before(run.StepStarted.Add(all)) || !run.StepDeadline.After(w.sent.Deadline) {
			t.Errorf("limits of %s, work until %s, its step until %s, from %s", all, w.sent.Deadline, run.StepDeadline, run.StepStarted)
		}
		if err := e.Signal(t.Context(), run.ID, SignalWorkEnded, WorkEnded{Work: w.sent.ID, Result: sprout.WorkResult{State: sprout.Succeeded}}); err != nil {
			t.Error(err)
		}
	})
	if run.State != sprout.Succeeded {
		t.Errorf("the run is %s: %+v", run.State, run.Failure)
	}
}

// A site holds its steps to what the work says, not to what it thinks itself.
func TestASiteKeepsToTheWorksLimits(t *testing.T) {
	for _, limit := range []time.Duration{0, 5 * time.Minute, 25 * time.Minute} {
		w := newSiteWorld()
		c := siteCase(w, Commission, sprout.CommissionWork{}, nil)
		in := c.Input.(SiteInput)
		want := 15 * time.Minute
		if limit > 0 {
			in.Work.Limits, want = []sprout.StepLimit{{Step: "boot-ramdisk", Seconds: int64(limit / time.Second)}}, limit
		}
		c.Input = in
		run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
			if run.StepName != "boot-ramdisk" {
				w.drive(t, e, run)
			}
		})
		if f := run.Failure; f == nil || f.Code != sprout.NoRamdisk {
			t.Fatalf("limit %s: failure is %+v", limit, run.Failure)
		}
		for _, r := range run.Steps {
			if took := r.EndedAt.Sub(r.StartedAt); r.Name == "boot-ramdisk" && r.Outcome == "failed" && (took > want || took < want-time.Minute) {
				t.Errorf("limit %s: it was given up after %s", limit, took)
			}
		}
	}
}
