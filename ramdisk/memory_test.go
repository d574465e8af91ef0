package ramdisk_test

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"sprout"
	"sprout/image"
)

// mostMemory is what a write may take above what the ramdisk's program has, in bytes.
const mostMemory = 64 << 20

// A write's memory is bounded, however large the image: what does not fit waits on the
// wire. The process has the site in it too, which counts against the bound; it is one
// of its own, without the race detector, whose memory is a multiple.
func TestAWriteTakesLittleMemory(t *testing.T) {
	const alone = "SPROUT_TEST_ALONE"
	if os.Getenv(alone) == "" {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "^"+t.Name()+"$", "-v", ".")
		cmd.Env = append(os.Environ(), alone+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil || !strings.Contains(string(out), "MiB were written") {
			t.Fatalf("it failed there: %v", err)
		}
		return
	}
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img := largeImage(t, images)
	r := newRig(t, images, map[string]string{"vda": blankDisk(t, t.TempDir(), "disk", 448<<20)})
	<-r.hello
	debug.FreeOSMemory()
	before, peak := resident(t), int64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				peak = max(peak, resident(t))
			}
		}
	}()
	got := r.await(writeOrder("1", img, sprout.DiskRule{}), 3*time.Minute)
	close(stop)
	<-stopped
	if got.Written == nil || !got.Written.Verified {
		t.Fatalf("write: %+v", got.Failure)
	}
	t.Logf("%d MiB before, %d MiB more at most while %d MiB were written", before>>20, (peak-before)>>20, img.RawBytes>>20)
	if peak-before > mostMemory {
		t.Errorf("a write takes %d bytes more, and may take %d", peak-before, int64(mostMemory))
	}
}

// resident is how much memory this process has that is not of files, in bytes
// (RssAnon of proc_pid_status).
func resident(t *testing.T) int64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Error(err)
	}
	_, after, _ := strings.Cut(string(raw), "RssAnon:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		t.Error("the kernel does not say RssAnon")
		return 0
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Error(err)
	}
	return n << 10
}

// largeImage stores an image of a disk with 320 MiB in a partition, of which half does
// not compress.
func largeImage(t *testing.T, store *image.Store) sprout.Image {
	t.Helper()
	dir := t.TempDir()
	raw, packed := filepath.Join(dir, "raw"), filepath.Join(dir, "packed")
	f, err := os.Create(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is read by its name
	if err := f.Truncate(336 << 20); err != nil {
		t.Fatal(err)
	}
	must(t, "label: gpt\n1: start=4096, size=655360, name=root\n", "sfdisk", "-q", raw)
	noise, random := make([]byte, 1<<20), rand.NewChaCha8([32]byte{9})
	for i := range int64(320) {
		if i%2 == 0 {
			_, _ = random.Read(noise)
		}
		if _, err := f.WriteAt(noise, (2+i)<<20); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // it is read by its name
	z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(f, 1<<20).WriteTo(z); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	img, err := store.Import(t.Context(), out, image.ImportOptions{Name: "large"})
	if err != nil {
		t.Fatal(err)
	}
	return img
}
