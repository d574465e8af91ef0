package sshd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo terminal (pty(7)).
type terminal struct{ master, slave *os.File }

// openTerminal opens a new pseudo terminal. The file system of terminals must be
// mounted at /dev/pts (Documentation/filesystems/devpts.rst of Linux).
func openTerminal() (*terminal, error) {
	// Not blocking, so that closing it ends a read that waits.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	var slave *os.File
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		_ = master.Close()
		return nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	return &terminal{master, slave}, nil
}

func (t *terminal) resize(columns, rows uint32) {
	raw, err := t.master.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)})
	})
}

// hangUp ends the terminal: its programs are told by SIGHUP.
func (t *terminal) hangUp() {
	_ = t.slave.Close()
	_ = t.master.Close()
}
