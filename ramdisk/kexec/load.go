package kexec

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystems are those that are looked into, and the options by which looking changes
// nothing, not even where a journal is to be replayed (mount(8)).
var fileSystems = []struct{ kind, options string }{{"ext4", "noload"}, {"xfs", "norecovery"}}

// Load finds the system that is installed on a disk, and has the next reboot with
// LINUX_REBOOT_CMD_KEXEC start it. It returns what that is, and leaves the disk as it is.
// A kernel that is locked down refuses what is not signed.
func Load(dev, disk string) (what string, err error) {
	parts, err := partitions(disk)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("/run", "kexec-")
	if err != nil {
		return "", err
	}
	defer os.Remove(dir) //nolint:errcheck // it is in memory
	why := errNone
	for _, part := range parts {
		what, err := loadFrom(filepath.Join(dev, part), dir)
		switch {
		case err == nil:
			return what + " of " + part, nil
		case !errors.Is(err, errNone):
			why = fmt.Errorf("%s: %w", part, err)
		}
	}
	return "", why
}

// partitions are the names of a disk's, in their order.
func partitions(disk string) (names []string, err error) {
	found, err := filepath.Glob("/sys/class/block/" + disk + "/" + disk + "*/partition")
	if err != nil {
		return nil, err
	}
	number := map[string]int{}
	for _, file := range found {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(filepath.Dir(file))
		if number[name], err = strconv.Atoi(strings.TrimSpace(string(raw))); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the kernel knows no partitions of %s", disk)
	}
	slices.SortFunc(names, func(a, b string) int { return number[a] - number[b] })
	return names, nil
}

// loadFrom loads what a partition's file system has; errNone: it has nothing to start.
func loadFrom(device, dir string) (string, error) {
	if !mount(device, dir) {
		return "", errNone
	}
	defer unix.Unmount(dir, unix.MNT_DETACH) //nolint:errcheck // it is read alone
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close() //nolint:errcheck // only read
	e, err := Find(root)
	if err != nil {
		return "", err
	}
	return e.Kernel, e.load(root)
}

func mount(device, dir string) bool {
	for _, f := range fileSystems {
		if unix.Mount(device, dir, f.kind, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, f.options) == nil {
			return true
		}
	}
	return false
}

// load hands the kernel and its initrd to the one that runs.
func (e Entry) load(root *os.Root) error {
	kernel, err := root.Open(strings.TrimLeft(e.Kernel, "/"))
	if err != nil {
		return err
	}
	defer kernel.Close() //nolint:errcheck // only read
	flags, initrd := unix.KEXEC_FILE_NO_INITRAMFS, -1
	if len(e.Initrds) > 0 {
		whole, err := e.initrd(root)
		if err != nil {
			return err
		}
		defer whole.Close() //nolint:errcheck // the kernel has read it
		flags, initrd = 0, int(whole.Fd())
	}
	if err := unix.KexecFileLoad(int(kernel.Fd()), initrd, e.Cmdline, flags); err != nil {
		return fmt.Errorf("the kernel does not load %s: %w", e.Kernel, err)
	}
	return nil
}

// initrd is the one, or several as one: the kernel unpacks what follows each other
// (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
func (e Entry) initrd(root *os.Root) (*os.File, error) {
	if len(e.Initrds) == 1 {
		return root.Open(strings.TrimLeft(e.Initrds[0], "/"))
	}
	fd, err := unix.MemfdCreate("initrd", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	whole := os.NewFile(uintptr(fd), "initrd")
	for _, name := range e.Initrds {
		if err := add(whole, root, name); err != nil {
			_ = whole.Close()
			return nil, err
		}
	}
	return whole, nil
}

func add(to io.Writer, root *os.Root, name string) error {
	f, err := root.Open(strings.TrimLeft(name, "/"))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	n, err := io.Copy(to, f)
	if err == nil {
		_, err = to.Write(make([]byte, -n&3)) // each begins at a word
	}
	return err
}
