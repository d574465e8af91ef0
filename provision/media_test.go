package provision

import (
	"net/netip"
	"strings"
	"testing"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

// Media are out of the drive whenever work has ended, wherever it broke, and were
// in when the machine was started.
func TestMediaBreakAnywhere(t *testing.T) {
	for kind, input := range map[string]any{
		Commission: sprout.CommissionWork{}, Deploy: sprout.DeployWork{Image: testImage, Hostname: "m1.lon1.example"}, Release: sprout.ReleaseWork{Erase: true},
	} {
		t.Run(kind, func(t *testing.T) {
			workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
				w := newSiteWorld()
				w.virtual, w.media = true, "http://10.1.0.1/of-an-older-boot"
				return siteCase(w, kind, input, func(t *testing.T, run workflow.Run) {
					w.reportedEnd(t, run)
					if started := w.booted != ""; started && !strings.HasPrefix(w.booted, "http://10.1.0.1/media/att_") {
						t.Errorf("the machine was started with %q in its drive", w.booted)
					}
					if run.State == sprout.Succeeded && (w.booted == "" || w.boot != "media") {
						t.Errorf("the machine booted %q from %q", w.boot, w.booted)
					}
					if w.booted != "" && w.media != "" {
						t.Errorf("%q is left in the drive", w.media)
					}
				})
			})
		})
	}
}

// The address that a machine without DHCP has while it is commissioned is given
// back, wherever the work broke.
func TestMediaAddressIsGivenBack(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newCentreWorld(sprout.Registered)
		return centreCase(w, Commission, CommissionInput{Machine: "mch_1", Subnet: "sub_1"}, func(t *testing.T, run workflow.Run) {
			if len(w.held) > 0 {
				t.Errorf("the machine holds %v", w.held)
			}
			if len(w.unclaimed) > 0 {
				t.Errorf("done without a claim: %v", w.unclaimed)
			}
		})
	})
}

// A release that fails leaves the installed system its address.
func TestMediaReleaseKeepsTheSystemsAddress(t *testing.T) {
	w := newCentreWorld(sprout.Deployed)
	p := centreCase(w, Release, ReleaseInput{Machine: "mch_1", Erase: true, Subnet: "sub_1"}, nil)
	own := sprout.Address{Site: "sit_1", Subnet: "sub_9", IP: netip.MustParseAddr("10.0.0.9"), MAC: "52:54:00:00:00:02"}
	w.held = []sprout.Address{own}
	run := play(t, p, func(e *workflow.Engine[tx], run workflow.Run) {
		if run.StepName == "release-at-site" && run.WaitSignal == SignalWorkEnded && run.State == sprout.Running {
			failed := WorkEnded{Work: w.sent.ID, Result: sprout.WorkResult{State: sprout.FailedRun, Failure: sprout.Fail(sprout.EraseFailed, "no", "no")}}
			if err := e.Signal(t.Context(), run.ID, SignalWorkEnded, failed); err != nil {
				t.Fatal(err)
			}
		}
	})
	if run.State != sprout.FailedRun || len(w.held) != 1 || w.held[0].IP != own.IP {
		t.Errorf("the release %s, and the machine holds %v", run.State, w.held)
	}
}
