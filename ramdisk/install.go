package ramdisk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sprout"
)

// An installer performs one order to install: it makes a layout on the disks that the
// rule names, and unpacks a root file system into it.
type installer struct {
	client   *Client
	disks    []sprout.Disk
	mode     sprout.BootMode
	dev      string // where device files are
	order    sprout.Write
	progress *progress
	log      *slog.Logger
	tools    func(context.Context, *sprout.Tools) (root string, err error)

	root    string // of the tree of tools
	target  string // where the new root is mounted
	chosen  []sprout.Disk
	parts   []sprout.DiskPart
	arrays  []array
	volumes []volume          // in the order in which they are mounted
	mounts  []string          // that are mounted now, the last one last
	sums    tree              // of what was unpacked
	written map[string]string // files of the new system, by their path
	esp     map[string][]byte // of each EFI system partition
	src     *source
	raw     io.ReadCloser // what is in the image, decompressed
	digest  string        // of the archive
}

// installSteps is what an install does to the disks, in this order: nothing on them
// boots before the last but one.
var installSteps = []struct {
	name string
	do   func(*installer, context.Context) error
}{
	{"partition the disks", (*installer).partition},
	{"make RAID 1", (*installer).makeArrays},
	{"make the volume group", (*installer).makeGroup},
	{"make file systems", (*installer).makeFileSystems},
	{"unpack the image", (*installer).unpack},
	{"read back the image", (*installer).readBack},
	{"configure the system", (*installer).configure},
	{"build the initramfs", (*installer).initramfs},
	{"install the boot loader", (*installer).loaders},
	{"check the system", (*installer).check},
}

// install returns the proof of what it wrote. Whatever fails leaves the disks such that
// none of them boots, and it may be repeated.
func (in *installer) install(ctx context.Context) (*sprout.Written, error) {
	img, layout := in.order.Image, in.order.Layout
	if err := layout.Check(); err != nil {
		return nil, sprout.Fail(sprout.LayoutFailed, err.Error(), "")
	}
	chosen, why, failure := layout.Choose(in.order.Disk, in.disks, img.RawBytes)
	if failure != nil {
		return nil, failure
	}
	if failure := in.order.Unnamed(chosen); failure != nil {
		return nil, failure
	}
	in.chosen = chosen
	if in.parts, failure = layout.Table(sprout.SmallestDisk(chosen), img.RawBytes); failure != nil {
		return nil, failure
	}
	in.log.Info("installing", "image", img.Name, "layout", layout.Name, "disks", in.names(), "why", why)
	began := time.Now()
	in.progress.about("fetching the tools of layouts")
	var err error
	if in.root, err = in.tools(ctx, in.order.Tools); err != nil {
		return nil, in.failed(ctx, "fetch the tools of layouts", err)
	}
	in.src = newSource(ctx, in.client, "the image", in.order.URL, img.Bytes, in.log)
	in.src.waits = in.progress.wait
	defer in.src.Close()
	if err := in.src.await(); err != nil {
		return nil, err
	}
	if err := in.open(); err != nil {
		return nil, in.failed(ctx, "read the image", err) // the disks are as they were
	}
	defer in.raw.Close()
	in.target = filepath.Join(in.root, "run", "target")
	if err := in.steps(ctx); err != nil {
		in.ruin()
		return nil, err
	}
	in.log.Info("image is installed and verified", "disks", in.names(), "digest", in.digest)
	return &sprout.Written{Disk: chosen[0], Disks: chosen, RawDigest: in.digest, RawBytes: img.RawBytes, Verified: true, Seconds: time.Since(began).Seconds()}, nil
}

func (in *installer) steps(ctx context.Context) error {
	if err := in.blank(); err != nil {
		return in.failed(ctx, "clear the disks", err)
	}
	for _, step := range installSteps {
		in.log.Info("installing", "step", step.name)
		in.progress.about(step.name)
		if err := step.do(in, ctx); err != nil {
			return in.failed(ctx, step.name, err)
		}
	}
	if err := in.letGo(context.WithoutCancel(ctx)); err != nil {
		return in.failed(ctx, "flush the disks", err)
	}
	return nil
}

// failed says which step failed, and why.
func (in *installer) failed(ctx context.Context, step string, err error) error {
	var known *sprout.Failure
	var said *toolError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &known):
		return known
	case errors.As(err, &said):
		return sprout.Fail(sprout.LayoutFailed, fmt.Sprintf("cannot %s: %v", step, said), said.output)
	}
	return sprout.Fail(sprout.LayoutFailed, fmt.Sprintf("cannot %s: %v", step, err), "")
}

func (in *installer) names() string {
	var names []string
	for _, d := range in.chosen {
		names = append(names, d.Name)
	}
	return strings.Join(names, ", ")
}

