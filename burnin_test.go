package sprout_test

import (
	"testing"

	"sprout"
)

func TestTestsDone(t *testing.T) {
	var none *sprout.TestsDone
	if _, known := none.Result("memtester", "memory", ""); known || none.Mark("memtester", "memory", "") != "" {
		t.Error("something is known of nothing")
	}
	var d sprout.TestsDone
	d.Add(nil, []sprout.TestMark{{Test: "burn", Device: "vda", Serial: "A", Mark: "1 of 3\n"}, {Test: "burn", Device: "vdb", Mark: "1 of 3\n"}})
	d.Add([]sprout.TestResult{
		{Test: "read", Device: "vda", Serial: "A", Outcome: sprout.Passed, Output: "long"},
		{Test: "read", Device: "vdb", Outcome: sprout.Failed, Output: "why"},
	}, []sprout.TestMark{{Test: "burn", Device: "sda", Serial: "A", Mark: "2 of 3\n"}})
	d.Add([]sprout.TestResult{{Test: "read", Device: "vda", Serial: "A", Outcome: sprout.Failed}}, nil) // it was said already
	if len(d.Marks) != 2 || d.Mark("burn", "nvme9", "A") != "2 of 3\n" || d.Mark("burn", "vdb", "") != "1 of 3\n" || d.Mark("burn", "vdc", "") != "" || d.Mark("read", "vda", "A") != "" {
		t.Errorf("marks are %+v", d.Marks)
	}
	a, knownA := d.Result("read", "sda", "A")
	b, knownB := d.Result("read", "vdb", "")
	if _, other := d.Result("read", "vdb", "B"); other || !knownA || !knownB || a.Outcome != sprout.Passed || a.Output != "" || b.Output != "why" || len(d.Results) != 2 {
		t.Errorf("results are %+v", d.Results)
	}
}
