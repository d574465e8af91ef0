package build

import (
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

// pack writes the initrd and returns its size: a newc archive (see
// Documentation/driver-api/early-userspace/buffer-format.rst of Linux) with
// /init, the modules and what describes them, compressed with zstd.
func (b *build) pack(kernel string) (int64, error) {
	records, err := b.records(filepath.Join(kernel, "lib/modules", b.opts.KernelVersion))
	if err != nil {
		return 0, err
	}
	out, err := os.Create(b.path("initrd.new"))
	if err != nil {
		return 0, err
	}
	defer out.Close() //nolint:errcheck // after a failure; else closed and checked below
	// The kernel's decoder refuses windows above 8 MiB (lib/decompress_unzstd.c).
	z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
	if err != nil {
		return 0, err
	}
	if err := writeArchive(z, records); err != nil {
		return 0, err
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	info, err := out.Stat()
	if err != nil {
		return 0, err
	}
	if err := out.Close(); err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(out.Name(), b.path("initrd"))
}

func (b *build) records(dir string) ([]cpio.Record, error) {
	t, err := readTree(dir)
	if err != nil {
		return nil, err
	}
	picked := t.pick(append(append([]string{}, modules...), b.opts.Modules...))
	dep, alias, err := t.describe(picked)
	if err != nil {
		return nil, err
	}
	init, err := os.ReadFile(b.opts.InitPath)
	if err != nil {
		return nil, err
	}
	shell, err := os.ReadFile(b.shell())
	if err != nil {
		return nil, err
	}
	home := path.Join("lib/modules", b.opts.KernelVersion)
	records := []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.Directory("proc", 0o555), cpio.Directory("sys", 0o555),
		cpio.Directory("run", 0o755), cpio.Directory("tmp", 0o1777), cpio.Directory("etc", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1), cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.StaticFile("init", string(init), 0o755),
		cpio.Directory("bin", 0o755), cpio.StaticFile("bin/busybox", string(shell), 0o755), cpio.Symlink("bin/sh", "busybox"),
		cpio.StaticFile(path.Join(home, "modules.dep"), dep, 0o644),
		cpio.StaticFile(path.Join(home, "modules.alias"), alias, 0o644),
	}
	for _, file := range picked {
		raw, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		records = append(records, cpio.StaticFile(path.Join(home, file), string(raw), 0o644))
	}
	return records, nil
}

func writeArchive(w io.Writer, records []cpio.Record) error {
	cpio.MakeAllReproducible(records)
	archive := cpio.Newc.Writer(w)
	if err := cpio.WriteRecordsAndDirs(archive, records); err != nil {
		return err
	}
	return cpio.WriteTrailer(archive)
}
