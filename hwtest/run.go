package hwtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"sprout"
)

// mostAtOnce bounds on how many devices a parallel test runs at the same time.
const mostAtOnce = 64

// A SkipError says why a test does not apply to a device; it is no failure.
type SkipError struct{ Reason string }

func (e *SkipError) Error() string { return e.Reason }

// A device is one of a kind, with what it is known by for ever.
type device struct{ name, serial string }

// devices lists the devices of a kind that the inventory has. What is not one
// part but all of a kind together has the machine's serial number.
func devices(kind string, inv sprout.Inventory) []device {
	var all []device
	switch kind {
	case "disk":
		for _, d := range inv.Disks {
			all = append(all, device{d.Name, d.Serial})
		}
	case "nic":
		for _, i := range inv.Interfaces {
			all = append(all, device{i.Name, i.MAC})
		}
	case "gpu":
		for _, p := range inv.PCI {
			if strings.HasPrefix(p.Class, "03") { // display controllers: PCI Code and ID Assignment, base class 03h
				all = append(all, device{p.Address, inv.Serial})
			}
		}
	default:
		all = append(all, device{kind, inv.Serial})
	}
	return all
}

// Devices lists the devices of a kind that the inventory has, by name.
func Devices(kind string, inv sprout.Inventory) []string {
	var names []string
	for _, d := range devices(kind, inv) {
		names = append(names, d.name)
	}
	return names
}

// Run runs each test on each device of its kind and returns one result a device.
// One runs after the other so that none disturbs another's figures; but a test
// that says so runs on all its devices at the same time. Each, which may be nil,
// hears of every result, one at a time. When the context ends, what is left is
// reported as skipped.
func Run(ctx context.Context, tests []Test, inv sprout.Inventory, agent Peer, each func(done, total int, r sprout.TestResult)) []sprout.TestResult {
	total := 0
	for _, t := range tests {
		total += len(devices(t.Kind, inv))
	}
	results := []sprout.TestResult{}
	var mu sync.Mutex
	done := 0
	for _, t := range tests {
		all := devices(t.Kind, inv)
		of := make([]sprout.TestResult, len(all))
		atOnce := 1
		if t.Parallel {
			atOnce = mostAtOnce
		}
		slots := make(chan struct{}, atOnce)
		var wg sync.WaitGroup
		for i, d := range all {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				of[i] = runOne(ctx, t, d, Device{Name: d.name, Inventory: inv, Agent: agent})
				mu.Lock()
				defer mu.Unlock()
				if done++; each != nil {
					each(done, total, of[i])
				}
			})
		}
		wg.Wait()
		results = append(results, of...)
	}
	return results
}

func runOne(ctx context.Context, t Test, d device, on Device) sprout.TestResult {
	began := time.Now()
	r := sprout.TestResult{Test: t.Name, Kind: t.Kind, Device: d.name, Serial: d.serial, Outcome: sprout.Passed, At: began.UTC(), Metrics: []sprout.Metric{}}
	within := t.Within
	if within == 0 {
		within = Timeout(sprout.TestRun{Test: t.Test})
	}
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var said Tail
	on.Output = &said
	err := ctx.Err()
	if err == nil {
		var metrics []sprout.Metric
		metrics, err = t.Run(limited, on)
		r.Metrics = append(r.Metrics, metrics...)
	}
	if err == nil {
		err = judge(t.Metrics, r.Metrics)
	}
	r.Seconds, r.Output = time.Since(began).Seconds(), said.String()
	var skip *SkipError
	switch {
	case err == nil:
	case errors.As(err, &skip):
		r.Outcome, r.Message = sprout.Skipped, skip.Reason
	case ctx.Err() != nil:
		r.Outcome, r.Message = sprout.Skipped, "it was stopped: "+ctx.Err().Error()
	case limited.Err() != nil:
		r.Outcome, r.Message = sprout.Failed, "it had not ended after "+brief(within)+", and was killed"
	default:
		r.Outcome, r.Message = sprout.Failed, err.Error()
	}
	return r
}

// judge holds figures to what the test declares to be good.
func judge(declared []sprout.TestMetric, found []sprout.Metric) error {
	for _, m := range found {
		for _, d := range declared {
			switch {
			case d.Name != m.Name:
			case d.Least != nil && m.Value < *d.Least:
				return fmt.Errorf("%s is %g %s, and must be at least %g", m.Name, m.Value, m.Unit, *d.Least)
			case d.Most != nil && m.Value > *d.Most:
				return fmt.Errorf("%s is %g %s, and must be at most %g", m.Name, m.Value, m.Unit, *d.Most)
			}
		}
	}
	return nil
}
