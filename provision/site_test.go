package provision

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

// siteCase is one kind of site work in a fresh world, played to its end.
func siteCase(w *siteWorld, kind string, input any, check func(t *testing.T, run workflow.Run)) workflowtest.Case[tx] {
	raw, _ := json.Marshal(input)
	var def workflow.Definition[tx]
	for _, d := range SiteDefinitions[tx](w, Limits{}) {
		if d.Kind == kind {
			def = d
		}
	}
	return workflowtest.Case[tx]{
		Definition: def, Store: w, Clock: w.clock,
		Input: SiteInput{Machine: "mch_1", Work: sprout.Work{ID: "wfl_1/1", Kind: kind, Input: raw}},
		Drive: w.drive,
		Check: check,
	}
}

// drive sends what the ramdisk and the installed system would.
func (w *siteWorld) drive(t *testing.T, e *workflow.Engine[tx], run workflow.Run) {
	t.Helper()
	if run.State != sprout.Running {
		return
	}
	values := w.Values()
	var err error
	switch run.WaitSignal {
	case SignalHello:
		err = e.Signal(t.Context(), run.ID, SignalHello, HelloSeen{Attempt: sprout.AttemptID(values["intent"])})
	case SignalOrderDone:
		r := reportOf(values["order"], run.StepName, testImage)
		if w.kexec {
			r.Start = "started by kexec: /boot/vmlinuz"
		}
		err = e.Signal(t.Context(), run.ID, SignalOrderDone, r)
	case SignalPhoneHome:
		attempt, _, _ := strings.Cut(values["order"], "/")
		err = e.Signal(t.Context(), run.ID, SignalPhoneHome, HomeSeen{Attempt: sprout.AttemptID(attempt)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// left says what a run that failed left behind, nil if nothing.
func (w *siteWorld) left() error {
	v := w.Values()
	return errors.Join(
		mustBe(v["intent"] == "", "a boot intent is left"),
		mustBe(v["token"] == "", "a token is left"),
		mustBe(w.power == sprout.PowerOff, "the machine is left on"),
		mustBe(w.media == "", "media are left in its drive"),
	)
}

// reportedEnd fails the test unless the end of the run was told to the centre.
func (w *siteWorld) reportedEnd(t *testing.T, run workflow.Run) {
	t.Helper()
	want := `work-ended {"state":"` + string(run.State) + `"`
	if !slices.ContainsFunc(w.Notes(), func(n string) bool { return strings.HasPrefix(n, want) }) {
		t.Errorf("the centre was never told that the work %s", run.State)
	}
}

func TestSiteCommissionBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newSiteWorld()
		w.about = sprout.BMCAbout{Vendor: "Acme", Quirks: []sprout.Quirk{{Name: "etag"}}}
		return siteCase(w, Commission, sprout.CommissionWork{}, func(t *testing.T, run workflow.Run) {
			w.reportedEnd(t, run)
			if err := w.left(); err != nil {
				t.Error(err)
			}
			if run.State == sprout.Succeeded && !slices.ContainsFunc(w.Notes(), func(n string) bool { return strings.HasPrefix(n, "tests ") }) {
				t.Error("no test results were reported")
			}
			about := func(n string) bool {
				return strings.HasPrefix(n, `bmc {"url":"https://10.0.0.5","vendor":"Acme","quirks":[{"name":"etag"`)
			}
			if run.State == sprout.Succeeded && !slices.ContainsFunc(w.Notes(), about) {
				t.Errorf("nothing was reported of the BMC: %q", w.Notes())
			}
		})
	})
}

func TestSiteDeployBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newSiteWorld()
		return siteCase(w, Deploy, sprout.DeployWork{Image: testImage, Hostname: "m1.lon1.example"}, func(t *testing.T, run workflow.Run) {
			w.reportedEnd(t, run)
			if run.State != sprout.Succeeded {
				if err := w.left(); err != nil {
					t.Error(err)
				}
				return
			}
			if v := w.Values(); w.power != sprout.PowerOn || v["intent"] != "" || v["token"] != "" {
				t.Errorf("a deployed machine is on (%s) and has no intent (%q) and no token left", w.power, v["intent"])
			}
		})
	})
}

func TestSiteReleaseBreaksAnywhere(t *testing.T) {
	for _, erase := range []bool{true, false} {
		workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
			w := newSiteWorld()
			w.power = sprout.PowerOn
			return siteCase(w, Release, sprout.ReleaseWork{Erase: erase}, func(t *testing.T, run workflow.Run) {
				w.reportedEnd(t, run)
				if run.State != sprout.Succeeded {
					return
				}
				if err := w.left(); err != nil {
					t.Error(err)
				}
				proved := slices.ContainsFunc(run.Steps, func(s sprout.StepRecord) bool {
					return s.Name == "erase-disks" && strings.Contains(s.Detail, "read back empty")
				})
				if proved != erase {
					t.Errorf("erase %v, proved %v", erase, proved)
				}
			})
		})
	}
}

