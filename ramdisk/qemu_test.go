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

// TestRamdiskInQEMU boots the real kernel and /init on an emulated machine and
// has it do every order.
func TestRamdiskInQEMU(t *testing.T) {
	if testing.Short() {
		t.Skip("it boots a machine")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("qemu-system-x86_64 is not installed: apt-get install qemu-system-x86")
	}
	files := buildRamdisk(t)
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, content := smallImage(t, images)
	s := newSite(t, images)
	dir := t.TempDir()
	target, old := filepath.Join(dir, "target"), filepath.Join(dir, "old")
	for name, size := range map[string]int{target: 160 << 20, old: 64 << 20} {
		if err := os.WriteFile(name, []byte(strings.Repeat("old data", size/8)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ended := boot(t, files, s, target, old)

	select {
	case h := <-s.hello:
		if h.BootMAC != bootMAC || len(h.MACs) != 2 || h.UUID != machineUUID || h.BootMode != sprout.BIOS {
			t.Errorf("hello is %+v", h)
		}
	case err := <-ended:
		t.Fatalf("QEMU ended: %v", err)
	case <-time.After(90 * time.Second):
		t.Fatal("the ramdisk has not said hello")
	}
	// No switch says where the cable leads: that is waited for.
	checkInventory(t, s.await(sprout.Order{ID: "1", Kind: sprout.OrderInspect}, 60*time.Second))
	checkTests(t, s.await(sprout.Order{ID: "2", Kind: sprout.OrderTest}, 60*time.Second))

	bad := img
	bad.RawDigest = "sha256:" + strings.Repeat("0", 64)
	if r := s.await(writeOrder("3", bad, sprout.DiskRule{Serial: "TARGET"}), 60*time.Second); r.Failure == nil || r.Failure.Code != sprout.DigestMismatch {
		t.Errorf("an image with another digest: %+v", r)
	}
	if out, err := exec.Command("blkid", "-p", target).Output(); err == nil {
		t.Errorf("after a digest mismatch the disk shows %s", out)
	}
	s.cutAfter.Store(5 << 20)
	r := s.await(writeOrder("4", img, sprout.DiskRule{Serial: "TARGET"}), 60*time.Second)
	if r.Failure != nil || r.Written == nil || !r.Written.Verified || r.Written.RawDigest != img.RawDigest || r.Written.Disk.Serial != "TARGET" {
		t.Fatalf("write: %+v %+v", r.Failure, r.Written)
	}
	if s.resumed.Load() == 0 {
		t.Error("the download that was cut was not resumed")
	}
	checkErased(t, s.await(sprout.Order{ID: "5", Kind: sprout.OrderErase, Erase: &sprout.Erase{Disks: []sprout.DiskRule{{Serial: "OLD"}}}}, 60*time.Second), old)
	if r := s.await(sprout.Order{ID: "6", Kind: sprout.OrderPowerOff}, 20*time.Second); r.Outcome != "done" {
		t.Errorf("poweroff: %+v", r)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("QEMU ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the machine did not power off")
	}
	checkWritten(t, target, content)
	if len(s.progress) == 0 {
		t.Error("no progress was reported")
	}
}

const (
	bootMAC     = "52:54:00:12:34:56"
	machineUUID = "5a1e7c04-6f2c-4b1d-9a53-0c2d3e4f5a6b"
)

// buildRamdisk packs today's /init; the kernel comes from the cache of earlier
// runs.
func buildRamdisk(t *testing.T) string {
	t.Helper()
	init := buildInit(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	files := filepath.Join(cache, "sprout", "ramdisk-test")
	if err := build.Build(t.Context(), files, build.Options{InitPath: init}, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
	return files
}

// buildInit compiles today's /init.
func buildInit(t *testing.T) string {
	t.Helper()
	init := filepath.Join(t.TempDir(), "init")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", init, "sprout/cmd/sprout-ramdisk")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build /init: %v\n%s", err, out)
	}
	return init
}

// boot starts the machine with two disks and two ports.
func boot(t *testing.T, files string, s *site, target, old string) <-chan error {
	t.Helper()
	return bootWith(t, files, s, "-m", "768",
		"-drive", "if=none,id=d1,format=raw,cache=unsafe,file="+target, "-device", "virtio-blk-pci,drive=d1,serial=TARGET",
		"-drive", "if=none,id=d2,format=raw,cache=unsafe,discard=unmap,file="+old, "-device", "ahci,id=ahci", "-device", "ide-hd,drive=d2,bus=ahci.0,serial=OLD",
		"-netdev", "user,id=n1", "-device", "virtio-net-pci,netdev=n1,mac="+bootMAC,
		"-netdev", "user,id=n2,restrict=on", "-device", "e1000,netdev=n2,mac=52:54:00:12:34:57")
}

// bootWith starts a machine; its end is sent on the channel. Its console is logged
// when the test fails, and it never outlives the test.
func bootWith(t *testing.T, files string, s *site, args ...string) <-chan error {
	t.Helper()
	console := filepath.Join(t.TempDir(), "console")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append([]string{"-accel", "tcg", "-smp", "2", "-display", "none", "-no-reboot",
		"-uuid", machineUUID, "-smbios", "type=1,manufacturer=Acme,product=R1,serial=SN-1", "-serial", "file:" + console,
		"-kernel", files + "/vmlinuz", "-initrd", files + "/initrd",
		"-append", fmt.Sprintf("console=ttyS0 sprout.url=%s sprout.token=%s BOOTIF=01-%s", s.guestURL(), token, strings.ReplaceAll(bootMAC, ":", "-"))}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	ended := make(chan error, 1)
	finished := make(chan struct{})
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() { defer close(finished); ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-finished
		if text, err := os.ReadFile(console); err == nil && (t.Failed() || testing.Verbose()) {
			t.Logf("QEMU: %s\nconsole:\n%s", said.String(), text)
		}
	})
	return ended
}

func checkInventory(t *testing.T, r sprout.Report) {
	t.Helper()
	inv := r.Inventory
	if inv == nil {
		t.Fatalf("inspect: %+v", r)
	}
	if inv.Vendor != "Acme" || inv.Model != "R1" || inv.Serial != "SN-1" || inv.UUID != machineUUID || inv.CPU.Threads != 2 ||
		inv.MemoryBytes != 768<<20 || len(inv.DIMMs) != 1 || len(inv.PCI) < 5 || inv.Firmware == "" {
		t.Errorf("inventory is %+v", inv)
	}
	disks := map[string]sprout.Disk{}
	for _, d := range inv.Disks {
		disks[d.Serial] = d
	}
	if d := disks["TARGET"]; len(disks) != 2 || d.Name != "vda" || d.Bus != "virtio" || d.Bytes != 160<<20 {
		t.Errorf("disks are %+v", inv.Disks)
	}
	if d := disks["OLD"]; d.Name != "sda" || d.Bus != "ata" || !strings.Contains(d.Model, "QEMU") {
		t.Errorf("disks are %+v", inv.Disks)
	}
	for _, i := range inv.Interfaces {
		if i.Boot != (i.MAC == bootMAC) || !i.Link || i.Driver == "" || i.PCI == "" {
			t.Errorf("interface %+v", i)
		}
	}
}

func checkTests(t *testing.T, r sprout.Report) {
	t.Helper()
	got := map[string]int{}
	for _, result := range r.Tests {
		got[result.Test]++
		if result.Outcome != sprout.Passed || len(result.Metrics) == 0 {
			t.Errorf("test %+v", result)
		}
	}
	if r.Outcome != "done" || got["cpu-arithmetic"] != 1 || got["memory-pattern"] != 1 || got["disk-read"] != 2 || got["nic-link"] != 2 {
		t.Errorf("tests: %s %v %+v", r.Outcome, got, r.Failure)
	}
}

func checkErased(t *testing.T, r sprout.Report, disk string) {
	t.Helper()
	if r.Outcome != "done" || len(r.Erased) != 1 || r.Erased[0].Disk.Serial != "OLD" || r.Erased[0].Verified != 64<<20 {
		t.Fatalf("erase: %+v %+v", r.Failure, r.Erased)
	}
	raw, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Trim(string(raw), "\x00") != "" {
		t.Error("data is left on the erased disk")
	}
}
