package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sprout"
	"sprout/workflow"
)

// mostRestarts is how often a machine may restart while its hardware is tested: one
// that a test brings down each time would never come to an end.
const mostRestarts = 5

// noteRestart sees that the ramdisk has said hello anew while hardware is tested: by
// the name of its boot, for a hello may come twice. One that came before the order
// was given is of the start that Sprout asked for: a step that switches a machine on
// may be done twice.
func (p site[T]) noteRestart(c *workflow.Call[T]) error {
	data, err := dataOf(c)
	if err != nil {
		return err
	}
	payload, ok := c.Take(SignalHello)
	var seen HelloSeen
	if !ok || json.Unmarshal(payload, &seen) != nil || seen.Attempt != data.Attempt || seen.Hello.Boot == "" || seen.Hello.Boot == data.Boot {
		return nil
	}
	if given := data.Order == orderID(data.Attempt, c.Run.StepName); given && data.Resumed.IsZero() {
		if data.Restarts = append(data.Restarts, sprout.Restart{At: c.Now, How: "it restarted by itself"}); len(data.Restarts) > mostRestarts {
			return tooOften(data.Restarts)
		}
	}
	data.Boot, data.Resumed = seen.Hello.Boot, time.Time{}
	return c.Keep(data)
}

// startAgain starts a machine again that went off, or fell silent, while tests were
// run that somebody asked for: its ramdisk goes on with them. Firmware may take as
// long as at the first boot before the ramdisk is heard of.
func (p site[T]) startAgain(ctx context.Context, c *workflow.Call[T], f *sprout.Failure) error {
	if f.Code != sprout.PowerLost && f.Code != sprout.RamdiskSilent {
		return f
	}
	_, data, err := p.state(c)
	if err != nil {
		return err
	}
	again := workflow.WaitFor(SignalOrderDone, p.limits.Look, "the machine to start again, and go on with its tests")
	if f.Code == sprout.RamdiskSilent && !data.Resumed.IsZero() && c.Now.Before(data.Resumed.Add(p.limits.BootRamdisk)) {
		return again
	}
	if data.Restarts = append(data.Restarts, sprout.Restart{At: c.Now, How: f.Reason}); len(data.Restarts) > mostRestarts {
		return tooOften(data.Restarts)
	}
	if !c.Claimed() {
		return workflow.Slow()
	}
	if err := p.powerOn(ctx, c); err != nil {
		return err
	}
	data.Resumed = c.Now
	if err := c.Keep(data); err != nil {
		return err
	}
	return again
}

func tooOften(list []sprout.Restart) error {
	return sprout.Fail(sprout.TestFailed, fmt.Sprintf("the machine restarted %d times while its hardware was tested", len(list)), saidOf(list))
}

func saidOf(list []sprout.Restart) string {
	var words []string
	for _, r := range list {
		words = append(words, fmt.Sprintf("%s: %s", r.At.UTC().Format(time.DateTime), r.How))
	}
	return strings.Join(words, "; ")
}

// restarts is the finding that the machine restarted and nobody had asked for it: its
// tests went on all the same. None: it did not.
func restarts(list []sprout.Restart) []sprout.TestResult {
	if len(list) == 0 {
		return nil
	}
	return []sprout.TestResult{{
		Test: sprout.RestartsTest, Kind: "node", Device: "node", Outcome: sprout.Passed, At: list[len(list)-1].At,
		Message: "nobody asked Sprout for it: " + saidOf(list),
		Metrics: []sprout.Metric{{Name: "restarts", Value: float64(len(list)), Unit: "1"}},
	}}
}