// play runs a case until it ends, with another drive than the usual one.
func play(t *testing.T, c workflowtest.Case[tx], drive func(e *workflow.Engine[tx], run workflow.Run)) workflow.Run {
	t.Helper()
	e, err := workflow.New(c.Store, c.Clock.Now, discard(), c.Definition)
	if err != nil {
		t.Fatal(err)
	}
	run, err := e.Start(t.Context(), "wfl_1/1", c.Definition.Kind, c.Input, workflow.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if run.State.Ended() {
			return run
		}
		if run.NextAt.After(c.Clock.Now()) {
			drive(e, run)
		}
		if run, err = c.Store.Get(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		c.Clock.Reach(run.NextAt)
		if _, _, err := e.Advance(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		if run, err = c.Store.Get(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("the run does not end\n%s", workflowtest.Describe(run))
	return run
}

func TestDigestMismatchDropsTheSitesCopy(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Deploy, sprout.DeployWork{Image: testImage}, nil)
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName != "write-image" || run.State != sprout.Running {
			w.drive(t, e, run)
			return
		}
		bad := sprout.Report{Order: w.Values()["order"], Outcome: "failed", Failure: sprout.Fail(sprout.DigestMismatch, "wrong bytes", "")}
		if err := e.Signal(t.Context(), run.ID, SignalOrderDone, bad); err != nil {
			t.Fatal(err)
		}
	})
	if run.Failure == nil || run.Failure.Code != sprout.DigestMismatch || run.Failure.Step != "write-image" {
		t.Errorf("failure is %+v", run.Failure)
	}
	if w.dropped != 1 || w.cached {
		t.Errorf("the site's copy was dropped %d times; still cached: %v", w.dropped, w.cached)
	}
}

func TestPowerLostIsNoticedAndNamed(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Deploy, sprout.DeployWork{Image: testImage}, nil)
	var cut time.Time
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName != "write-image" || run.State != sprout.Running {
			w.drive(t, e, run)
			return
		}
		if cut.IsZero() {
			cut = w.clock.Now()
		}
		w.power, w.silent = sprout.PowerOff, true
	})
	if run.Failure == nil || run.Failure.Code != sprout.PowerLost || run.Failure.Step != "write-image" {
		t.Errorf("failure is %+v", run.Failure)
	}
	if took := run.EndedAt.Sub(cut); took > 30*time.Second {
		t.Errorf("noticed after %s", took)
	}
}

func TestSilentRamdiskIsGivenUp(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Commission, sprout.CommissionWork{}, nil)
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName != "inspect" {
			w.drive(t, e, run)
			return
		}
		w.silent = true
	})
	if run.Failure == nil || run.Failure.Code != sprout.RamdiskSilent {
		t.Errorf("failure is %+v", run.Failure)
	}
}

// A machine that restarts before its ramdisk has said so, and whose installed
// system then reports, is deployed; the report of another attempt proves nothing.
func TestInstalledSystemThatRunsNeedsNoReboot(t *testing.T) {
	for _, row := range []struct {
		attempt string // empty: the run's own
		want    sprout.WorkflowState
	}{{"", sprout.Succeeded}, {"att_old", sprout.FailedRun}} {
		w := newSiteWorld()
		c := siteCase(w, Deploy, sprout.DeployWork{Image: testImage, Hostname: "m1.example"}, nil)
		run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
			if run.StepName != "boot-disk" {
				w.drive(t, e, run)
				return
			}
			w.silent = true
			own, _, _ := strings.Cut(w.Values()["order"], "/")
			seen := HomeSeen{Attempt: sprout.AttemptID(cmp.Or(row.attempt, own))}
			if err := e.Signal(t.Context(), run.ID, SignalPhoneHome, seen); err != nil {
				t.Fatal(err)
			}
		})
		if run.State != row.want {
			t.Errorf("with the report of attempt %q the deploy %s: %+v", row.attempt, run.State, run.Failure)
		}
	}
}

// withLimit is site work of which a step has a limit of its own.
func withLimit(input any, step string, limit time.Duration) SiteInput {
	in := input.(SiteInput)
	in.Work.Limits = []sprout.StepLimit{{Step: step, Seconds: int64(limit / time.Second)}}
	return in
}

