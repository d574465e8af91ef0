// Package hwtesttest is the contract that every set of hardware tests passes.
package hwtesttest

import (
	"context"
	"regexp"
	"slices"
	"testing"
	"time"

	"sprout"
	"sprout/hwtest"
)

var stableName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// Run holds the provider to the contract on the machine that runs it, whose
// inventory and agent are given. Destructive tests are not run.
func Run(t *testing.T, p hwtest.Provider, inv sprout.Inventory, agent hwtest.Peer) {
	t.Helper()
	tests := p.Tests(inv)
	if len(tests) == 0 {
		t.Fatal("the provider has no tests")
	}
	t.Run("names", func(t *testing.T) { checkNames(t, tests) })
	t.Run("repeatable", func(t *testing.T) {
		again := p.Tests(inv)
		if !slices.EqualFunc(tests, again, func(a, b hwtest.Test) bool { return a.Name == b.Name && a.Kind == b.Kind }) {
			t.Error("asked twice for one inventory, the provider lists other tests")
		}
	})
	t.Run("results", func(t *testing.T) { checkResults(t, harmless(tests), inv, agent) })
	t.Run("cancel", func(t *testing.T) { checkCancel(t, harmless(tests), inv, agent) })
}

func harmless(tests []hwtest.Test) []hwtest.Test {
	return slices.DeleteFunc(slices.Clone(tests), func(t hwtest.Test) bool { return t.Destructive })
}

func checkNames(t *testing.T, tests []hwtest.Test) {
	seen := map[string]bool{}
	for _, test := range tests {
		if !stableName.MatchString(test.Name) {
			t.Errorf("%q is no name of lower case words and dashes", test.Name)
		}
		if seen[test.Name] {
			t.Errorf("two tests are called %s", test.Name)
		}
		seen[test.Name] = true
		if test.Title == "" || test.Run == nil {
			t.Errorf("%s lacks a title or a Run", test.Name)
		}
		if !slices.Contains(hwtest.Kinds, test.Kind) {
			t.Errorf("%s is of unknown kind %q", test.Name, test.Kind)
		}
	}
}

// checkResults wants one result a device, with figures and their units where
// the test passed, and words where it did not.
func checkResults(t *testing.T, tests []hwtest.Test, inv sprout.Inventory, agent hwtest.Peer) {
	want := 0
	for _, test := range tests {
		want += len(hwtest.Devices(test.Kind, inv))
	}
	heard := 0
	results := hwtest.Run(t.Context(), tests, inv, agent, func(done, total int, _ sprout.TestResult) {
		if heard++; done != heard || total != want {
			t.Errorf("progress says %d of %d, want %d of %d", done, total, heard, want)
		}
	})
	if len(results) != want || heard != want {
		t.Fatalf("%d results and %d calls, want %d", len(results), heard, want)
	}
	for _, r := range results {
		t.Logf("%s %s: %s %s %v (%.1f s)", r.Test, r.Device, r.Outcome, r.Message, r.Metrics, r.Seconds)
		if r.Outcome != sprout.Passed && r.Message == "" {
			t.Errorf("%s on %s is %s without saying why", r.Test, r.Device, r.Outcome)
		}
		if r.Outcome == sprout.Passed && len(r.Metrics) == 0 {
			t.Errorf("%s on %s passed without figures", r.Test, r.Device)
		}
		for _, m := range r.Metrics {
			if !stableName.MatchString(m.Name) || m.Unit == "" {
				t.Errorf("%s has a figure %+v without name or unit", r.Test, m)
			}
		}
	}
}

// checkCancel wants tests that have been stopped to end soon, as skipped.
func checkCancel(t *testing.T, tests []hwtest.Test, inv sprout.Inventory, agent hwtest.Peer) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	for _, r := range hwtest.Run(ctx, tests, inv, agent, nil) {
		if r.Outcome != sprout.Skipped {
			t.Errorf("%s on %s is %s after it was stopped", r.Test, r.Device, r.Outcome)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("stopped tests took %s", took)
	}
}
