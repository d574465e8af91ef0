package server

import (
	"testing"

	"sprout"
)

// What was far worse stays so until its test is passed again, or the part is gone.
func TestOutliersThatStay(t *testing.T) {
	slow := sprout.Outlier{Test: "disk-speed", Kind: "disk", Device: "vdb", Serial: "SLOW"}
	hot := sprout.Outlier{Test: "stress", Kind: "node", Device: "node", Serial: "SN-1"}
	result := func(test, kind, device, serial string, outcome sprout.Outcome) sprout.TestResult {
		return sprout.TestResult{Test: test, Kind: kind, Device: device, Serial: serial, Outcome: outcome}
	}
	for _, c := range []struct {
		name    string
		results []sprout.TestResult
		stay    int
	}{
		{"nothing was tested", nil, 2},
		{"other tests, and the disk has another name", []sprout.TestResult{result("disk-read", "disk", "sda", "SLOW", sprout.Passed)}, 2},
		{"the same test again", []sprout.TestResult{result("disk-speed", "disk", "sda", "SLOW", sprout.Passed)}, 1},
		{"the same test failed: that is another problem", []sprout.TestResult{result("disk-speed", "disk", "vdb", "SLOW", sprout.Failed)}, 2},
		{"the disk is gone", []sprout.TestResult{result("disk-read", "disk", "vdb", "NEW", sprout.Passed)}, 1},
		{"the machine restarted", []sprout.TestResult{result(sprout.RestartsTest, "node", "node", "", sprout.Passed)}, 2},
		{"both again", []sprout.TestResult{result("disk-speed", "disk", "vdb", "SLOW", sprout.Passed), result("stress", "node", "node", "SN-1", sprout.Passed)}, 0},
	} {
		if kept := untested([]sprout.Outlier{slow, hot}, c.results); len(kept) != c.stay {
			t.Errorf("%s: %+v stay, want %d", c.name, kept, c.stay)
		}
	}
}

// What was accepted is accepted until it gets worse, and for that part alone.
func TestAcceptedOutliers(t *testing.T) {
	value := 300.0
	before := []sprout.Outlier{{Test: "disk-speed", Figure: "iops", Device: "vdb", Serial: "SLOW", Accepted: &value}}
	more := sprout.TestMetric{Name: "iops", Better: "more"}
	for _, c := range []struct {
		o    sprout.Outlier
		want bool
	}{
		{sprout.Outlier{Test: "disk-speed", Figure: "iops", Device: "sda", Serial: "SLOW", Value: 290}, true},
		{sprout.Outlier{Test: "disk-speed", Figure: "iops", Device: "sda", Serial: "SLOW", Value: 250}, false},
		{sprout.Outlier{Test: "disk-speed", Figure: "iops", Device: "vdb", Serial: "OTHER", Value: 300}, false},
		{sprout.Outlier{Test: "disk-read", Figure: "iops", Device: "vdb", Serial: "SLOW", Value: 300}, false},
	} {
		if got := accepted(c.o, more, before); (got.Accepted != nil) != c.want {
			t.Errorf("%+v: accepted %v", c.o, got.Accepted)
		}
	}
}
