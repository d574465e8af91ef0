package trial

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// Processor time is told apart by the part whose goroutine, or one that it
// started, was at work.
func TestPartsAreToldApart(t *testing.T) {
	work := func(lasts time.Duration) {
		sum := 0
		for until := time.Now().Add(lasts); time.Now().Before(until); {
			for i := range 1000 {
				sum += i
			}
		}
	}
	p := startProfile()
	if !p.on {
		t.Skip("the tests are profiled already")
	}
	if other := startProfile(); other.on {
		t.Error("a process has two profiles")
	} else if _, err := other.end("file"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a profile that never began was kept: %v", err)
	}
	pprof.Do(t.Context(), pprof.Labels(partLabel, "agents"), func(context.Context) {
		done := make(chan struct{})
		go func() { defer close(done); work(900 * time.Millisecond) }()
		<-done
	})
	pprof.Do(t.Context(), pprof.Labels(partLabel, "server"), func(context.Context) { work(100 * time.Millisecond) })
	work(300 * time.Millisecond)
	file := filepath.Join(t.TempDir(), "profile")
	seconds, err := p.end(file)
	if err != nil {
		t.Fatal(err)
	}
	if agents, server := seconds["agents"], seconds["server"]; server <= 0 || agents <= 2*server || len(seconds) != 2 {
		t.Errorf("900 ms of agents and 100 ms of a server are %v", seconds)
	}
	raw, err := os.ReadFile(file)
	if err != nil || !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		t.Errorf("the profile was not kept: %v", err)
	}
	for _, broken := range [][]byte{{0x0a}, {0x0a, 0x09, 1}, {0x0d, 1}, {0x80}} {
		if err := fields(broken, func(int, uint64, []byte) error { return nil }); err == nil {
			t.Errorf("%v is read", broken)
		}
	}
}
