package ramdisk_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"testing"
	"time"

	"sprout"
	"sprout/hwtest"
	"sprout/image"
)

// The tests' tools are fetched when a test needs them, once: neither an install nor a
// test that needs no other program pays for them.
func TestToolsAreFetchedWhenATestNeedsThem(t *testing.T) {
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, images, map[string]string{"vda": used(t, 8<<20)})
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	const header = "\n# --- sprout test\n# title: A trial\n# kind: node\n"
	tests := map[string]string{
		"alone":  string(program) + header + "# ---\n",
		"script": "#!/bin/sh" + header + "# ---\nexit 0\n",
		"needy":  "#!/bin/sh" + header + "# needs: sh\n# ---\nexit 0\n",
	}
	tools := sprout.Tools{Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(someTools))), Bytes: int64(len(someTools))}
	order := func(names ...string) *sprout.TestOrder {
		t.Helper()
		o := &sprout.TestOrder{Tools: &tools}
		for _, name := range names {
			test, err := hwtest.Parse(name, []byte(tests[name]))
			if err != nil {
				t.Fatal(err)
			}
			run, err := hwtest.Choose(test, nil, "parameters")
			if err != nil {
				t.Fatal(err)
			}
			r.site.mu.Lock()
			if r.site.tests == nil {
				r.site.tests = map[string][]byte{}
			}
			r.site.tests[test.Digest] = []byte(tests[name])
			r.site.mu.Unlock()
			o.Runs = append(o.Runs, run)
		}
		return o
	}
	for i, c := range []struct {
		order   sprout.Order
		results []string
		fetched int
	}{
		{sprout.Order{Kind: sprout.OrderInspect}, nil, 0},
		{sprout.Order{Kind: sprout.OrderErase}, nil, 0},
		{sprout.Order{Kind: sprout.OrderTest, Test: order()}, []string{"cpu-arithmetic"}, 0},
		{sprout.Order{Kind: sprout.OrderTest, Test: order("alone")}, []string{"alone"}, 0},
		{sprout.Order{Kind: sprout.OrderTest, Test: order("script", "needy")}, []string{"script", "needy"}, 1},
		{sprout.Order{Kind: sprout.OrderTest, Test: order("needy")}, []string{"needy"}, 1},
	} {
		c.order.ID = fmt.Sprint(i)
		report := r.await(c.order, time.Minute)
		found := map[string]sprout.TestResult{}
		for _, result := range report.Tests {
			found[result.Test] = result
		}
		for _, name := range c.results {
			if got := found[name]; got.Outcome != sprout.Passed {
				t.Errorf("order %d: %s is %+v", i, name, got)
			}
		}
		r.site.mu.Lock()
		if r.site.tools != c.fetched {
			t.Errorf("after order %d (%s) the tools were fetched %d times, want %d", i, c.order.Kind, r.site.tools, c.fetched)
		}
		r.site.mu.Unlock()
	}
}
