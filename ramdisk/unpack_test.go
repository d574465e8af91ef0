package ramdisk

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sprout"
)

// archive makes a tar of the headers; the content of a file is its name.
func archive(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		h.Uid, h.Gid = os.Getuid(), os.Getgid()
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(h.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func unpackAt(t *testing.T, dir string, from *bytes.Buffer) (tree, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // a test's
	return unpackTree(root, from)
}

// What was unpacked reads back as it was; whatever of it is changed, is found.
func TestWhatIsUnpackedIsReadBack(t *testing.T) {
	headers := []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o750},
		{Name: "./etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "./usr/bin/su", Typeflag: tar.TypeReg, Mode: 0o4755},
		{Name: "./usr/bin/link", Typeflag: tar.TypeLink, Linkname: "./usr/bin/su"},
		{Name: "./bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
		{Name: "./away", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "./pipe", Typeflag: tar.TypeFifo, Mode: 0o600},
	}
	for _, c := range []struct {
		name   string
		change func(dir string) error
	}{
		{"nothing", nil},
		{"content", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("./etc/passwX"), 0o644)
		}},
		{"mode", func(dir string) error { return os.Chmod(filepath.Join(dir, "usr/bin/su"), 0o755) }},
		{"link", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "bin")), os.Symlink("usr/sbin", filepath.Join(dir, "bin")))
		}},
		{"missing", func(dir string) error { return os.Remove(filepath.Join(dir, "pipe")) }},
	} {
		dir := t.TempDir()
		made, err := unpackAt(t, dir, archive(t, headers...))
		if err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
		}
		err = made.compare(t.Context(), dir, func(int64) {})
		var known *sprout.Failure
		if changed := c.change != nil; changed != (err != nil) || changed && (!errors.As(err, &known) || known.Code != sprout.VerifyFailed) {
			t.Errorf("%s changed: %v", c.name, err)
		}
	}
}

// No archive writes outside of its root.
func TestNothingIsUnpackedOutside(t *testing.T) {
	for name, headers := range map[string][]tar.Header{
		"a name that leads out":       {{Name: "../evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a name that leads out later": {{Name: "a/../../evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"below a link that leads out": {{Name: "out", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "out/evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"below an absolute link":      {{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "/"}, {Name: "out/tmp/evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a hard link that leads out":  {{Name: "evil", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}},
		"a hard link to what is not":  {{Name: "evil", Typeflag: tar.TypeLink, Linkname: "etc/passwd"}},
		"a pipe below a link":         {{Name: "out", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "out/evil", Typeflag: tar.TypeFifo, Mode: 0o644}},
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "root")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := unpackAt(t, dir, archive(t, headers...)); err == nil {
			t.Errorf("%s: it was unpacked", name)
		}
		if _, err := os.Lstat(filepath.Join(outer, "evil")); err == nil {
			t.Errorf("%s: it is outside", name)
		}
	}
	if _, err := unpackAt(t, t.TempDir(), bytes.NewBufferString(strings.Repeat("no tar", 200))); err == nil {
		t.Error("no archive was unpacked")
	}
}

// An own symbolic link is replaced by a file of its name, not written through.
func TestAFileReplacesALink(t *testing.T) {
	dir := t.TempDir()
	made, err := unpackAt(t, dir, archive(t, tar.Header{Name: "target", Typeflag: tar.TypeReg, Mode: 0o644},
		tar.Header{Name: "name", Typeflag: tar.TypeSymlink, Linkname: "target"}, tar.Header{Name: "name", Typeflag: tar.TypeReg, Mode: 0o600}))
	if err != nil {
		t.Fatal(err)
	}
	if err := made.compare(t.Context(), dir, func(int64) {}); err != nil {
		t.Error(err)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "target")); err != nil || string(raw) != "target" {
		t.Errorf("the target is %q, %v", raw, err)
	}
}

func TestFilesOfALayout(t *testing.T) {
	l, err := sprout.LayoutChoice{Name: "plain", SwapBytes: 1 << 30}.Layout()
	if err != nil {
		t.Fatal(err)
	}
	parts, failure := l.Table(8<<30, 1<<30)
	if failure != nil {
		t.Fatal(failure)
	}
	if got := tableScript(parts); !strings.Contains(got, "2: start=4096, size=524288, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, name=esp\n") || strings.Count(got, "start=") != 5 {
		t.Errorf("the script is\n%s", got)
	}
	volumes := []volume{{"root", "/dev/md1", sprout.UseExt4, "/", "r"}, {"boot", "/dev/md0", sprout.UseExt4, "/boot", "b"}, {"swap", "/dev/md2", sprout.UseSwap, "", "s"}, {"esp", "/dev/vda2", useESP, "/boot/efi", "e"}}
	want := "UUID=r / ext4 defaults,errors=remount-ro 0 1\nUUID=b /boot ext4 defaults 0 2\nUUID=s none swap sw,nofail 0 0\nUUID=e /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=10s 0 0\n"
	if got := fstab(volumes); got != want {
		t.Errorf("fstab is\n%s", got)
	}
	if got := earlyConfig(volumes); !strings.HasPrefix(got, "search.fs_uuid b root\nset prefix=($root)/grub\n") {
		t.Errorf("GRUB is told\n%s", got)
	}
	if got := earlyConfig(volumes[:1]); !strings.HasPrefix(got, "search.fs_uuid r root\nset prefix=($root)/boot/grub\n") {
		t.Errorf("GRUB is told\n%s", got)
	}
	if partName("vda", 3) != "vda3" || partName("nvme0n1", 3) != "nvme0n1p3" {
		t.Error("the kernel names partitions otherwise")
	}
}
