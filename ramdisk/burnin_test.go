package ramdisk_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/image"
	"sprout/ramdisk/build"
)

// TestBurnInInQEMU takes the power from a machine in the middle of memtester's passes,
// and starts it again: the passes that were done are not done again, nor are the tests
// that had ended. It takes minutes: make test-hardware.
func TestBurnInInQEMU(t *testing.T) {
	files := os.Getenv("SPROUT_HARDWARE")
	if files == "" {
		t.Skip("it takes minutes and needs mmdebstrap and mksquashfs: make test-hardware")
	}
	if err := build.Build(t.Context(), files, build.Options{InitPath: buildInit(t), Tools: true}, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, images)
	tools := serveTests(t, s, filepath.Join(files, "tools.squashfs"))
	const passes = "4"
	s.give(sprout.Order{ID: "1", Kind: sprout.OrderTest, Test: &sprout.TestOrder{
		Tools: &tools, Runs: []sprout.TestRun{chosen(t, "memtester", map[string]string{"share": "5", "passes": passes})},
	}})

	off := powerOn(t, files, s)
	first := s.greeted(t)
	s.marked(t, "memtester", 5*time.Minute)
	off() // as if its supply tripped
	cut := time.Now()
	before := s.withDone(sprout.Order{Test: &sprout.TestOrder{}}).Test.Done
	powerOn(t, files, s)
	if second := s.greeted(t); second.Boot == "" || second.Boot == first.Boot {
		t.Errorf("the second boot is called %q, the first %q", second.Boot, first.Boot)
	}
	var report sprout.Report
	select {
	case report = <-s.ended:
	case <-time.After(10 * time.Minute):
		t.Fatal("the tests have not ended")
	}
	for _, r := range report.Tests {
		t.Logf("%s %s: %s %q, began %s\n%s", r.Test, r.Device, r.Outcome, r.Message, r.At, r.Output)
		if _, had := before.Result(r.Test, r.Device, r.Serial); had && r.At.After(cut) {
			t.Errorf("%s was run again on %s", r.Test, r.Device)
		}
		if r.Test == "memtester" && (r.Outcome != sprout.Passed || !strings.Contains(r.Output, "goes on after ") || strings.Contains(r.Output, "goes on after 0")) {
			t.Errorf("memtester began anew: %+v", r)
		}
	}
	if len(before.Results) == 0 || len(report.Tests) < 4 {
		t.Errorf("%d results were kept before the restart, %d came at the end", len(before.Results), len(report.Tests))
	}
}

// greeted waits until the machine's ramdisk has said hello.
func (s *site) greeted(t *testing.T) sprout.Hello {
	t.Helper()
	select {
	case h := <-s.hello:
		return h
	case <-time.After(3 * time.Minute):
		t.Fatal("the ramdisk has not said hello")
	}
	return sprout.Hello{}
}

// marked waits until a test has said how far it is.
func (s *site) marked(t *testing.T, test string, within time.Duration) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(within); ; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s has not said how far it is", test)
		}
		s.mu.Lock()
		done := s.done.Mark(test, "memory", "SN-1") != ""
		s.mu.Unlock()
		if done {
			return
		}
	}
}

// powerOn starts the machine; off takes its power, and returns when it is off.
func powerOn(t *testing.T, files string, s *site) (off func()) {
	t.Helper()
	console := filepath.Join(t.TempDir(), "console")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-smp", "2", "-m", "640", "-display", "none", "-no-reboot",
		"-uuid", machineUUID, "-smbios", "type=1,manufacturer=Acme,product=R1,serial=SN-1", "-serial", "file:"+console,
		"-kernel", files+"/vmlinuz", "-initrd", files+"/initrd",
		"-append", fmt.Sprintf("console=ttyS0 sprout.url=%s sprout.token=%s BOOTIF=01-%s", s.guestURL(), token, strings.ReplaceAll(bootMAC, ":", "-")),
		"-netdev", "user,id=n1", "-device", "virtio-net-pci,netdev=n1,mac="+bootMAC)
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	off = func() { cancel(); <-ended }
	t.Cleanup(func() {
		off()
		if text, err := os.ReadFile(console); err == nil && t.Failed() {
			t.Logf("console:\n%s", text)
		}
	})
	return off
}
