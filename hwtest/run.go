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

// A Part is one device of a kind: what it is called here, what it is known by for
// ever, and which model it is of. The last two are empty where they are not known.
type Part struct{ Name, Serial, Model string }

// Parts lists the devices of a kind that the inventory has. What is not one
// part but all of a kind together has the machine's serial number and model.
func Parts(kind string, inv sprout.Inventory) []Part {
	var all []Part
	switch kind {
	case "disk":
		for _, d := range inv.Disks {
			all = append(all, Part{d.Name, d.Serial, d.Model})
		}
	case "nic":
		for _, i := range inv.Interfaces {
			all = append(all, Part{i.Name, i.MAC, pciModel(i.PCI, inv)})
		}
	case "gpu":
		for _, p := range inv.PCI {
			if strings.HasPrefix(p.Class, "03") { // display controllers: PCI Code and ID Assignment, base class 03h
				all = append(all, Part{p.Address, inv.Serial, pciModel(p.Address, inv)})
			}
		}
	case "cpu":
		all = append(all, Part{kind, inv.Serial, cpuModel(inv.CPU)})
	default:
		all = append(all, Part{kind, inv.Serial, inv.ModelName()})
	}
	return all
}

// pciModel is what the function at an address of the PCI bus is.
func pciModel(address string, inv sprout.Inventory) string {
	for _, p := range inv.PCI {
		if p.Address == address {
			return "PCI " + p.Vendor + ":" + p.Device
		}
	}
	return ""
}

// cpuModel is the model, and how many threads of it there are: machines with less
// of the same compute less.
func cpuModel(c sprout.CPU) string {
	if c.Model == "" {
		return ""
	}
	return fmt.Sprintf("%s, %d threads", c.Model, c.Threads)
}

// Devices lists the devices of a kind that the inventory has, by name.
func Devices(kind string, inv sprout.Inventory) []string {
	var names []string
	for _, p := range Parts(kind, inv) {
		names = append(names, p.Name)
	}
	return names
}

// Run runs each test on each device of its kind and returns one result a device.
// One runs after the other so that none disturbs another's figures; but a test
// that says so runs on all its devices at the same time. Each, which may be nil,
// hears of every result, one at a time. When the context ends, what is left is
// reported as skipped.
func Run(ctx context.Context, tests []Test, inv sprout.Inventory, agent Peer, each func(done, total int, r sprout.TestResult)) []sprout.TestResult {
	return Resume(ctx, tests, inv, agent, nil, each, nil)
}

// Resume is Run after a restart: what was done before is not run again, and what was
// under way goes on. Mark, which may be nil, hears how far tests are; several may tell
// at the same time.
func Resume(ctx context.Context, tests []Test, inv sprout.Inventory, agent Peer, before *sprout.TestsDone, each func(done, total int, r sprout.TestResult), mark func(sprout.TestMark)) []sprout.TestResult {
	total := 0
	for _, t := range tests {
		total += len(Parts(t.Kind, inv))
	}
	results := []sprout.TestResult{}
	var mu sync.Mutex
	done := 0
	for _, t := range tests {
		all := Parts(t.Kind, inv)
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
				var known bool
				if of[i], known = before.Result(t.Name, d.Name, d.Serial); !known {
					of[i] = runOne(ctx, t, d, Device{
						Name: d.Name, Inventory: inv, Agent: agent, Mark: before.Mark(t.Name, d.Name, d.Serial), SetMark: marking(mark, t, d),
					})
				}
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

// marking tells how far a test is on a device.
func marking(mark func(sprout.TestMark), t Test, d Part) func(string) {
	if mark == nil {
		return nil
	}
	return func(words string) {
		mark(sprout.TestMark{Test: t.Name, Device: d.Name, Serial: d.Serial, Mark: words})
	}
}

func runOne(ctx context.Context, t Test, d Part, on Device) sprout.TestResult {
	began := time.Now()
	r := sprout.TestResult{Test: t.Name, Kind: t.Kind, Device: d.Name, Serial: d.Serial, Model: d.Model, Parameters: t.Told, Outcome: sprout.Passed, At: began.UTC(), Metrics: []sprout.Metric{}}
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