// blank makes the disks unbootable, and clears what RAID and LVM keep at their ends.
func (in *installer) blank() error {
	for _, d := range in.chosen {
		b, err := openDisk(in.dev, d)
		if err != nil {
			return fmt.Errorf("cannot open %s: %w", d.Name, err)
		}
		if n := b.sectorBytes(); n != 512 {
			_ = b.Close()
			return fmt.Errorf("disk %s has sectors of %d bytes, and config drives have such of 512", d.Name, n)
		}
		err = (&writer{}).blank(b)
		_ = b.reread()
		if closed := b.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return sprout.Fail(sprout.DiskFailed, "disk "+d.Name+" cannot be written", err.Error())
		}
	}
	return nil
}

// ruin makes disks unbootable that were not finished.
func (in *installer) ruin() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := in.letGo(ctx)
	if blanked := in.blank(); err == nil {
		err = blanked
	}
	if err != nil {
		in.log.Error("cannot make the disks unbootable", "error", err)
	}
}

// letGo unmounts, and stops volumes and arrays: all that was written is on the disks then.
func (in *installer) letGo(ctx context.Context) error {
	err := in.unmount()
	if group := in.order.Layout.Group; group != "" {
		if _, stopped := in.lvm(ctx, "vgchange", "-an", group); err == nil {
			err = stopped
		}
	}
	for _, a := range in.arrays {
		if _, stopped := in.tool(ctx, "mdadm", "--stop", a.device); err == nil {
			err = stopped
		}
	}
	in.arrays = nil
	return err
}

// mount mounts all file systems of the new system, to be written or only read.
func (in *installer) mount(flags uintptr) error {
	for _, v := range in.volumes {
		if !v.use.Mounted() {
			continue
		}
		if err := in.mountAt(v.device, v.mount, string(v.use), flags); err != nil {
			return err
		}
	}
	return nil
}

func (in *installer) mountAt(device, at, kind string, flags uintptr) error {
	dir := filepath.Join(in.target, at)
	if flags&unix.MS_RDONLY == 0 || at == "/" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount(device, dir, kind, flags, ""); err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w", device, at, err)
	}
	in.mounts = append(in.mounts, dir)
	return nil
}

// unmount unmounts all that is mounted.
func (in *installer) unmount() (first error) {
	for len(in.mounts) > 0 {
		if err := in.unmountLast(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (in *installer) unmountLast() error {
	dir := in.mounts[len(in.mounts)-1]
	in.mounts = in.mounts[:len(in.mounts)-1]
	if err := unix.Unmount(dir, 0); err != nil {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		return fmt.Errorf("cannot unmount %s: %w", strings.TrimPrefix(dir, in.target), err)
	}
	return nil
}

// open begins to read the image, and refuses what cannot be unpacked while the disks are
// as they were.
func (in *installer) open() error {
	raw, err := decompress(in.src, in.order.Image.Compression)
	if err != nil {
		return err
	}
	head := bufio.NewReader(raw)
	if magic, err := head.Peek(4); err != nil || string(magic) == "hsqs" {
		raw.Close()
		if err == nil {
			err = errors.New("it is a squashfs, and layouts are made of a tar: unsquashfs and tar make one of it")
		}
		return err
	}
	in.raw = struct {
		io.Reader
		io.Closer
	}{head, raw}
	return nil
}

// unpack streams the image into the new file systems, and holds all of it to its digests.
func (in *installer) unpack(ctx context.Context) error {
	if err := in.mount(0); err != nil {
		return err
	}
	err := in.unpackTar(ctx, in.raw)
	var known *sprout.Failure
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.As(err, &known):
		return err
	default:
		if _, rest := io.Copy(io.Discard, in.src); rest != nil {
			return rest
		}
		if found := in.src.digest(); found != in.order.Image.Digest {
			return in.mismatch(fmt.Sprintf("%v; stored bytes: expected %s, found %s", err, in.order.Image.Digest, found))
		}
		return err
	}
	if _, err := io.Copy(io.Discard, in.src); err != nil {
		return err
	}
	if found := in.src.digest(); found != in.order.Image.Digest {
		return in.mismatch(fmt.Sprintf("stored bytes: expected %s, found %s", in.order.Image.Digest, found))
	}
	return in.unmount()
}

func (in *installer) mismatch(evidence string) error {
	return (&writer{order: in.order}).mismatch(evidence)
}

// readBack reads all that was unpacked from the disks, of a mirror from each of them by
// itself, and compares it with what was in the image.
func (in *installer) readBack(ctx context.Context) error {
	for i, d := range in.chosen {
		if len(in.chosen) > 1 {
			in.progress.about("read back the image from " + d.Name)
			if err := in.readFrom(i); err != nil {
				return err
			}
		}
		if err := in.mount(unix.MS_RDONLY); err != nil {
			return err
		}
		err := in.sums.compare(ctx, in.target, func(done int64) { in.progress.set(done, in.sums.bytes, "B") })
		if left := in.unmount(); err == nil {
			err = left
		}
		if err != nil {
			return err
		}
	}
	return in.readFrom(-1)
}