// A machine may wait for its turn longer than it may take to write: that is
// explained, and not of the write's time. When its turn is lost while it writes, the
// wait says so.
func TestWaitingForATurnIsNoSilence(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Deploy, sprout.DeployWork{Image: testImage}, nil)
	c.Input = withLimit(c.Input, "write-image", 10*time.Minute)
	w.turn = sprout.Turn{Waits: true, Downloading: 12, Before: 3}
	var began, since, came time.Time
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		switch now := w.clock.Now(); {
		case run.StepName == "take-turn" && came.IsZero():
			if began.IsZero() {
				began = now
			}
			if run.Wait.For == "its turn to download: 12 do, 3 are before it" && since.IsZero() {
				since = run.Wait.Since
			}
			if now.Sub(began) > 30*time.Minute {
				w.turn.Before, came = 0, now
			}
		case run.StepName == "take-turn" && now.Sub(came) < 10*time.Minute:
			if run.Wait.For == "its turn to download: 12 do, it is next" && !run.Wait.Since.Equal(since) {
				t.Errorf("it waits since %s, not since %s", run.Wait.Since, since)
			}
		case run.StepName == "take-turn":
			w.turn = sprout.Turn{Downloading: 12}
			if err := e.Signal(t.Context(), run.ID, SignalTurn, TurnSeen{}); err != nil {
				t.Error(err)
			}
		case run.StepName == "write-image" && run.Wait != nil && now.Sub(run.StepStarted) < 8*time.Minute:
			w.turn.Waits = now.Sub(run.StepStarted) < 4*time.Minute
			if strings.Contains(run.Wait.For, "its turn") {
				came = time.Time{} // told of
			}
		default:
			w.drive(t, e, run)
		}
	})
	if run.State != sprout.Succeeded || since.IsZero() || !came.IsZero() {
		t.Fatalf("the deploy %s, told since %s: %+v\n%s", run.State, since, run.Failure, workflowtest.Describe(run))
	}
	for _, s := range run.Steps {
		if s.Name == "take-turn" && !strings.HasPrefix(s.Detail, "its turn came after 40m") {
			t.Errorf("the record says %q", s.Detail)
		}
	}
}

// An agent that was started anew knows no turns. The ramdisk that has its image
// asks no more; its report ends the wait.
func TestAReportEndsTheWaitForATurn(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Deploy, sprout.DeployWork{Image: testImage}, nil)
	w.turn, w.forgot = sprout.Turn{Waits: true}, true
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName != "take-turn" {
			w.drive(t, e, run)
			return
		}
		if err := e.Signal(t.Context(), run.ID, SignalOrderDone, reportOf(w.Values()["order"], "write-image", testImage)); err != nil {
			t.Error(err)
		}
	})
	if run.State != sprout.Succeeded || run.EndedAt.Sub(run.CreatedAt) > time.Minute {
		t.Errorf("the deploy %s in %s: %+v", run.State, run.EndedAt.Sub(run.CreatedAt), run.Failure)
	}
}

// A queue in which a machine's turn does not come is a failure in the end, and says
// what it was.
func TestATurnThatDoesNotComeIsAFailure(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Deploy, sprout.DeployWork{Image: testImage}, nil)
	c.Input = withLimit(c.Input, "take-turn", time.Hour)
	w.turn = sprout.Turn{Waits: true, Downloading: 1, Before: 1}
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName != "take-turn" {
			w.drive(t, e, run)
		}
	})
	if f := run.Failure; f == nil || f.Code != sprout.StepTimeout || f.Step != "take-turn" || !strings.Contains(f.Reason, "its turn to download: 1 does, 1 is before it") {
		t.Errorf("failure is %+v", run.Failure)
	}
}

func TestOldAttemptsHelloMovesNothing(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Commission, sprout.CommissionWork{}, nil)
	var last time.Time
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.WaitSignal != SignalHello || w.clock.Now().Equal(last) {
			return
		}
		last = w.clock.Now()
		if err := e.Signal(t.Context(), run.ID, SignalHello, HelloSeen{Attempt: "att_old"}); err != nil {
			t.Fatal(err)
		}
	})
	if run.Failure == nil || run.Failure.Code != sprout.NoRamdisk {
		t.Errorf("failure is %+v; an older boot's hello was believed", run.Failure)
	}
}

func TestFailedHardwareTestIsReportedBeforeItFails(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Commission, sprout.CommissionWork{}, nil)
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName != "test-hardware" {
			w.drive(t, e, run)
			return
		}
		r := sprout.Report{Order: w.Values()["order"], Outcome: "done", Tests: []sprout.TestResult{
			{Test: "disk-read", Device: "vda", Outcome: sprout.Passed},
			{Test: "disk-read", Device: "vdb", Outcome: sprout.Failed, Message: "I/O error"},
		}}
		if err := e.Signal(t.Context(), run.ID, SignalOrderDone, r); err != nil {
			t.Fatal(err)
		}
	})
	if run.Failure == nil || run.Failure.Code != sprout.TestFailed || !strings.Contains(run.Failure.Evidence, "vdb: I/O error") {
		t.Errorf("failure is %+v", run.Failure)
	}
	if !slices.ContainsFunc(w.Notes(), func(n string) bool { return strings.HasPrefix(n, "tests ") && strings.Contains(n, "vdb") }) {
		t.Error("the results were not reported")
	}
}

