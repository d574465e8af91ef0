package script_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sprout"
	"sprout/hwtest"
	"sprout/hwtest/script"
)

// TestGoesOnAfterRestart stops a test after some passes, as a restart does, and wants
// it to go on with the next on the same device; what had ended is not run again.
func TestGoesOnAfterRestart(t *testing.T) {
	dir := t.TempDir()
	name, ran := filepath.Join(dir, "test"), filepath.Join(dir, "ran")
	content := []byte(header + `pass=0
[ -s "$SPROUT_MARK" ] && read -r pass _ <"$SPROUT_MARK"
while [ $pass -lt 4 ]; do
	pass=$((pass + 1))
	echo "$SPROUT_DEVICE $pass" >>` + ran + `
	printf "$pass of" >"$SPROUT_MARK" # half a line is nothing yet
	echo "$pass of 4 passes" >"$SPROUT_MARK"
	[ $pass -ne 2 ] || [ $SPROUT_DEVICE = vda ] || [ -e ` + dir + `/again ] || sleep 60
done
echo iops 200 >"$SPROUT_METRICS"
`)
	if err := os.WriteFile(name, content, 0o755); err != nil {
		t.Fatal(err)
	}
	declared, err := hwtest.Parse("trial", content)
	if err != nil {
		t.Fatal(err)
	}
	test := script.File{Run: sprout.TestRun{Test: declared, Parameters: map[string]string{"block-size": "4096"}}, Name: name}.Test()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var done sprout.TestsDone
	hwtest.Resume(ctx, []hwtest.Test{test}, inventory, hwtest.Peer{}, nil, func(_, _ int, r sprout.TestResult) {
		mu.Lock()
		defer mu.Unlock()
		if r.Outcome == sprout.Passed {
			done.Add([]sprout.TestResult{r}, nil)
		}
	}, func(m sprout.TestMark) {
		mu.Lock()
		defer mu.Unlock()
		done.Add(nil, []sprout.TestMark{m})
		if m.Device == "vdb" && strings.HasPrefix(m.Mark, "2 ") {
			cancel()
		}
	})
	if _, ended := done.Result("trial", "vda", "S-A"); !ended || done.Mark("trial", "sda", "S-B") != "2 of 4 passes\n" {
		t.Fatalf("before the restart there was done: %+v", done)
	}
	if err := os.WriteFile(filepath.Join(dir, "again"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	results := hwtest.Resume(t.Context(), []hwtest.Test{test}, inventory, hwtest.Peer{}, &done, nil, nil)
	for _, r := range results {
		if r.Outcome != sprout.Passed || len(r.Parameters) != 1 {
			t.Errorf("%+v", r)
		}
	}
	raw, err := os.ReadFile(ran)
	if err != nil || strings.ReplaceAll(strings.TrimSpace(string(raw)), "\n", ",") != "vda 1,vda 2,vda 3,vda 4,vdb 1,vdb 2,vdb 3,vdb 4" {
		t.Errorf("ran %q: %v", raw, err)
	}
}
