package system

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// toolsAt is where the tree of tools is mounted.
const toolsAt = "/run/tools"

// MountTools mounts a squashfs as a tree that programs can run in: with the
// kernel's file systems, and a /tmp of its own. The modules for that are loaded
// now, not before: installs need none of them. The file may not go while it is
// mounted.
func (m *Modules) MountTools(file string) (root string, err error) {
	m.Load("loop", "squashfs")
	device, err := loop(file)
	if err != nil {
		return "", fmt.Errorf("cannot mount the tests' tools: %w", err)
	}
	if err := os.MkdirAll(toolsAt, 0o755); err != nil {
		return "", fmt.Errorf("cannot mount the tests' tools: %w", err)
	}
	if err := unix.Mount(device, toolsAt, "squashfs", unix.MS_RDONLY|unix.MS_NODEV, ""); err != nil {
		return "", fmt.Errorf("cannot mount the tests' tools from %s: %w", device, err)
	}
	for _, m := range []struct {
		from, at, kind string
		flags          uintptr
	}{
		{"/dev", "dev", "", unix.MS_BIND | unix.MS_REC}, {"/proc", "proc", "", unix.MS_BIND | unix.MS_REC}, {"/sys", "sys", "", unix.MS_BIND | unix.MS_REC},
		{"tmpfs", "tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV}, {"tmpfs", "run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		if err := unix.Mount(m.from, filepath.Join(toolsAt, m.at), m.kind, m.flags, ""); err != nil {
			return "", fmt.Errorf("cannot mount %s for the tests' tools: %w", m.at, err)
		}
	}
	return toolsAt, nil
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
