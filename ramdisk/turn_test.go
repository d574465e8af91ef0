package ramdisk_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/image"
)

// A machine that is told to wait for its turn waits, says so on its console and in
// its progress, leaves its disk alone meanwhile, and is not put off by a link that
// is cut (for how long: TestALinkCutDuringTheWait).
func TestAMachineWaitsForItsTurn(t *testing.T) {
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, content := smallImage(t, images)
	file := used(t, 96<<20)
	r := newRig(t, images, map[string]string{"vda": file})
	r.site.mu.Lock()
	r.turns = []sprout.Turn{{Waits: true, Downloading: 2, Before: 1}, {Waits: true, Downloading: 2, Before: 1}, {Waits: true, Downloading: 2}}
	r.site.mu.Unlock()
	began := time.Now()
	r.give(writeOrder("1", img, sprout.DiskRule{}))
	for range 3 {
		<-r.asked
	}
	if left, err := os.ReadFile(file); err != nil || len(bytes.ReplaceAll(left, []byte("old data"), nil)) > 0 {
		t.Errorf("the disk was touched before the image came (%v)", err)
	}
	r.away.Store(true)
	broken := r.broken.Load()
	for r.broken.Load() < broken+2 {
		if time.Since(began) > time.Minute {
			t.Fatal("it no longer asks")
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.away.Store(false)
	got := r.await(sprout.Order{ID: "2", Kind: sprout.OrderInspect}, time.Minute)
	if got.Failure != nil {
		t.Fatalf("after the write: %+v", got.Failure)
	}
	checkWritten(t, file, content)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, words := range []string{"waiting for its turn to download: 2 do, 1 is before it", "waiting for its turn to download: 2 do, it is next", "it is this machine's turn"} {
		if n := strings.Count(r.console.String(), words); n != 1 {
			t.Errorf("the console says %q %d times", words, n)
		}
	}
	r.site.mu.Lock()
	defer r.site.mu.Unlock()
	if !slices.ContainsFunc(r.progress, func(p sprout.Progress) bool { return strings.HasPrefix(p.Waits, "its turn to download: 2 do") }) {
		t.Errorf("no progress says what it waits for: %+v", r.progress)
	}
	if last := r.progress[len(r.progress)-1]; last.Waits != "" && last.Done > 0 {
		t.Errorf("it has its turn, and still says that it waits: %+v", last)
	}
}
