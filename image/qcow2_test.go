package image_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sprout"
	"sprout/image"
)

// made is a qcow2 that qemu-img makes by these arguments, after the name of a directory.
func made(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	file := filepath.Join(dir, name)
	if out, err := exec.CommandContext(t.Context(), "qemu-img", append(append([]string{"create", "-q", "-f", "qcow2"}, args...), file, "1M")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A qcow2 has its whole disk within it: what its header names elsewhere would be a file
// of the server, and come back as the image's content.
func TestQcow2NamesNoOtherFile(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed")
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, bytes.Repeat([]byte("S"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := made(t, dir, "plain")
	with := func(at int, value any) []byte {
		b := bytes.Clone(plain)
		if _, err := binary.Encode(b[at:], binary.BigEndian, value); err != nil {
			t.Fatal(err)
		}
		return b
	}
	outside := made(t, dir, "outside", "-o", "data_file="+secret+",data_file_raw=on")
	if err := os.WriteFile(secret, bytes.Repeat([]byte("S"), 1<<20), 0o600); err != nil { // making it emptied it
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		says    string
	}{
		"a backing file":     {made(t, dir, "backing", "-b", secret, "-F", "raw"), "found one that is the changes to another file"},
		"a data file":        {outside, "found one whose content is in another file"},
		"version 4":          {with(4, uint32(4)), "expected version 2 or 3, found 4"},
		"encrypted":          {with(32, uint32(2)), "found one that is encrypted, by method 2"},
		"marked as corrupt":  {with(72, uint64(1<<1)), "found one that is marked as corrupt"},
		"a feature to come":  {with(72, uint64(1<<9)), "found others: 0x200"},
		"larger than all":    {with(24, uint64(1<<60)), "expected 256000000000 bytes at most once decompressed, found a qcow2 of 1152921504606846976"},
		"cut in its header":  {plain[:60], "expected a header of 72 bytes at least, found 60"},
		"cut in version 3's": {plain[:80], "expected a header of 104 bytes at least, found 80"},
	} {
		s := newStore(t)
		img, err := s.Import(t.Context(), bytes.NewReader(c.content), image.ImportOptions{Name: "x"})
		if sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v; want %q", name, img, err, c.says)
		}
		if files, err := s.Files(); err != nil || len(files) > 0 {
			t.Errorf("%s left %v, %v", name, files, err)
		}
	}
	for name, content := range map[string][]byte{"plain": plain, "version 2": made(t, dir, "old", "-o", "compat=0.10"), "zstd": made(t, dir, "zstd", "-o", "compression_type=zstd"), "subclusters": made(t, dir, "sub", "-o", "extended_l2=on")} {
		if img, err := newStore(t).Import(t.Context(), bytes.NewReader(content), image.ImportOptions{Name: "x"}); err != nil || img.RawBytes != 1<<20 {
			t.Errorf("%s: %+v, %v", name, img, err)
		}
	}
}

// A disk as virtual machines have it, compressed or of another maker, is no disk.
func TestOtherContainersAreRefused(t *testing.T) {
	rest := strings.Repeat("\x00", 1<<16)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("QFI\xfb" + rest)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for says, content := range map[string]string{
		"a compressed qcow2": packed.String(), "VMDK": "KDMV\x01" + rest, "VHDX": "vhdxfile" + rest, "VHD:": "conectix" + rest,
	} {
		_, err := newStore(t).Import(t.Context(), strings.NewReader(content), image.ImportOptions{Name: "x"})
		if sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), "found a disk as "+says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
