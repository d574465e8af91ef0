package ramdisk_test

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/hwtest/builtin"
	"sprout/image"
	"sprout/ramdisk"
)

// A rig is an agent on a made-up machine: a folder with the files of sysfs that
// show its disks, which are loop devices or plain files.
type rig struct {
	*site
	root  string
	agent *ramdisk.Agent
	ended chan sprout.OrderKind

	mu      sync.Mutex
	console strings.Builder // what the agent logged
}

// Write takes a line of the console.
func (r *rig) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.console.Write(line)
}

// newRig starts the agent; disks maps a disk's name to the file behind it.
func newRig(t *testing.T, images *image.Store, disks map[string]string) *rig {
	t.Helper()
	r := &rig{site: newSite(t, images), root: t.TempDir(), ended: make(chan sprout.OrderKind, 1)}
	for name, file := range disks {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		size := info.Size()
		if size == 0 { // a loop device
			raw, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(file), "size"))
			if err != nil {
				t.Fatal(err)
			}
			sectors, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
			size = sectors * 512
		}
		r.file(t, "sys/block/"+name+"/size", strconv.FormatInt(size/512, 10))
		r.file(t, "sys/block/"+name+"/serial", strings.ToUpper(name))
		if err := os.MkdirAll(filepath.Join(r.root, "dev"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file, filepath.Join(r.root, "dev", name)); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), r), nil))
	r.agent = &ramdisk.Agent{
		Client: &ramdisk.Client{URL: r.server.URL, Token: token, HTTP: r.server.Client(), Log: log},
		Host:   ramdisk.Host{Root: r.root}, BootMAC: bootMAC, Tests: builtin.Provider{}, Log: log,
		Mount: func(string) (string, error) { return "/", nil },
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if last, err := r.agent.Run(t.Context()); err == nil {
			r.ended <- last
		}
	}()
	t.Cleanup(func() { <-finished })
	return r
}

func (r *rig) file(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(r.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// used makes a file of the size that is full of old data.
func used(t *testing.T, size int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, bytes.Repeat([]byte("old data"), size/8), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// loop makes a loop device on the file.
func loop(t *testing.T, file string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	device := strings.TrimSpace(must(t, "", "losetup", "--find", "--show", file))
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", device).Run() })
	return device
}

func TestWriteAndErase(t *testing.T) {
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, content := smallImage(t, images)
	for name, back := range map[string]func(*testing.T, string) string{
		"file": func(_ *testing.T, file string) string { return file },
		"loop": loop,
	} {
		t.Run(name, func(t *testing.T) {
			file := used(t, 96<<20)
			r := newRig(t, images, map[string]string{"vda": back(t, file)})
			r.cutAfter.Store(3 << 20)
			got := r.await(writeOrder("1", img, sprout.DiskRule{}), 30*time.Second)
			if got.Written == nil || !got.Written.Verified || got.Written.RawDigest != img.RawDigest {
				t.Fatalf("write: %+v %+v", got.Failure, got.Written)
			}
			if r.resumed.Load() == 0 {
				t.Error("the download was not resumed")
			}
			checkWritten(t, file, content)
			got = r.await(sprout.Order{ID: "2", Kind: sprout.OrderErase}, 30*time.Second)
			if len(got.Erased) != 1 || got.Erased[0].Verified != 96<<20 {
				t.Fatalf("erase: %+v %+v", got.Failure, got.Erased)
			}
			if left, err := os.ReadFile(file); err != nil || len(bytes.Trim(left, "\x00")) > 0 {
				t.Errorf("data is left on the erased disk (%v)", err)
			}
			r.await(sprout.Order{ID: "3", Kind: sprout.OrderReboot}, 5*time.Second)
			if last := <-r.ended; last != sprout.OrderReboot {
				t.Errorf("it ended with %s", last)
			}
		})
	}
}

// TestWriteOfWrongBytes holds each way in which an image can be wrong to its
// failure, and to a disk that does not boot afterwards.
func TestWriteOfWrongBytes(t *testing.T) {
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, _ := smallImage(t, images)
	file := used(t, 96<<20)
	r := newRig(t, images, map[string]string{"vda": file})
	none := "sha256:" + strings.Repeat("0", 64)
	for i, c := range []struct {
		name  string
		spoil func(o *sprout.Write)
		code  sprout.Code
	}{
		{"digest of the disk image", func(o *sprout.Write) { o.Image.RawDigest = none }, sprout.DigestMismatch},
		{"digest of the stored bytes", func(o *sprout.Write) { o.Image.Digest = none }, sprout.DigestMismatch},
		{"larger than said", func(o *sprout.Write) { o.Image.RawBytes -= 4 << 20 }, sprout.DigestMismatch},
		{"smaller than said", func(o *sprout.Write) { o.Image.RawBytes += 4 << 20 }, sprout.DigestMismatch},
		{"another compression", func(o *sprout.Write) { o.Image.Compression = image.XZ }, sprout.DigestMismatch},
		{"cut short", func(o *sprout.Write) { o.Image.Bytes /= 2 }, sprout.DigestMismatch},
		{"not there", func(o *sprout.Write) { o.URL = "/images/" + none }, sprout.ImageUnavailable},
		{"no such disk", func(o *sprout.Write) { o.Disk.Serial = "Q" }, sprout.NoDiskMatches},
	} {
		o := writeOrder(strconv.Itoa(i), img, sprout.DiskRule{})
		c.spoil(o.Write)
		got := r.await(o, 30*time.Second)
		if got.Outcome != "failed" || got.Failure == nil || got.Failure.Code != c.code || got.Written != nil {
			t.Errorf("%s: %+v %+v, want %s", c.name, got.Failure, got.Written, c.code)
			continue
		}
		if head := make([]byte, 1<<20); c.code == sprout.DigestMismatch {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Read(head); err != nil || len(bytes.Trim(head, "\x00")) > 0 {
				t.Errorf("%s: the disk still has a beginning (%v)", c.name, err)
			}
			_ = f.Close()
		}
	}
}

// TestOrderTwice holds the agent to reporting, not doing, an order that it has
// done.
func TestOrderTwice(t *testing.T) {
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := used(t, 8<<20)
	r := newRig(t, images, map[string]string{"vda": file})
	first := r.await(sprout.Order{ID: "1", Kind: sprout.OrderErase}, 10*time.Second)
	if err := os.WriteFile(file, bytes.Repeat([]byte("new data"), 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	r.await(sprout.Order{ID: "2", Kind: sprout.OrderInspect}, 10*time.Second)
	again := r.await(sprout.Order{ID: "1", Kind: sprout.OrderErase}, 10*time.Second)
	if !slices.Equal(first.Erased, again.Erased) {
		t.Errorf("reported %+v, then %+v", first.Erased, again.Erased)
	}
	if left, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(left, []byte("new data")) {
		t.Errorf("the order was done twice (%v)", err)
	}
}

// TestReportsSurvive holds the client to sending a result until it arrives.
func TestReportsSurvive(t *testing.T) {
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, images, map[string]string{"vda": used(t, 8<<20)})
	r.refuse.Store(3)
	if got := r.await(sprout.Order{ID: "1", Kind: sprout.OrderInspect}, 20*time.Second); got.Inventory == nil || len(got.Inventory.Disks) != 1 {
		t.Errorf("inspect: %+v", got)
	}
	if left := r.refuse.Load(); left != 0 {
		t.Errorf("%d more reports should have been refused", left)
	}
}
