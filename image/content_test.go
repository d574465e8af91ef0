package image_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sprout"
	"sprout/image"
)

// elf is the start of a program for a machine, as ELF numbers them.
func elf(machine uint16) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(b[18:], machine)
	return b
}

// rootTar is a root file system that would boot, as far as names tell; change may
// take files away or add some.
func rootTar(t *testing.T, machine uint16, change func(map[string][]byte)) []byte {
	t.Helper()
	files := map[string][]byte{
		"./etc/": nil, "./usr/bin/sh": elf(machine), "./boot/vmlinuz-6.1.0": bytes.Repeat([]byte("kernel"), 1000), "./usr/sbin/grub-install": elf(machine),
	}
	if change != nil {
		change(files)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range files {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRootFileSystemsAreKnown(t *testing.T) {
	files := map[string][]byte{"tar": rootTar(t, 183, nil), "squashfs": rootSquashfs(t)}
	for format, raw := range files {
		for _, compression := range []string{image.None, image.Gzip, image.XZ, image.Zstd} {
			s := newStore(t)
			img, err := s.Import(t.Context(), bytes.NewReader(pack(t, compression, raw)), image.ImportOptions{Name: "x"})
			want := sprout.ARM64
			if format == "squashfs" {
				want = sprout.AMD64 // it does not say
			}
			if err != nil || img.Kind != sprout.RootFS || img.Compression != compression || img.RawDigest != digest(raw) || img.Architecture != want {
				t.Errorf("%s, %s: %+v %v", format, compression, img, err)
			}
		}
	}
}

func rootSquashfs(t *testing.T) []byte {
	t.Helper()
	if _, err := exec.LookPath("mksquashfs"); err != nil {
		t.Skip("mksquashfs is not installed")
	}
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/root/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/root/etc/noise", disk()[:64<<10], 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mksquashfs", dir+"/root", dir+"/fs", "-quiet", "-no-progress").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "fs"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// gpt is a disk image whose one partition has a type and ends at a sector.
func gpt(kind []byte, last uint64) []byte {
	raw := disk()
	head := raw[512:]
	copy(head, "EFI PART")
	binary.LittleEndian.PutUint64(head[32:], 2047)
	binary.LittleEndian.PutUint64(head[72:], 2)
	binary.LittleEndian.PutUint32(head[80:], 128)
	binary.LittleEndian.PutUint32(head[84:], 128)
	clear(raw[1024:headBytes])
	copy(raw[1024:], kind)
	binary.LittleEndian.PutUint64(raw[1024+32:], 64)
	binary.LittleEndian.PutUint64(raw[1024+40:], last)
	return raw
}

// mbr is a disk whose only partition has the status, and lies between two sectors.
func mbr(status byte, first, last uint32) []byte {
	raw := disk()
	clear(raw[446:512])
	copy(raw[510:], "\x55\xaa")
	raw[446], raw[450] = status, 0x83
	binary.LittleEndian.PutUint32(raw[454:], first)
	binary.LittleEndian.PutUint32(raw[458:], last-first+1)
	return raw
}

// twoTables is a GPT that says where its second copy is.
func twoTables(second uint64) []byte {
	raw := gpt(arm64Root, 1000)
	binary.LittleEndian.PutUint64(raw[512+32:], second)
	return raw
}

const headBytes = 34 * 512

var arm64Root = []byte{0x45, 0xb0, 0x21, 0xb9, 0xf0, 0x1d, 0xc3, 0x41, 0xaf, 0x44, 0x4c, 0x6f, 0x28, 0x0d, 0x3f, 0xae}

func TestWrongContentIsRefused(t *testing.T) {
	whole, fs := rootTar(t, 62, nil), rootSquashfs(t)
	for name, c := range map[string]struct {
		raw  []byte
		arch sprout.Architecture
		says string
	}{
		"tar cut within a file":      {whole[:2000], "", "damaged or ends early"},
		"tar without its end":        {bytes.TrimRight(whole, "\x00"), "", "tar"},
		"tar with a damaged header":  {append([]byte("x"), whole[1:]...), "", "damaged"},
		"tar that leaves its root":   {rootTar(t, 62, func(m map[string][]byte) { m["../../etc/passwd"] = nil }), "", "outside of the root"},
		"tar of no system":           {rootTar(t, 62, func(m map[string][]byte) { delete(m, "./boot/vmlinuz-6.1.0") }), "", "it has not a kernel in /boot"},
		"tar of another machine":     {whole, sprout.ARM64, "expected one for arm64, found one for amd64, by /usr/bin/sh"},
		"squashfs cut off":           {fs[:len(fs)-4096], "", "cut off: expected"},
		"squashfs with a tail":       {append(bytes.Clone(fs), make([]byte, 4<<20)...), "", "bytes follow its squashfs"},
		"disk of another machine":    {gpt(arm64Root, 1000), sprout.AMD64, "expected one for amd64, found one for arm64, by the type of its partition 1"},
		"disk without its last part": {gpt(arm64Root, 4000), "", "cut off: its partition 1 ends at byte 2048512, and it has 1048576 bytes"},
		"disk without its end":       {twoTables(2048), "", "cut off: the second copy of its partition table is in sector 2048, and it has 2048 sectors"},
		"MBR without its last part":  {mbr(0x80, 64, 2048), "", "cut off: its partition 1 ends at byte 1049088, and it has 1048576 bytes"},
	} {
		s := newStore(t)
		_, err := s.Import(t.Context(), bytes.NewReader(c.raw), image.ImportOptions{Architecture: c.arch})
		if sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if left := partials(t, s); len(left) > 0 {
			t.Errorf("%s: left behind %v", name, left)
		}
	}
	for name, raw := range map[string][]byte{"a GPT": twoTables(2047), "an MBR": mbr(0, 64, 2047), "what is no MBR": mbr('x', 64, 2048)} {
		if _, err := newStore(t).Import(t.Context(), bytes.NewReader(raw), image.ImportOptions{}); err != nil {
			t.Errorf("%s that is whole: %v", name, err)
		}
	}
	img, err := newStore(t).Import(t.Context(), bytes.NewReader(gpt(arm64Root, 1000)), image.ImportOptions{})
	if err != nil || img.Architecture != sprout.ARM64 {
		t.Errorf("a disk of an arm64 system: %+v %v", img, err)
	}
}
