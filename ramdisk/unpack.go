package ramdisk

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"sprout"
)

// A tree is what was unpacked: what is read back is compared with it.
type tree struct {
	files map[string]leaf // by their path from the root
	bytes int64           // of all their content
}

// A leaf is one file of a tree.
type leaf struct {
	mode     fs.FileMode
	uid, gid int
	link     string // of a symbolic link
	size     int64
	sum      uint64 // xxhash64 of its content
	dev      uint64 // of a device
}

// xattrPrefix is how pax archives name extended attributes, as GNU tar and libarchive do.
const xattrPrefix = "SCHILY.xattr."

// unpackTar unpacks a tar (IEEE Std 1003.1, pax) into the target, and counts and hashes
// all of it.
func (in *installer) unpackTar(ctx context.Context, raw io.Reader) error {
	img, all := in.order.Image, sha256.New()
	counted := &counter{r: io.TeeReader(io.LimitReader(raw, img.RawBytes+1), all), ctx: ctx, tell: func(n int64) { in.progress.set(n, img.RawBytes, "B") }}
	root, err := os.OpenRoot(in.target)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // all files in it are closed
	in.sums, err = unpackTree(root, counted)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return err
	}
	in.digest = fmt.Sprintf("sha256:%x", all.Sum(nil))
	if in.digest != img.RawDigest || counted.n != img.RawBytes {
		return in.mismatch(fmt.Sprintf("archive: expected %s over %d bytes, found %s over %d", img.RawDigest, img.RawBytes, in.digest, counted.n))
	}
	return nil
}

// A counter counts what is read, and ends with its context.
type counter struct {
	r    io.Reader
	n    int64
	ctx  context.Context
	tell func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, c.ctx.Err()
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}

// unpackTree unpacks a tar below root, and never above it: names that lead out, and
// files below what is a symbolic link out of it, are errors.
func unpackTree(root *os.Root, r io.Reader) (tree, error) {
	t := tree{files: map[string]leaf{}}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, fmt.Errorf("the archive is damaged: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		name, err := below(h.Name)
		if err != nil {
			return t, err
		}
		if err := t.put(root, name, h, archive); err != nil {
			return t, fmt.Errorf("cannot unpack %s: %w", name, err)
		}
	}
}

// below is a name of an archive as it is seen from the root.
func below(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if !filepath.IsLocal(clean) {
		return "", fmt.Errorf("the archive has a file outside of its root: %q", name)
	}
	return clean, nil
}

func (t *tree) put(root *os.Root, name string, h *tar.Header, content io.Reader) error {
	l := leaf{mode: h.FileInfo().Mode(), uid: h.Uid, gid: h.Gid}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if old, err := root.Lstat(name); err == nil && (!old.IsDir() || h.Typeflag != tar.TypeDir) {
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		if err = root.Mkdir(name, 0o700); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case tar.TypeReg:
		l.size, l.sum, err = putFile(root, name, content)
		t.bytes += l.size
	case tar.TypeSymlink:
		l.link, l.mode = h.Linkname, fs.ModeSymlink
		if err := root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		t.files[name] = l
		return root.Lchown(name, h.Uid, h.Gid)
	case tar.TypeLink:
		return t.link(root, name, h.Linkname)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		l.dev, err = putNode(root, name, h)
	default:
		err = fmt.Errorf("it is of a kind, %q, that no root file system has", h.Typeflag)
	}
	if err != nil {
		return err
	}
	t.files[name] = l
	return dress(root, name, h)
}

func putFile(root *os.Root, name string, content io.Reader) (int64, uint64, error) {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, 0, err
	}
	sum := xxhash.New()
	n, err := io.Copy(io.MultiWriter(f, sum), content)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return n, sum.Sum64(), err
}

// link makes a hard link to what was unpacked before.
func (t *tree) link(root *os.Root, name, to string) error {
	to, err := below(to)
	if err != nil {
		return err
	}
	first, ok := t.files[to]
	if !ok {
		return fmt.Errorf("it is a link to %s, which is not before it in the archive", to)
	}
	t.files[name] = first
	t.bytes += first.size
	return root.Link(to, name)
}

func putNode(root *os.Root, name string, h *tar.Header) (dev uint64, err error) {
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	if h.Typeflag != tar.TypeFifo {
		dev = unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	}
	dir, err := root.Open(path.Dir(name))
	if err != nil {
		return 0, err
	}
	defer dir.Close() //nolint:errcheck // only a place
	return dev, unix.Mknodat(int(dir.Fd()), path.Base(name), kind|0o600, int(dev))
}

// dress gives a file its owner, mode, extended attributes and time. The owner comes
// first: a change of it takes setuid and capabilities away.
func dress(root *os.Root, name string, h *tar.Header) error {
	if err := root.Lchown(name, h.Uid, h.Gid); err != nil {
		return err
	}
	if err := root.Chmod(name, h.FileInfo().Mode()); err != nil {
		return err
	}
	for key, value := range h.PAXRecords {
		if attr, ok := strings.CutPrefix(key, xattrPrefix); ok {
			if err := setAttribute(root, name, attr, value); err != nil {
				return fmt.Errorf("extended attribute %s: %w", attr, err)
			}
		}
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}

func setAttribute(root *os.Root, name, attr, value string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written to it
	return unix.Fsetxattr(int(f.Fd()), attr, []byte(value), 0)
}

// compare reads a tree back, and says what is not as it was unpacked.
func (t tree) compare(ctx context.Context, dir string, tell func(int64)) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read
	var done int64
	names := make([]string, 0, len(t.files))
	for name := range t.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		want := t.files[name]
		got, err := look(root, name)
		if err != nil {
			return sprout.Fail(sprout.VerifyFailed, "what was unpacked could not be read back", name+": "+err.Error())
		}
		if got != want {
			return sprout.Fail(sprout.VerifyFailed, "what was read back is not what was unpacked", fmt.Sprintf("%s: expected %+v, found %+v", name, want, got))
		}
		done += want.size
		tell(done)
	}
	return nil
}

// look is what a file is now.
func look(root *os.Root, name string) (got leaf, err error) {
	info, err := root.Lstat(name)
	if err != nil {
		return got, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return got, errors.New("the kernel says not whose it is")
	}
	got = leaf{mode: info.Mode(), uid: int(stat.Uid), gid: int(stat.Gid)}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		got.mode = fs.ModeSymlink
		got.link, err = root.Readlink(name)
	case info.Mode()&fs.ModeDevice != 0:
		got.dev = uint64(stat.Rdev)
	case info.Mode().IsRegular():
		got.size, got.sum, err = sumOf(root, name)
	}
	return got, err
}

func sumOf(root *os.Root, name string) (int64, uint64, error) {
	f, err := root.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	sum := xxhash.New()
	n, err := io.Copy(sum, f)
	return n, sum.Sum64(), err
}
