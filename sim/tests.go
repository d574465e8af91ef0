package sim

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"sprout"
	"sprout/hwtest"
)

// runTests fetches the executables that were ordered, and holds them to their
// digests, as the real ramdisk does; it runs none. Every device passes with
// figures that its test declares to be good, but a dead disk.
func (r *ram) runTests(ctx context.Context, id string, order sprout.TestOrder) (all []sprout.TestResult, err error) {
	inv := r.machine.inventory()
	for _, run := range order.Runs {
		if err := r.fetchTest(ctx, run.Test); err != nil {
			return all, err
		}
		found, err := r.runTest(ctx, id, run, inv, order.Done)
		if err != nil {
			return all, err
		}
		for _, t := range found {
			t.At = r.machine.now()
			for _, d := range r.machine.spec.Disks {
				if t.Kind == "disk" && t.Device == d.Name && r.machine.dead(StepTest, d, sprout.DiskFailed) != nil {
					t.Outcome, t.Message, t.Metrics = sprout.Failed, "input/output error on "+d.Serial, nil
				}
			}
			all = append(all, t)
		}
	}
	return all, nil
}

// runTest passes a test on each of its devices. One that has a parameter passes takes
// so many steps, tells of each how far it is, and may be stopped by a fault between.
func (r *ram) runTest(ctx context.Context, id string, run sprout.TestRun, inv sprout.Inventory, before *sprout.TestsDone) ([]sprout.TestResult, error) {
	passes, _ := strconv.Atoi(run.Parameters["passes"])
	var stopped error
	tell := func(results []sprout.TestResult, marks ...sprout.TestMark) {
		if passes > 0 && stopped == nil {
			stopped = r.client.Report(ctx, sprout.Report{Order: id, Outcome: "progress", Tests: results, Marks: marks})
		}
	}
	pass := func(ctx context.Context, d hwtest.Device) ([]sprout.Metric, error) {
		done, _ := strconv.Atoi(strings.SplitN(d.Mark, " ", 2)[0])
		if d.Mark != "" {
			fmt.Fprintf(d.Output, "goes on after %d of %d passes\n", done, passes)
		}
		for ; done < passes && stopped == nil; done++ {
			if err := r.machine.trouble(ctx, StepTest, 100*done/passes); err != nil {
				stopped = err
				return nil, err
			}
			d.SetMark(fmt.Sprintf("%d of %d passes\n", done+1, passes))
		}
		return good(run.Test)(ctx, d)
	}
	all := hwtest.Resume(ctx, []hwtest.Test{{Test: run.Test, Told: run.Parameters, Run: pass}}, inv, hwtest.Peer{}, before,
		func(_, _ int, t sprout.TestResult) { tell([]sprout.TestResult{t}) }, func(m sprout.TestMark) { tell(nil, m) })
	return all, stopped
}

func (r *ram) fetchTest(ctx context.Context, t sprout.Test) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.client.URL+sprout.TestPath+t.Digest, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.client.Token)
	resp, err := r.client.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(resp.Body, t.Bytes+1))
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("sha256:%x", h.Sum(nil)); resp.StatusCode != http.StatusOK || n != t.Bytes || got != t.Digest {
		return sprout.Fail(sprout.DigestMismatch, "test "+t.Name+" is not what it should be", fmt.Sprintf("the agent answers %s with %d bytes of %s", resp.Status, n, got))
	}
	return nil
}

// good yields every figure that a test declares, as good as it must be.
func good(t sprout.Test) func(context.Context, hwtest.Device) ([]sprout.Metric, error) {
	return func(_ context.Context, d hwtest.Device) ([]sprout.Metric, error) {
		var all []sprout.Metric
		for _, m := range t.Metrics {
			v := 1.0
			if m.Least != nil {
				v = *m.Least
			} else if m.Most != nil {
				v = min(v, *m.Most)
			}
			all = append(all, sprout.Metric{Name: m.Name, Value: v, Unit: m.Unit})
		}
		fmt.Fprintf(d.Output, "simulated on %s\n", d.Name)
		return all, nil
	}
}
