package ramdisk_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sprout"
	"sprout/image"
	"sprout/ramdisk"
)

// Whatever comes of an order to write, no disk is written that it does not mean:
// neither beside the one that is, nor by an order that means none or several.
func TestOtherDisksAreLeftAsTheyAre(t *testing.T) {
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, content := smallImage(t, images)
	dir := t.TempDir()
	disks := map[string]string{"vda": blankDisk(t, dir, "one", 128<<20), "vdb": noiseDisk(t, dir), "vdc": blankDisk(t, dir, "two", 128<<20), "vdd": blankDisk(t, dir, "small", 1<<20)}
	r := newRig(t, images, disks)
	before := map[string]string{}
	for name, file := range disks {
		before[name] = sumOf(t, file)
	}
	wrong := img
	wrong.RawDigest = img.Digest
	for _, c := range []struct {
		id    string
		img   sprout.Image
		rule  sprout.DiskRule
		code  sprout.Code
		wrote string
	}{
		{"1", img, sprout.DiskRule{MinBytes: 100 << 20}, sprout.DiskAmbiguous, ""},
		{"2", img, sprout.DiskRule{Serial: "NONE"}, sprout.NoDiskMatches, ""},
		{"3", img, sprout.DiskRule{Serial: "VDD"}, sprout.DiskTooSmall, ""},
		{"4", wrong, sprout.DiskRule{Serial: "VDC"}, sprout.DigestMismatch, "vdc"},
		{"5", img, sprout.DiskRule{Serial: "VDA"}, "", "vda"},
	} {
		got := r.await(writeOrder(c.id, c.img, c.rule), 20*time.Second)
		if code(got.Failure) != c.code {
			t.Errorf("order %s: %+v, want %q", c.id, got.Failure, c.code)
		}
		for name, file := range disks {
			now := sumOf(t, file)
			if now != before[name] && name != c.wrote {
				t.Errorf("order %s, which means %q, wrote disk %s", c.id, c.wrote, name)
			}
			before[name] = now
		}
	}
	// The plan named another than the rule means now.
	order := writeOrder("6", img, sprout.DiskRule{Serial: "VDC"})
	order.Write.Disks = []sprout.Disk{{Name: "vdc", Serial: "THE OLD ONE", Bytes: 128 << 20}}
	if got := r.await(order, 20*time.Second); code(got.Failure) != sprout.NoDiskMatches || sumOf(t, disks["vdc"]) != before["vdc"] {
		t.Errorf("a disk that the plan did not name: %+v, wrote it: %v", got.Failure, sumOf(t, disks["vdc"]) != before["vdc"])
	}
	// Its name means a disk of another size since the machine was looked at.
	if err := os.Truncate(disks["vdc"], 160<<20); err != nil {
		t.Fatal(err)
	}
	changed := sumOf(t, disks["vdc"])
	if got := r.await(writeOrder("7", img, sprout.DiskRule{Serial: "VDC"}), 20*time.Second); code(got.Failure) != sprout.DiskFailed || sumOf(t, disks["vdc"]) != changed {
		t.Errorf("a disk of another size than it had: %+v", got.Failure)
	}
	checkWritten(t, disks["vda"], content)
}

func code(f *sprout.Failure) sprout.Code {
	if f == nil {
		return ""
	}
	return f.Code
}

func TestDisksAreKnownByPath(t *testing.T) {
	root := t.TempDir()
	for name, at := range map[string]string{
		"sda": "pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0", "sdb": "pci0000:00/0000:00:05.0/virtio1/host4/target4:0:3/4:0:3:1",
		"vda": "pci0000:00/0000:00:06.0/virtio2", "nvme0n1": "pci0000:00/0000:00:02.0/0000:03:00.0/nvme/nvme0", "sdc": "pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host5/target5:0:0/5:0:0:0",
	} {
		dir := filepath.Join(root, "sys/devices", at, "block", name)
		for file, text := range map[string]string{"size": "2048", "nsid": "1"} {
			write(t, filepath.Join(dir, file), text)
		}
		if err := errors.Join(os.MkdirAll(filepath.Join(root, "sys/block"), 0o755), os.Symlink(dir, filepath.Join(root, "sys/block", name))); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "sys/class/ata_port/ata2/port_no"), "2")
	got := map[string]string{}
	for _, d := range (ramdisk.Host{Root: root}).Inventory().Disks {
		got[d.Name] = d.Path
	}
	for name, want := range map[string]string{
		"sda": "pci-0000:00:1f.2-ata-2", "sdb": "pci-0000:00:05.0-scsi-0:0:3:1", "vda": "pci-0000:00:06.0", "nvme0n1": "pci-0000:03:00.0-nvme-1", "sdc": "",
	} {
		if got[name] != want {
			t.Errorf("%s is at %q, want %q", name, got[name], want)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func blankDisk(t *testing.T, dir, name string, size int64) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	return name
}

// noiseDisk is one with content, too small for the layout.
func noiseDisk(t *testing.T, dir string) string {
	t.Helper()
	noise := make([]byte, 64<<20)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(noise)
	name := filepath.Join(dir, "three")
	if err := os.WriteFile(name, noise, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func sumOf(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
