package ramdisk_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/image"
)

// real skips what boots a machine for minutes unless make test-release asks for it,
// and boots one with the disks that args say.
func real(t *testing.T, args ...string) *site {
	t.Helper()
	if os.Getenv("SPROUT_RELEASE") == "" {
		t.Skip("it takes minutes: make test-release")
	}
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, images)
	ended := bootWith(t, buildRamdisk(t), s, append([]string{"-m", "768"}, args...)...)
	select {
	case <-s.hello:
	case err := <-ended:
		t.Fatalf("QEMU ended: %v", err)
	case <-time.After(3 * time.Minute):
		t.Fatal("the ramdisk has not said hello")
	}
	return s
}

// dirty makes a disk with old data at every place of some, and holes between.
func dirty(t *testing.T, dir, name string, size int64) string {
	t.Helper()
	file := filepath.Join(dir, name)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // checked by what is read of it
	old := []byte(strings.Repeat("old data", 1<<17))
	for off := int64(0); off < size; off += max(size/8, 1<<20) {
		if _, err := f.WriteAt(old, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return file
}

// holdsOld tells whether old data is left, wherever there is any.
func holdsOld(t *testing.T, file string) bool {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	buf := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(f, buf)
		if bytes.Contains(buf[:n], []byte("old")) {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// TestEraseInQEMU has the real kernel erase real controllers' disks: NVMe by Format
// NVM, a large one of them sampled; ATA, which QEMU gives no security, by discards;
// virtio; a USB stick, which stays; and a read-only disk, which fails.
func TestEraseInQEMU(t *testing.T) {
	dir := t.TempDir()
	nvme, large := dirty(t, dir, "nvme", 96<<20), dirty(t, dir, "large", sprout.EraseWholeUpTo+1<<30)
	ata, virtio, stick, fixed := dirty(t, dir, "ata", 64<<20), dirty(t, dir, "virtio", 64<<20), dirty(t, dir, "stick", 32<<20), dirty(t, dir, "fixed", 32<<20)
	s := real(t, "-netdev", "user,id=n1", "-device", "virtio-net-pci,netdev=n1,mac="+bootMAC,
		"-drive", "if=none,id=d1,format=raw,cache=unsafe,discard=unmap,file="+nvme, "-device", "nvme,drive=d1,serial=NVME",
		"-drive", "if=none,id=d2,format=raw,cache=unsafe,discard=unmap,file="+large, "-device", "nvme,drive=d2,serial=LARGE",
		"-drive", "if=none,id=d3,format=raw,cache=unsafe,discard=unmap,file="+ata, "-device", "ahci,id=ahci", "-device", "ide-hd,drive=d3,bus=ahci.0,serial=ATA",
		"-drive", "if=none,id=d4,format=raw,cache=unsafe,file="+virtio, "-device", "virtio-blk-pci,drive=d4,serial=VIRTIO",
		"-drive", "if=none,id=d5,format=raw,cache=unsafe,file="+stick, "-device", "qemu-xhci", "-device", "usb-storage,drive=d5,serial=STICK,removable=on",
		"-drive", "if=none,id=d6,format=raw,readonly=on,file="+fixed, "-device", "virtio-blk-pci,drive=d6,serial=FIXED")
	inv := s.await(sprout.Order{ID: "1", Kind: sprout.OrderInspect}, 2*time.Minute).Inventory
	if inv == nil {
		t.Fatal("there is no inventory")
	}
	for n := 2; !has(*inv, "usb"); n++ { // USB storage takes its time to show
		if inv = s.await(sprout.Order{ID: fmt.Sprintf("1.%d", n), Kind: sprout.OrderInspect}, 2*time.Minute).Inventory; inv == nil || n > 20 {
			t.Fatal("the stick does not show")
		}
	}
	for _, d := range inv.Disks {
		t.Logf("%s (%s): removable %v, read-only %v, %+v", d.Name, d.Serial, d.Removable, d.ReadOnly, d.Erase)
	}
	r := s.await(sprout.Order{ID: "2", Kind: sprout.OrderErase, Erase: &sprout.Erase{}}, 10*time.Minute)
	if r.Failure == nil || r.Failure.Code != sprout.EraseFailed || !strings.Contains(r.Failure.Evidence, `"FIXED"): is read-only`) || strings.Contains(r.Failure.Evidence, "STICK") {
		t.Errorf("the read-only disk: %+v", r.Failure)
	}
	got := map[string]sprout.Erased{}
	for _, e := range r.Erased {
		got[e.Disk.Serial] = e
		t.Logf("%s by %s, %d MiB read back, %.1f s", e.Disk.Serial, e.Method, e.Verified>>20, e.Seconds)
	}
	for serial, want := range map[string]struct {
		method sprout.EraseMethod
		read   int64
		file   string
	}{
		"NVME": {sprout.EraseFormat, 96 << 20, nvme}, "LARGE": {sprout.EraseFormat, 0, large},
		"ATA": {sprout.EraseDiscard, 64 << 20, ata}, "VIRTIO": {"", 64 << 20, virtio},
	} {
		e := got[serial]
		if want.method != "" && e.Method != want.method || want.read > 0 && e.Verified != want.read {
			t.Errorf("%s was erased by %q, %d read back", serial, e.Method, e.Verified)
		}
		if holdsOld(t, want.file) {
			t.Errorf("%s: old data is left", serial)
		}
	}
	if e := got["LARGE"]; e.Verified < sprout.EraseSamples*4<<20 || e.Verified > e.Disk.Bytes/2 {
		t.Errorf("of the large disk %d bytes were read back", e.Verified)
	}
	if !holdsOld(t, stick) || !holdsOld(t, fixed) {
		t.Error("the stick, or the read-only disk, was written to")
	}
}

func has(inv sprout.Inventory, bus string) bool {
	return slices.ContainsFunc(inv.Disks, func(d sprout.Disk) bool { return d.Bus == bus && d.Removable })
}

// TestRescueInQEMU logs in to the real ramdisk by Debian's ssh, with the right key
// and the fingerprint that was told, mends a file system from there, and leaves the
// disk alone where it was only read.
func TestRescueInQEMU(t *testing.T) {
	dir := t.TempDir()
	disk, key := filepath.Join(dir, "disk"), filepath.Join(dir, "key")
	if err := os.Mkdir(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root/motd"), []byte("installed"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "", "mke2fs", "-q", "-t", "ext4", "-d", filepath.Join(dir, "root"), disk, "64M")
	must(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	before := digest(t, disk)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	s := real(t, "-netdev", "user,id=n1,hostfwd=tcp:127.0.0.1:"+port+"-:22", "-device", "virtio-net-pci,netdev=n1,mac="+bootMAC,
		"-drive", "if=none,id=d1,format=raw,cache=unsafe,file="+disk, "-device", "virtio-blk-pci,drive=d1,serial=DISK")
	r := s.await(sprout.Order{ID: "1", Kind: sprout.OrderShell, Keys: []string{string(public)}}, 2*time.Minute)
	if r.Shell == nil || r.Shell.User != "root" || r.Shell.Address != "10.0.2.15" {
		t.Fatalf("the shell: %+v %+v", r.Shell, r.Failure)
	}
	t.Logf("get in by %s", r.Shell)
	ssh := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "ssh", append([]string{
			"-F", "none", "-p", port, "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60",
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(dir, "known"), "root@127.0.0.1",
		}, args...)...).CombinedOutput()
		return string(out), err
	}
	for _, c := range []struct{ command, says string }{
		{"id -u; pwd", "0\n/root"},
		{"mkdir -p /mnt && mount -t ext4 -o ro,noload /dev/vda /mnt && cat /mnt/motd && umount /mnt", "installed"},
	} {
		if out, err := ssh(c.command); err != nil || !strings.Contains(out, c.says) {
			t.Errorf("%s: %v: %s", c.command, err, out)
		}
	}
	if out, err := ssh("-tt", "tty; stty size"); err != nil || !strings.Contains(out, "/dev/pts/") {
		t.Errorf("a terminal: %v: %s", err, out)
	}
	known, err := exec.Command("ssh-keygen", "-l", "-f", filepath.Join(dir, "known")).Output()
	if err != nil || !strings.Contains(string(known), r.Shell.HostKey) {
		t.Errorf("the client knows the host as %s (%v), the operator was told %s", known, err, r.Shell.HostKey)
	}
	if after := digest(t, disk); after != before {
		t.Error("the disk was written to, and nobody asked for that")
	}
	if out, err := ssh("mount -t ext4 /dev/vda /mnt && echo mended > /mnt/motd && umount /mnt && sync && mount -o ro /dev/vda /mnt && cat /mnt/motd"); err != nil || !strings.Contains(out, "mended") {
		t.Errorf("mending: %v: %s", err, out)
	}

	// Another rescue changes the keys.
	must(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key+"2")
	other, err := os.ReadFile(key + "2.pub")
	if err != nil {
		t.Fatal(err)
	}
	if again := s.await(sprout.Order{ID: "2", Kind: sprout.OrderShell, Keys: []string{string(other)}}, time.Minute); again.Shell == nil || again.Shell.HostKey == r.Shell.HostKey {
		t.Errorf("again: %+v %+v", again.Shell, again.Failure)
	}
	if out, err := ssh("echo in"); err == nil || strings.Contains(out, "in\n") {
		t.Errorf("the old key still gets in: %s", out)
	}
}

func digest(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(raw))
}
