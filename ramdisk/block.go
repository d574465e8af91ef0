package ramdisk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"sprout"
)

// blockBytes is the unit in which disks are written, read back and compared.
const blockBytes = 4 << 20

// A block is an open disk, or a file that stands for one. Reads and writes go
// past the page cache where that can be had: then offsets, lengths and
// addresses must be multiples of 4096 (mapped buffers are).
type block struct {
	f      *os.File
	bytes  int64
	device bool // a block device, not a file
	direct bool
}

// openBlock opens a disk for reading and, exclusively, for writing: one whose
// partitions are in use is refused.
func openBlock(name string) (*block, error) {
	flags := unix.O_RDWR | unix.O_EXCL | unix.O_CLOEXEC
	direct := true
	f, err := os.OpenFile(name, flags|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		direct = false
		f, err = os.OpenFile(name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &block{f: f, bytes: size, device: info.Mode()&os.ModeDevice != 0, direct: direct}, nil
}

// openDisk opens a disk of the inventory. A name that has come to mean a disk of
// another size since then is refused.
func openDisk(dev string, d sprout.Disk) (*block, error) {
	b, err := openBlock(filepath.Join(dev, d.Name))
	if err != nil {
		return nil, err
	}
	if b.bytes != d.Bytes {
		_ = b.Close()
		return nil, fmt.Errorf("%s has %d bytes, and had %d when the machine was looked at: it is another disk", d.Name, b.bytes, d.Bytes)
	}
	return b, nil
}

func (b *block) Close() error { return b.f.Close() }

func (b *block) ReadAt(p []byte, off int64) (int, error) { return b.f.ReadAt(p, off) }

func (b *block) WriteAt(p []byte, off int64) (int, error) { return b.f.WriteAt(p, off) }

// zero makes a run of bytes read as zeroes, by the disk's own means where it
// has some.
func (b *block) zero(off, n int64) error {
	if b.device {
		return b.ioctlRange(unix.BLKZEROOUT, off, n)
	}
	err := unix.Fallocate(int(b.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return b.overwrite(off, n)
	}
	return err
}

// overwrite writes zeroes.
func (b *block) overwrite(off, n int64) error {
	buf, err := mapped(blockBytes)
	if err != nil {
		return err
	}
	defer unmap(buf)
	for n > 0 {
		m := min(n, blockBytes)
		if _, err := b.WriteAt(buf[:m], off); err != nil {
			return err
		}
		off, n = off+m, n-m
	}
	return nil
}

// discard tells the disk that a run of bytes is of no use.
func (b *block) discard(off, n int64) error {
	if !b.device {
		return unix.EOPNOTSUPP
	}
	return b.ioctlRange(unix.BLKDISCARD, off, n)
}

// secureDiscard is discard, and the disk also erases copies that it keeps of them.
func (b *block) secureDiscard(off, n int64) error {
	if !b.device {
		return unix.EOPNOTSUPP
	}
	return b.ioctlRange(unix.BLKSECDISCARD, off, n)
}

func (b *block) ioctlRange(request uint, off, n int64) error {
	span := [2]uint64{uint64(off), uint64(n)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, b.f.Fd(), uintptr(request), uintptr(unsafe.Pointer(&span)))
	if errno != 0 {
		return errno
	}
	return nil
}

// flush returns when all that was written is on the disk, and makes later
// reads come from there.
func (b *block) flush() error {
	if err := b.f.Sync(); err != nil {
		return fmt.Errorf("cannot flush: %w", err)
	}
	if b.device && !b.direct {
		_ = unix.IoctlSetInt(int(b.f.Fd()), unix.BLKFLSBUF, 0)
	}
	_ = unix.Fadvise(int(b.f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return nil
}

// reread makes the kernel read the partition table anew.
func (b *block) reread() error {
	if !b.device {
		return nil
	}
	return unix.IoctlSetInt(int(b.f.Fd()), unix.BLKRRPART, 0)
}

// sectorBytes is the disk's logical sector: 512 or 4096 bytes.
func (b *block) sectorBytes() int {
	if b.device {
		if n, err := unix.IoctlGetInt(int(b.f.Fd()), unix.BLKSSZGET); err == nil {
			return n
		}
	}
	return 512
}

// mapped returns zeroed memory that starts at a page, as O_DIRECT wants it.
func mapped(n int) ([]byte, error) {
	buf, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("cannot get %d bytes of memory: %w", n, err)
	}
	return buf, nil
}

func unmap(buf []byte) { _ = unix.Munmap(buf) }

var zeroes [blockBytes]byte // never written
