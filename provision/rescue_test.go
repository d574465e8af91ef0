package provision

import (
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

var testShell = sprout.Shell{User: "root", Address: "10.0.0.10", HostKey: "SHA256:x"}

// Whatever breaks, the machine runs in the end: its ramdisk with a shell, or what is
// installed.
func TestSiteRescueBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newSiteWorld()
		w.power = sprout.PowerOn
		return siteCase(w, Rescue, sprout.RescueWork{SSHKeys: []string{"ssh-ed25519 AAAA"}}, func(t *testing.T, run workflow.Run) {
			w.reportedEnd(t, run)
			v := w.Values()
			if w.power != sprout.PowerOn || v["intent"] != "" {
				t.Errorf("%s, and the machine is %s, its intent %q", run.State, w.power, v["intent"])
			}
			if (v["token"] != "") != (run.State == sprout.Succeeded) {
				t.Errorf("%s, and the ramdisk's token is %q", run.State, v["token"])
			}
			told := slices.ContainsFunc(w.Notes(), func(n string) bool {
				return strings.HasPrefix(n, "work-ended") && strings.Contains(n, `"hostKey":"SHA256:x"`)
			})
			if run.State == sprout.Succeeded && !told {
				t.Error("the centre was not told how to get in")
			}
		})
	})
}

func TestSiteUnrescueBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newSiteWorld()
		w.power = sprout.PowerOn
		return siteCase(w, Unrescue, struct{}{}, func(t *testing.T, run workflow.Run) {
			w.reportedEnd(t, run)
			if v := w.Values(); run.State == sprout.Succeeded && (w.power != sprout.PowerOn || v["intent"] != "" || v["token"] != "") {
				t.Errorf("the machine is %s, its intent %q, its token %q", w.power, v["intent"], v["token"])
			}
		})
	})
}

func TestCentreRescueBreaksAnywhere(t *testing.T) {
	centreMoves(t, Rescue, RescueInput{Machine: "mch_1", SSHKeys: []string{"ssh-ed25519 AAAA"}}, sprout.Deployed, sprout.Rescued, func(w *centreWorld) {
		if got := w.Values()["shell"]; got != testShell.String() {
			t.Errorf("how to get in is %q", got)
		}
	})
}

func TestCentreUnrescueBreaksAnywhere(t *testing.T) {
	centreMoves(t, Unrescue, UnrescueInput{Machine: "mch_1"}, sprout.Rescued, sprout.Deployed, func(*centreWorld) {})
}

// centreMoves breaks a run that moves the machine if it succeeds, and only then.
func centreMoves(t *testing.T, kind string, input any, from, to sprout.State, succeeded func(*centreWorld)) {
	t.Helper()
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newCentreWorld(from)
		w.shell = &testShell
		return centreCase(w, kind, input, func(t *testing.T, run workflow.Run) {
			want := from
			if run.State == sprout.Succeeded {
				want = to
				succeeded(w)
			}
			if w.now() != want {
				t.Errorf("%s %s, and the machine is %s", kind, run.State, w.now())
			}
		})
	})
}
