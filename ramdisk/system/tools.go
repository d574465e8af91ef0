package system

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// MountTools mounts a squashfs as a tree that programs can run in: with the
// kernel's file systems, and a /tmp of its own. The modules for that are loaded
// now, not before: installs need none of them. The file may not go while it is
// mounted.
func (m *Modules) MountTools(file string) (root string, err error) {
	m.Load("loop", "squashfs")
	device, err := loop(file)
	if err != nil {
		return "", fmt.Errorf("cannot mount the tools: %w", err)
	}
	toolsAt, err := os.MkdirTemp("/run", "tools-") // tests and layouts have their own
	if err != nil {
		return "", fmt.Errorf("cannot mount the tools: %w", err)
	}
	if err := unix.Mount(device, toolsAt, "squashfs", unix.MS_RDONLY|unix.MS_NODEV, ""); err != nil {
		return "", fmt.Errorf("cannot mount the tools from %s: %w", device, err)
	}
	for _, m := range []struct {
		from, at, kind string
		flags          uintptr
	}{
		{"/dev", "dev", "", unix.MS_BIND | unix.MS_REC}, {"/proc", "proc", "", unix.MS_BIND | unix.MS_REC}, {"/sys", "sys", "", unix.MS_BIND | unix.MS_REC},
		{"tmpfs", "tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV}, {"tmpfs", "run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		if err := unix.Mount(m.from, filepath.Join(toolsAt, m.at), m.kind, m.flags, ""); err != nil {
			return "", fmt.Errorf("cannot mount %s for the tools: %w", m.at, err)
		}
	}
	return toolsAt, nil
}

// LoadFrom loads modules of the running kernel from a tree of tools, with what they
// need. A tree of another kernel's has none: that is the error.
func (m *Modules) LoadFrom(root string, names ...string) error {
	more, err := readModules(filepath.Join(root, "modules", filepath.Base(m.dir)), m.log)
	if err != nil {
		return fmt.Errorf("the tools are of another kernel than this ramdisk's, %s: %w", filepath.Base(m.dir), err)
	}
	more.Load(names...)
	return nil
}

// loop makes a block device of a file, for as long as this boot.
func loop(file string) (device string, err error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close() //nolint:errcheck // only asked
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", fmt.Errorf("there is no free loop device: %w", err)
	}
	back, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer back.Close() //nolint:errcheck // the device keeps it open
	device = fmt.Sprintf("/dev/loop%d", n)
	dev, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer dev.Close() //nolint:errcheck // the mount uses it
	if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_SET_FD, int(back.Fd())); err != nil {
		return "", fmt.Errorf("%s: %w", device, err)
	}
	return device, nil
}
