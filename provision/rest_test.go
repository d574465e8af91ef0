package provision

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

// detailOf is what a step of the run says that it did.
func detailOf(run workflow.Run, step string) (said string) {
	for _, s := range run.Steps {
		if s.Name == step {
			said = s.Detail
		}
	}
	return said
}

// Whatever breaks in a commissioning that is to leave the machine in its ramdisk: it
// waits, and the centre knows until when; or it is off, and nothing is left.
func TestSiteRestBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newSiteWorld()
		return siteCase(w, Commission, sprout.CommissionWork{FastTrack: 3600}, func(t *testing.T, run workflow.Run) {
			w.reportedEnd(t, run)
			if run.State != sprout.Succeeded {
				if err := w.left(); err != nil {
					t.Error(err)
				}
				return
			}
			told := slices.ContainsFunc(w.Notes(), func(n string) bool { return strings.HasPrefix(n, "rest ") })
			if w.rest == nil || !told || w.power != sprout.PowerOn || w.Values()["intent"] != "" || !strings.HasPrefix(detailOf(run, "power-off"), "waits in the ramdisk until ") {
				t.Errorf("it rests: %+v, told %v, power %s, intent %q: %q", w.rest, told, w.power, w.Values()["intent"], detailOf(run, "power-off"))
			}
		})
	})
}

// A ramdisk of before knows no such order: the machine is switched off, and the step
// says why.
func TestARamdiskThatCannotWait(t *testing.T) {
	w := newSiteWorld()
	c := siteCase(w, Commission, sprout.CommissionWork{FastTrack: 3600}, nil)
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName != "power-off" {
			w.drive(t, e, run)
			return
		}
		old := sprout.Report{Order: w.Values()["order"], Outcome: "failed", Failure: sprout.Fail(sprout.InternalFailure, `this ramdisk (version 0.3) knows no order "wait"`, "")}
		if err := e.Signal(t.Context(), run.ID, SignalOrderDone, old); err != nil {
			t.Fatal(err)
		}
	})
	if run.State != sprout.Succeeded || w.power != sprout.PowerOff || w.rest != nil || !strings.Contains(detailOf(run, "power-off"), "knows no order") {
		t.Errorf("%s, power %s, rests %+v: %q", run.State, w.power, w.rest, detailOf(run, "power-off"))
	}
	if err := w.left(); err != nil {
		t.Error(err)
	}
}

// resting is a world whose machine waits in its ramdisk.
func resting() *siteWorld {
	w := newSiteWorld()
	w.power = sprout.PowerOn
	w.rest = &sprout.Rest{Attempt: "att_1", Until: w.clock.Now().Add(time.Hour), Mode: sprout.UEFI}
	return w
}

// A machine that waits is not switched, and is asked to start what it was given without
// its firmware; whatever breaks, it ends as any deploy does.
func TestSiteFastTrackBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := resting()
		return siteCase(w, Deploy, sprout.DeployWork{Image: testImage, Hostname: "m1.lon1.example"}, func(t *testing.T, run workflow.Run) {
			w.reportedEnd(t, run)
			if run.State != sprout.Succeeded {
				if v := w.Values(); v["woken"] == "" {
					if w.power != sprout.PowerOn || v["intent"] != "" {
						t.Errorf("it waits on, and is %s, its intent %q", w.power, v["intent"])
					}
				} else if err := w.left(); err != nil {
					t.Error(err)
				}
				return
			}
			awake := detailOf(run, "power-on") == "it waited in the ramdisk: no power cycle" // else it failed, and was tried again
			if v := w.Values(); w.power != sprout.PowerOn || v["intent"] != "" || v["token"] != "" || awake != (w.starts == 0) {
				t.Errorf("power %s, started %d times, by kexec %v, intent %q", w.power, w.starts, w.kexec, v["intent"])
			}
			if said := detailOf(run, "boot-disk"); awake && said != "started by kexec: /boot/vmlinuz" {
				t.Errorf("boot-disk says %q", said)
			}
		})
	})
}

// The system may have reported before the ramdisk's last word was looked at: how it was
// started is told all the same.
func TestAFastStartIsTold(t *testing.T) {
	w := resting()
	c := siteCase(w, Deploy, sprout.DeployWork{Image: testImage, Hostname: "m1.lon1.example"}, nil)
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName == "boot-disk" && run.WaitSignal == SignalOrderDone {
			attempt, _, _ := strings.Cut(w.Values()["order"], "/")
			if err := e.Signal(t.Context(), run.ID, SignalPhoneHome, HomeSeen{Attempt: sprout.AttemptID(attempt)}); err != nil {
				t.Fatal(err)
			}
		}
		w.drive(t, e, run)
	})
	if said := detailOf(run, "boot-disk"); run.State != sprout.Succeeded || said != "started by kexec: /boot/vmlinuz" {
		t.Errorf("%s, boot-disk says %q", run.State, said)
	}
}

// One that waits and does not answer has lost power, or hangs: it is started anew, in
// the same boot attempt.
func TestAMachineThatWaitedIsSilent(t *testing.T) {
	w := resting()
	w.power = sprout.PowerOff
	begun := w.clock.Now()
	c := siteCase(w, Deploy, sprout.DeployWork{Image: testImage, Hostname: "m1.lon1.example"}, nil)
	run := play(t, c, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName == "power-on" {
			return // nobody answers
		}
		w.drive(t, e, run)
	})
	if run.State != sprout.Succeeded || w.starts != 1 || w.kexec || !strings.Contains(detailOf(run, "power-on"), "started anew") {
		t.Errorf("%s, started %d times, by kexec %v: %q", run.State, w.starts, w.kexec, detailOf(run, "power-on"))
	}
	if took := w.clock.Now().Sub(begun); took > 2*wakeWithin {
		t.Errorf("it took %s", took)
	}
	if said := detailOf(run, "set-boot-intent"); !strings.Contains(said, "att_1") {
		t.Errorf("set-boot-intent says %q", said)
	}
}

// A wait that is nearly over is none, nor is it for anything but a deploy.
func TestWhatIsStartedAnyway(t *testing.T) {
	for name, c := range map[string]struct {
		kind  string
		left  time.Duration
		input any
	}{
		"a wait that ends now": {Deploy, time.Second, sprout.DeployWork{Image: testImage}},
		"a release":            {Release, time.Hour, sprout.ReleaseWork{Erase: true}},
		"a commissioning":      {Commission, time.Hour, sprout.CommissionWork{}},
	} {
		w := resting()
		w.rest.Until = w.clock.Now().Add(c.left)
		run := play(t, siteCase(w, c.kind, c.input, nil), func(e *workflow.Engine[tx], run workflow.Run) { w.drive(t, e, run) })
		if run.State != sprout.Succeeded || w.starts != 1 {
			t.Errorf("%s: %s, started %d times", name, run.State, w.starts)
		}
	}
}
