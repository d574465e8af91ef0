package hwtest

import (
	"context"
	"errors"
	"time"

	"sprout"
)

// A SkipError says why a test does not apply to a device; it is no failure.
type SkipError struct{ Reason string }

func (e *SkipError) Error() string { return e.Reason }

// Devices lists the devices of a kind that the inventory has, by name.
func Devices(kind string, inv sprout.Inventory) []string {
	var names []string
	switch kind {
	case "disk":
		for _, d := range inv.Disks {
			names = append(names, d.Name)
		}
	case "nic":
		for _, i := range inv.Interfaces {
			names = append(names, i.Name)
		}
	default:
		names = []string{kind}
	}
	return names
}

// Run runs each test on each device of its kind, one after the other so that
// none disturbs another's figures, and returns one result a device. Each, which
// may be nil, hears of every result. When the context ends, what is left is
// reported as skipped.
func Run(ctx context.Context, tests []Test, inv sprout.Inventory, agent Peer, each func(done, total int, r sprout.TestResult)) []sprout.TestResult {
	total := 0
	for _, t := range tests {
		total += len(Devices(t.Kind, inv))
	}
	results := []sprout.TestResult{}
	for _, t := range tests {
		for _, name := range Devices(t.Kind, inv) {
			r := runOne(ctx, t, Device{Name: name, Inventory: inv, Agent: agent})
			results = append(results, r)
			if each != nil {
				each(len(results), total, r)
			}
		}
	}
	return results
}

func runOne(ctx context.Context, t Test, d Device) sprout.TestResult {
	began := time.Now()
	r := sprout.TestResult{Test: t.Name, Kind: t.Kind, Device: d.Name, Outcome: sprout.Passed, At: began.UTC(), Metrics: []sprout.Metric{}}
	err := ctx.Err()
	if err == nil {
		var metrics []sprout.Metric
		metrics, err = t.Run(ctx, d)
		r.Metrics = append(r.Metrics, metrics...)
	}
	r.Seconds = time.Since(began).Seconds()
	var skip *SkipError
	switch {
	case err == nil:
	case errors.As(err, &skip):
		r.Outcome, r.Message = sprout.Skipped, skip.Reason
	case ctx.Err() != nil:
		r.Outcome, r.Message = sprout.Skipped, "it was stopped: "+ctx.Err().Error()
	default:
		r.Outcome, r.Message = sprout.Failed, err.Error()
	}
	return r
}
