package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
)

// What people read of a machine in each condition says what it does, what it
// waits for and until when, whose word that is, why it does not go on, and what
// helps.
func TestExplanationsInWords(t *testing.T) {
	now := time.Date(2026, 1, 1, 14, 30, 0, 0, time.Local)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	at := func(state sprout.WorkflowState, step, wait string) *api.ExplainedWorkflow {
		return &api.ExplainedWorkflow{ID: "wfl_1", Kind: "deploy", Actor: "ann", State: state, Step: step, Wait: wait, Since: *ago(2 * time.Minute), Until: ago(-23 * time.Minute), Seconds: 120}
	}
	ended := func(state sprout.WorkflowState) *api.ExplainedWorkflow {
		w := at(state, "boot-ramdisk", "")
		w.EndedAt = ago(time.Hour)
		return w
	}
	limit := &sprout.StepLimit{Step: "boot-ramdisk", Seconds: 1500, From: sprout.LimitSet, Why: "for Dell R740, set by ann"}
	for name, test := range map[string]struct {
		is   api.Explanation
		want []string
	}{
		"idle":      {api.Explanation{State: sprout.Ready, Help: []string{"sprout machine deploy m1 --image …"}}, []string{"m1 at lon1 is ready, power off. Nothing was asked of it yet.", "Try:\n  sprout machine deploy m1"}},
		"queued":    {api.Explanation{Workflow: at(sprout.Running, "install-at-site", "queued: site lon1 offline since 14:02:00"), Offline: true, HeardAt: ago(28 * time.Minute)}, []string{"It is queued: site lon1 offline since 14:02:00.", "Site lon1 is offline since 14:02:00: what it has begun goes on"}},
		"cut off":   {api.Explanation{Workflow: at(sprout.Running, "boot-ramdisk", "the ramdisk to report"), Offline: true, HeardAt: ago(time.Minute)}, []string{"is at boot-ramdisk for 2m0s now", "Site lon1 is offline since 14:29:00"}},
		"no agent":  {api.Explanation{Workflow: at(sprout.Running, "install-at-site", "queued: site lon1 has no agent yet"), Offline: true}, []string{"It is queued: site lon1 has no agent yet."}},
		"waiting":   {api.Explanation{Workflow: at(sprout.Running, "boot-ramdisk", "the ramdisk to report"), Limit: limit, Usual: &api.Usual{Step: "boot-ramdisk", Vendor: "Dell", Model: "R740", Runs: 41, P50: 190, P95: 240}}, []string{"It waits for the ramdisk to report since 14:28:00, until 14:53:00: 25m, for Dell R740, set by ann.", "usually takes 3m10s, and in 95 of 100 runs at most 4m0s (41 past runs)."}},
		"failed":    {api.Explanation{Workflow: ended(sprout.FailedRun), Cause: &api.Cause{Code: sprout.TFTPStalled, Reason: "it stopped", Evidence: "14:29:00 tftp-timeout"}}, []string{"failed at boot-ramdisk, 1h ago", "The cause is tftp-stalled: it stopped.", "Evidence: 14:29:00 tftp-timeout."}},
		"cancelled": {api.Explanation{Workflow: ended(sprout.Cancelled)}, []string{"deploy wfl_1, asked for by ann, has been cancelled"}},
		"deployed":  {api.Explanation{State: sprout.Deployed, Workflow: ended(sprout.Succeeded)}, []string{"m1 at lon1 is deployed", "has succeeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			test.is.Machine, test.is.Site, test.is.Power, test.is.At = "m1", "lon1", sprout.PowerOff, now
			(&env{stdout: &out}).showExplanation(test.is)
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, out.String())
				}
			}
		})
	}
}
