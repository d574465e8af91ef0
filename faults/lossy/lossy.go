// Package lossy is a power failure for one process's files: what it wrote and
// did not sync is lost. A process that has called Record keeps, beside its data,
// what each file held when it was synced last; once it is killed, Drop puts its
// files back to that. So a test sees what kill -9 alone does not show, for the
// kernel keeps what a killed process has written.
//
// It watches fsync(2) and fdatasync(2) by a seccomp listener, so it needs no
// file system of its own and no privilege. It knows files only, not whose.
package lossy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A notice is struct seccomp_notif of <linux/seccomp.h>: a system call that waits
// for leave.
type notice struct {
	ID    uint64
	PID   uint32
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// An answer is struct seccomp_notif_resp.
type answer struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

const (
	receive  = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	send     = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	proceed  = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	allowAll = 0x7fff0000 // SECCOMP_RET_ALLOW
	notify   = 0x7fc00000 // SECCOMP_RET_USER_NOTIF
)

// Record keeps, from now on and for the rest of this process's life, a copy of
// every file below data in the directory kept at the moment that the file is
// synced. Call it before the files are opened.
func Record(data, kept string) error {
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return err
	}
	listener, err := listen()
	if err != nil {
		return fmt.Errorf("cannot watch what is synced: %w", err)
	}
	go watch(listener, data, kept)
	return nil
}

// The files of kept that hold when a fault comes: after how many more syncs, and
// of which files.
const (
	dieFile  = "die"
	failFile = "fail"
)

// DieAt has the process that records there kill itself at its n-th sync from now,
// counted from 1, of files of data whose name matches the pattern of path.Match;
// "": any. What it wants synced then is written, and lost.
func DieAt(kept string, n int, name string) error { return arm(kept, dieFile, n, name) }

// FailAt has that sync fail with EIO instead. The process goes on, and what it
// wanted synced is lost unless a later sync of the file succeeds.
func FailAt(kept string, n int, name string) error { return arm(kept, failFile, n, name) }

func arm(kept, file string, n int, name string) error {
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return err
	}
	at := filepath.Join(kept, file)
	if err := os.WriteFile(at+".new", fmt.Appendf(nil, "%d %s", n, name), 0o600); err != nil {
		return err
	}
	return os.Rename(at+".new", at)
}

// comes counts a sync of the named file, and tells whether it is the fault's.
func comes(kept, file, name string) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(kept, file))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	count, pattern, _ := strings.Cut(string(raw), " ")
	n, atoi := strconv.Atoi(count)
	if err := errors.Join(err, atoi); err != nil {
		return false, err
	}
	if match, err := path.Match(pattern, name); pattern != "" && (err != nil || !match) {
		return false, err
	}
	if n > 1 {
		return false, arm(kept, file, n-1, pattern)
	}
	return true, os.Remove(filepath.Join(kept, file))
}

// listen has every fsync and fdatasync of this process wait for leave.
func listen() (fd int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 2, K: unix.SYS_FSYNC},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.SYS_FDATASYNC},
		{Code: unix.BPF_RET | unix.BPF_K, K: allowAll},
		{Code: unix.BPF_RET | unix.BPF_K, K: notify},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
	got, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}

// watch keeps what is about to be synced, and then lets it be.
func watch(listener int, data, kept string) {
	for {
		var n notice
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), receive, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // the thread that called has ended
		}
		err := keep(int(n.Args[0]), data, kept)
		a := answer{ID: n.ID, Flags: proceed}
		if errors.Is(err, errFails) {
			a = answer{ID: n.ID, Error: -int32(syscall.EIO)}
		} else if err != nil {
			panic(err) // a sync without a record would make the test blind
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), send, uintptr(unsafe.Pointer(&a)))
	}
}

// errFails says that a sync is to fail.
var errFails = errors.New("the sync fails")

// keep copies the open file, if it is one of data's, in one move: a process that
// is killed meanwhile has the copy of before.
func keep(fd int, data, kept string) (err error) {
	link := "/proc/self/fd/" + strconv.Itoa(fd)
	name, err := os.Readlink(link)
	if err != nil {
		return err
	}
	if inside, err := filepath.Rel(data, name); err != nil || !filepath.IsLocal(inside) {
		return nil
	}
	from, err := os.Open(link)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // only read
	info, err := from.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if dies, err := comes(kept, dieFile, filepath.Base(name)); err != nil {
		return err
	} else if dies {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	if fails, err := comes(kept, failFile, filepath.Base(name)); err != nil {
		return err
	} else if fails {
		return errFails
	}
	at := copyOf(kept, info)
	to, err := os.Create(at + ".new")
	if err != nil {
		return err
	}
	if err := errors.Join(copyData(to, from, info.Size()), to.Close()); err != nil {
		return err
	}
	return os.Rename(at+".new", at)
}

// copyOf is where the copy of a file is: by its inode, which outlives its name.
func copyOf(kept string, info fs.FileInfo) string {
	return filepath.Join(kept, strconv.FormatUint(info.Sys().(*syscall.Stat_t).Ino, 10))
}

// copyData copies what is in the file, not its holes.
func copyData(to, from *os.File, size int64) error {
	for at := int64(0); at < size; {
		begin, err := from.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // only a hole is left
		}
		if err != nil {
			return err
		}
		end, err := from.Seek(begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(to, begin), io.NewSectionReader(from, begin, end-begin)); err != nil {
			return err
		}
		at = end
	}
	return to.Truncate(size)
}

// Drop puts every file below data back to what it held when it was synced last,
// as Record of the process that wrote them kept it; one that never was is empty.
// It returns the names of the files that have lost something.
func Drop(data, kept string) (lost []string, err error) {
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		did, err := restore(path, copyOf(kept, info))
		if did {
			lost = append(lost, filepath.Base(path))
		}
		return err
	})
	return lost, err
}

// restore makes the file what its copy is; it tells whether it was not.
func restore(path, kept string) (bool, error) {
	now, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	synced, err := os.ReadFile(kept)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if string(now) == string(synced) {
		return false, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return false, err
	}
	_, err = file.Write(synced)
	return true, errors.Join(err, file.Close())
}
