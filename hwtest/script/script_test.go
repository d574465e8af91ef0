package script_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/hwtest"
	"sprout/hwtest/script"
)

const header = `#!/bin/sh
# --- sprout test
# title: A test of tests
# kind: disk
# timeout: 10s
# parameter: block-size size default=4KiB
# metric: iops 1/s least=100
# metric: latency ms most=5
# ---
`

var inventory = sprout.Inventory{Serial: "SN-1", Disks: []sprout.Disk{{Name: "vda", Serial: "S-A"}, {Name: "vdb", Serial: "S-B"}}}

// run runs a shell script as a test of two disks.
func run(t *testing.T, head, body string) []sprout.TestResult {
	t.Helper()
	name := filepath.Join(t.TempDir(), "test")
	content := []byte(head + body)
	if err := os.WriteFile(name, content, 0o755); err != nil {
		t.Fatal(err)
	}
	declared, err := hwtest.Parse("trial", content)
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := hwtest.Choose(declared, map[string]string{"block-size": "1MiB"}, "parameters")
	if err != nil {
		t.Fatal(err)
	}
	return hwtest.Run(t.Context(), []hwtest.Test{script.File{Run: chosen, Name: name}.Test()}, inventory, hwtest.Peer{}, nil)
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, body string
		outcome    sprout.Outcome
		message    string
		metrics    int
	}{
		{"good", "echo iops 200 >$SPROUT_METRICS; echo latency 4.5 >>$SPROUT_METRICS", sprout.Passed, "", 2},
		{"told what to do", `[ "$SPROUT_BLOCK_SIZE" = 1048576 ] && [ "$SPROUT_PATH" = /dev/$SPROUT_DEVICE ] && echo iops 200 >$SPROUT_METRICS`, sprout.Passed, "", 1},
		{"too slow", "echo iops 99 >$SPROUT_METRICS", sprout.Failed, "iops is 99 1/s, and must be at least 100", 1},
		{"too late", "echo latency 6 >$SPROUT_METRICS", sprout.Failed, "latency is 6 ms, and must be at most 5", 1},
		{"says why", "echo iops 200 >$SPROUT_METRICS; echo working; echo sector 17 is bad >&2; exit 3", sprout.Failed, "sector 17 is bad", 1},
		{"says nothing", "exit 3", sprout.Failed, "it ended with exit status 3 and said nothing", 0},
		{"does not apply", "echo no such register; exit 77", sprout.Skipped, "no such register", 0},
		{"no figures", "echo fine", sprout.Failed, "it ended well, but yielded none of its 2 figures", 0},
		{"a figure that is not declared", "echo speed 3 >$SPROUT_METRICS", sprout.Failed, `it yielded "speed 3": its header declares no such figure`, 0},
		{"a figure that is none", "echo iops fast >$SPROUT_METRICS", sprout.Failed, "that is no number", 0},
		{"not a number", "echo iops NaN >$SPROUT_METRICS", sprout.Failed, "that is no number", 0},
		{"a figure twice", "echo iops 200 >$SPROUT_METRICS; echo iops 300 >>$SPROUT_METRICS", sprout.Failed, "it yielded iops twice", 1},
		{"killed", "kill -9 $$", sprout.Failed, "it ended with signal: killed and said nothing", 0},
		{"leaves a child that holds its output", "sleep 60 & echo iops 200 >$SPROUT_METRICS", sprout.Passed, "", 1},
	} {
		began := time.Now()
		results := run(t, header, c.body+"\n")
		if len(results) != 2 || results[1].Device != "vdb" || results[1].Serial != "S-B" {
			t.Fatalf("%s: %+v", c.name, results)
		}
		for _, r := range results {
			if r.Outcome != c.outcome || !strings.Contains(r.Message, c.message) || len(r.Metrics) != c.metrics || (c.message == "" && r.Message != "") {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%s took %s", c.name, took)
		}
	}
}

// TestTimeoutKillsTheGroup has a test start a child that would write to a file
// later, and wants neither to be left.
func TestTimeoutKillsTheGroup(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	head := strings.Replace(header, "timeout: 10s", "timeout: 1s\n# parallel: yes", 1)
	began := time.Now()
	results := run(t, head, "(sleep 61; echo late) & echo $! >>"+pids+"\nsleep 62\n")
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("it took %s, on both at the same time", took)
	}
	for _, r := range results {
		if r.Outcome != sprout.Failed || r.Message != "it had not ended after 1s, and was killed" {
			t.Errorf("%+v", r)
		}
	}
	raw, err := os.ReadFile(pids)
	if err != nil || len(strings.Fields(string(raw))) != 2 {
		t.Fatalf("children %q: %v", raw, err)
	}
	for _, pid := range strings.Fields(string(raw)) {
		for gone := false; !gone; {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			gone = err != nil || strings.Contains(string(stat), ") Z ")
			if time.Since(began) > 30*time.Second {
				t.Fatalf("child %s is left", pid)
			}
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	results := run(t, header, `head -c 1000000 /dev/zero; i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done; exit 1`)
	for _, r := range results {
		if len(r.Output) > 5<<10 || !strings.HasPrefix(r.Output, "…") || !strings.HasSuffix(r.Output, "line 1999\n") || r.Message != "line 1999" || strings.Contains(r.Output, "\x00") {
			t.Errorf("%d bytes of output, %q: %.40q", len(r.Output), r.Message, r.Output)
		}
	}
	for _, r := range run(t, header, `printf '\200%.0s' $(seq 5000); exit 1`) {
		if len(r.Output) > 5<<10 || r.Message == "" {
			t.Errorf("%d bytes of output, %q", len(r.Output), r.Message)
		}
	}
}

func TestNeedsAreLookedFor(t *testing.T) {
	head := strings.Replace(header, "timeout:", "needs: sh no-such-program\n# timeout:", 1)
	for _, r := range run(t, head, "echo iops 200 >$SPROUT_METRICS") {
		if r.Outcome != sprout.Failed || r.Message != "cannot run it: there is no program no-such-program among the tools" {
			t.Errorf("%+v", r)
		}
	}
}