// Tests that were asked for are at the site before the machine is started, and
// the ramdisk is ordered to run them.
func TestChosenTestsAreFetchedAndOrdered(t *testing.T) {
	in := sprout.CommissionWork{Tests: []sprout.TestRun{{Test: sprout.Test{Name: "burn-in", Kind: "disk", Timeout: 60}}}}
	for _, gone := range []bool{false, true} {
		w := newSiteWorld()
		w.noTests = gone
		c := siteCase(w, Commission, in, nil)
		run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) { w.drive(t, e, run) })
		if gone {
			if run.Failure == nil || run.Failure.Code != sprout.ImageUnavailable || run.Failure.Step != "fetch-tests" || w.power != sprout.PowerOff {
				t.Errorf("without the test the run failed by %+v, power %s", run.Failure, w.power)
			}
			continue
		}
		if run.State != sprout.Succeeded || w.ordered.Test == nil || len(w.ordered.Test.Runs) != 1 || w.ordered.Test.Runs[0].Test.Name != "burn-in" {
			t.Errorf("run is %s; the ramdisk was ordered %+v", run.State, w.ordered.Test)
		}
	}
}

// What tests may take is added to the limit of their step, for every device that
// the machine has, or may have.
func TestLimitOfTests(t *testing.T) {
	runs := []sprout.TestRun{
		{Test: sprout.Test{Kind: "disk", Timeout: 60}}, {Test: sprout.Test{Kind: "disk", Timeout: 60, Parallel: true}},
		{Test: sprout.Test{Kind: "node", Timeout: 100, TimeoutPlus: "runtime"}, Parameters: map[string]string{"runtime": "3600"}},
	}
	two := &sprout.Inventory{Disks: make([]sprout.Disk, 2)}
	for _, c := range []struct {
		inv  *sprout.Inventory
		want time.Duration
	}{{two, 3*time.Minute + 3700*time.Second}, {nil, (unknownDevices+1)*time.Minute + 3700*time.Second}} {
		if got := testsTake(runs, c.inv); got != c.want {
			t.Errorf("they may take %s, want %s", got, c.want)
		}
	}
	for _, l := range StepLimits(Commission, Basis{Size: Size{Tests: 5 * time.Hour}}) {
		if l.Step == "test-hardware" && (l.Duration() != 5*time.Hour+15*time.Minute || l.From != sprout.LimitSize) {
			t.Errorf("the limit is %+v", l)
		}
	}
}

func TestSkippedTestsRunNone(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Commission, sprout.CommissionWork{SkipTests: true}, nil)
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) { w.drive(t, e, run) })
	if run.State != sprout.Succeeded || slices.ContainsFunc(w.Notes(), func(n string) bool { return strings.HasPrefix(n, "tests ") }) {
		t.Errorf("run is %s; notes %v", run.State, w.Notes())
	}
}

// A boot that was not heard of in time fails with the cause that the site has
// seen, and no later than the limit says.
func TestBootFailureCarriesItsCause(t *testing.T) {
	for step, kind := range map[string]string{"boot-ramdisk": Commission, "phone-home": Deploy} {
		w := newSiteWorld()
		w.cause = &sprout.Failure{Code: sprout.OtherServer, Reason: "10.0.0.9 answered"}
		c := siteCase(w, kind, sprout.DeployWork{Image: testImage, Hostname: "m1.lon1.example"}, nil)
		for _, d := range SiteDefinitions[tx](w, Limits{BootRamdisk: 40 * time.Second, PhoneHome: 40 * time.Second, Look: time.Second}) {
			if d.Kind == kind {
				c.Definition = d
			}
		}
		run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
			if run.StepName != step {
				w.drive(t, e, run)
			}
		})
		f := run.Failure
		if f == nil || f.Code != sprout.OtherServer || f.Step != step || !strings.Contains(f.Reason, "10.0.0.9 answered") || !strings.Contains(f.Evidence, " at "+step) {
			t.Errorf("%s: failure is %+v", step, f)
		}
		if took := run.EndedAt.Sub(run.CreatedAt); took > 2*time.Minute {
			t.Errorf("%s: failed after %s", step, took)
		}
	}
}
