package faults_test

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sprout/provision"
)

// matrixVariable asks for the matrix: patterns of "who place how" with commas
// between, as "agent*,postgres*kill"; "all" is everything.
const matrixVariable = "SPROUT_FAULTS"

// TestMatrix is `make test-faults`: everything is broken at every step.
func TestMatrix(t *testing.T) {
	want := os.Getenv(matrixVariable)
	if want == "" {
		t.Skip("the whole matrix takes minutes: make test-faults, or set " + matrixVariable)
	}
	sum := &tally{}
	t.Cleanup(func() { fmt.Println(sum) })
	for name, embedded := range map[string]bool{"one server": true, "replicas": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, map[bool]byte{true: 50, false: 51}[embedded], embedded, time.Minute, sum, chosen(want))
		})
	}
}

// The table speaks of steps that there are, and every workflow that is defined can
// be begun; else a step would be held where its machine does nothing, or never.
func TestTableIsOfWhatThereIs(t *testing.T) {
	all := places()
	for step := range machineSteps {
		if !slices.ContainsFunc(all, func(p place) bool { return p.At == "site" && p.Step == step }) {
			t.Errorf("no site has a step %s", step)
		}
	}
	for _, f := range slices.Concat(faults(true), faults(false)) {
		if !slices.ContainsFunc(all, func(p place) bool { return f.at == nil || f.at(p) }) {
			t.Errorf("%s %s happens nowhere", f.who, f.how)
		}
	}
	if pattern := chosen("agent * kill,* deploy:write-image stop"); !pattern(fault{who: "agent", how: "kill"}, all[0]) ||
		!pattern(fault{who: "nats", how: "stop"}, place{"deploy", "site", "write-image"}) || pattern(fault{who: "nats", how: "kill"}, all[0]) {
		t.Error("patterns do not choose what they name")
	}
	for _, p := range all {
		if !slices.Contains([]string{discover, provision.Commission, provision.Deploy, provision.Release}, p.Kind) {
			t.Errorf("nobody has told this test how to begin a %s", p.Kind)
		}
	}
}

// A few cells of the matrix, quickly: a replica is stopped for a moment, the agent
// dies, and machines lose power.
func TestSomeFaults(t *testing.T) {
	t.Parallel()
	some := map[string][]string{
		"replica stop":       {"discover/hello", "commission/centre:accept", "deploy/centre:publish-name", "deploy/write-image"},
		"agent kill":         {"discover/inspect", "commission/centre:accept", "commission/power-on", "deploy/write-image", "deploy/phone-home", "release/erase-disks"},
		"agent kill-in-sync": {"deploy/write-image", "deploy/phone-home", "release/erase-disks"},
		"power lost":         {"deploy/write-image", "commission/inspect"},
	}
	run(t, 52, false, 3*time.Second, &tally{}, func(f fault, p place) bool {
		return slices.Contains(some[f.who+" "+f.how], p.String())
	})
}

// A tally counts outcomes.
type tally struct{ all, finished, retried, bad atomic.Int64 }

func (s *tally) add(c *cell) {
	s.all.Add(1)
	switch {
	case c.err != nil:
		s.bad.Add(1)
	case c.outcome == "finished":
		s.finished.Add(1)
	default:
		s.retried.Add(1)
	}
}

func (s *tally) String() string {
	return fmt.Sprintf("FAULTS %d: %d finished, %d retried, %d neither", s.all.Load(), s.finished.Load(), s.retried.Load(), s.bad.Load())
}

// chosen tells which cells the patterns name.
func chosen(patterns string) func(fault, place) bool {
	return func(f fault, p place) bool {
		name := fmt.Sprintf("%s %s %s", f.who, strings.ReplaceAll(p.String(), "/", ":"), f.how)
		return slices.ContainsFunc(strings.Split(patterns, ","), func(pattern string) bool {
			ok, err := path.Match(strings.ReplaceAll(pattern, "/", ":"), name)
			return pattern == "all" || err == nil && ok
		})
	}
}

// run breaks what is wanted, prints a line for each cell, and checks what must
// hold after each.
func run(t *testing.T, octet byte, embedded bool, lasts time.Duration, sum *tally, wanted func(fault, place) bool) {
	var g *ground
	for _, f := range faults(embedded) {
		var at []place
		for _, p := range places() {
			if wanted(f, p) {
				at = append(at, p)
			}
		}
		if len(at) == 0 {
			continue
		}
		if g == nil {
			g = newGround(t, octet, embedded, lasts)
		}
		cells := g.round(f, at)
		for _, c := range cells {
			fmt.Println(c.line())
			sum.add(c)
			if c.err != nil {
				t.Errorf("%s", c.line())
			}
		}
		g.check(cells)
	}
	if g != nil {
		g.closeBooks()
	}
}
