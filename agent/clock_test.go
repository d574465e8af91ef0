package agent

import (
	"testing"
	"time"

	"sprout"
)

// What a machine with a wrong clock reports is dated by the agent's; tests that
// took long ago but honestly so stay as they are.
func TestReportsAreOnTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	tests := func(at ...time.Time) (all []sprout.TestResult) {
		for _, at := range at {
			all = append(all, sprout.TestResult{At: at, Seconds: 3600})
		}
		return all
	}
	for name, row := range map[string]struct {
		report sprout.Report
		off    time.Duration
		want   time.Time // of the first
	}{
		"nothing dated":     {sprout.Report{}, 0, time.Time{}},
		"a right clock":     {sprout.Report{Inventory: &sprout.Inventory{At: now.Add(-time.Minute)}}, 0, now.Add(-time.Minute)},
		"ten years slow":    {sprout.Report{Inventory: &sprout.Inventory{At: now.AddDate(-10, 0, 0)}}, -87648 * time.Hour, now},
		"a day fast":        {sprout.Report{Tests: tests(now.Add(23*time.Hour), now.Add(24*time.Hour))}, 24 * time.Hour, now.Add(-time.Hour)},
		"an hour of a test": {sprout.Report{Tests: tests(now.Add(-time.Hour))}, 0, now.Add(-time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			off := onTime(&row.report, now)
			var first time.Time
			if row.report.Inventory != nil {
				first = row.report.Inventory.At
			} else if len(row.report.Tests) > 0 {
				first = row.report.Tests[0].At
			}
			if off != row.off || !first.Equal(row.want) {
				t.Errorf("off by %s, dated %s; want %s and %s", off, first, row.off, row.want)
			}
		})
	}
}
