package faults_test

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
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
	sum, named := &tally{}, chosen(want)
	t.Cleanup(func() { fmt.Println(sum) })
	for _, l := range layout {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			run(t, l.octet, l.embedded, time.Minute, sum, func(f fault, p place) bool { return l.has(f) && named(f, p) })
		})
	}
}

// A lot is an installation of its own, and who is broken there. A minute in which
// something is stopped in one is of use to the others.
type lot struct {
	name     string
	octet    byte // of 127.octet.0.0/16
	embedded bool
	who      []string
}

func (l lot) has(f fault) bool { return slices.Contains(l.who, f.who) }

// layout is the table of the installations of the matrix.
var layout = []lot{
	{"one server", 50, true, []string{"server"}},
	{"replicas and agent", 51, false, []string{"replica", "agent"}},
	{"bus, database and link", 53, false, []string{"nats", "postgres", "wan"}},
	{"machines", 54, false, []string{"power", "ramdisk"}},
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
	for embedded, list := range map[bool][]fault{true: faults(true), false: faults(false)} {
		for _, f := range list {
			if !slices.ContainsFunc(layout, func(l lot) bool { return l.embedded == embedded && l.has(f) }) {
				t.Errorf("%s %s happens in no installation", f.who, f.how)
			}
		}
	}
	if pattern := chosen("agent * kill,* deploy:write-image stop"); !pattern(fault{who: "agent", how: "kill"}, all[0]) ||
		!pattern(fault{who: "nats", how: "stop"}, place{"deploy", "site", "write-image"}) || pattern(fault{who: "nats", how: "kill"}, all[0]) {
		t.Error("patterns do not choose what they name")
	}
	for _, p := range all {
		if p.Kind != discover && !slices.Contains(provision.Kinds, p.Kind) {
			t.Errorf("nobody has told this test how to begin a %s", p.Kind)
		}
	}
}

// A few cells of the matrix, quickly: a replica is stopped for a moment, somebody is
// cut off for one, the agent dies, and machines lose power.
func TestSomeFaults(t *testing.T) {
	t.Parallel()
	some := map[string][]string{
		"replica stop":       {"discover/hello", "commission/centre:accept", "deploy/centre:publish-name", "deploy/write-image"},
		"replica cut":        {"deploy/centre:publish-name"},
		"postgres cut":       {"commission/centre:accept"},
		"ramdisk cut":        {"deploy/write-image"},
		"agent kill":         {"discover/inspect", "commission/centre:accept", "commission/power-on", "deploy/write-image", "deploy/phone-home", "release/erase-disks"},
		"agent kill-in-sync": {"deploy/write-image", "deploy/phone-home", "release/erase-disks"},
		"power lost":         {"deploy/write-image", "commission/inspect"},
	}
	run(t, 52, false, 3*time.Second, &tally{}, func(f fault, p place) bool {
		return slices.Contains(some[f.who+" "+f.how], p.String())
	})
}

// A tally counts outcomes.
type tally struct {
	all, finished, retried, bad atomic.Int64
	// turn is had by the installation that brings its machines to their places:
	// that is what costs processor time, and steps that are held run out.
	turn sync.Mutex
}

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
	for _, cells := range rounds(embedded, wanted) {
		if g == nil {
			g = newGround(t, octet, embedded, lasts)
		}
		g.round(cells, &sum.turn)
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

// rounds are the cells that are wanted: those of one fault are a round, and all
// those together of which each happens to one machine.
func rounds(embedded bool, wanted func(fault, place) bool) (all [][]*cell) {
	var own []*cell
	for _, f := range faults(embedded) {
		var cells []*cell
		for _, p := range places() {
			if (f.at == nil || f.at(p)) && wanted(f, p) {
				cells = append(cells, &cell{place: p, fault: f})
			}
		}
		switch {
		case f.machine:
			own = append(own, cells...)
		case len(cells) > 0:
			all = append(all, cells)
		}
	}
	if len(own) > 0 {
		all = append(all, own)
	}
	return all
}
