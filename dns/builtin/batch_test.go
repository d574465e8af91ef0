package builtin

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// residentKB is how many KB of anonymous memory the process uses.
func residentKB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindSubmatch(status)
	kb, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

// A socket that nobody asks uses hardly any of its memory: an agent has two of them,
// and a trial twenty agents.
func TestABatchIsSmallUntilItIsUsed(t *testing.T) {
	before := residentKB(t)
	const many = 64
	for range many {
		b, free, err := newBatch(true)
		if err != nil {
			t.Fatal(err)
		}
		defer free()
		if b.in[batchSize-1].Iov.Base != &b.get[batchSize-1][0] {
			t.Fatal("the kernel is told of another place than is read")
		}
	}
	if each := (residentKB(t) - before) / many; each > 64 {
		t.Errorf("one that is not used takes %d KB", each)
	}
}
