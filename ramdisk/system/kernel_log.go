package system

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sprout"
)

// Bounds of what one report tells of the kernel's log.
const (
	mostLines   = 20
	longestLine = 300 // bytes
	warning     = 4   // the severity (syslog(3)) up to which a line is told
)

// A KernelLog reads what the kernel says, from the start of this boot on.
type KernelLog struct {
	file *os.File
	now  func() (time.Duration, error) // since the kernel started
}

// OpenKernelLog opens /dev/kmsg.
func OpenKernelLog() (*KernelLog, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the kernel's log: %w", err)
	}
	return &KernelLog{os.NewFile(uintptr(fd), "/dev/kmsg"), uptime}, nil
}

func uptime() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano()), err
}

// News returns the warnings and errors of the kernel that it has not returned
// before, the oldest first: the newest mostLines of them.
func (k *KernelLog) News() (lines []sprout.ConsoleLine) {
	now, err := k.now()
	if err != nil {
		return nil
	}
	raw, err := k.file.SyscallConn()
	if err != nil {
		return nil
	}
	record := make([]byte, 8<<10) // the kernel's longest (CONSOLE_EXT_LOG_MAX)
	for {
		var n int
		_ = raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), record) }) // Read's error says it
		switch {
		case errors.Is(err, syscall.EPIPE): // records were overwritten before they were read: on with what is left
			continue
		case err != nil || n <= 0:
			return lines
		}
		if line, ok := kernelLine(string(record[:n]), now); ok {
			lines = append(lines, line)
			lines = lines[max(0, len(lines)-mostLines):]
		}
	}
}

// kernelLine reads a record: "priority,sequence,microseconds,flags;text", then
// lines of its properties (Documentation/ABI/testing/dev-kmsg of Linux). Those of
// programs, and those that are no warning, are none.
func kernelLine(record string, now time.Duration) (line sprout.ConsoleLine, ok bool) {
	head, text, found := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !found || len(fields) < 3 {
		return line, false
	}
	priority, err := strconv.Atoi(fields[0])
	if err != nil || priority>>3 != 0 || priority&7 > warning { // facility 0: the kernel's own
		return line, false
	}
	micros, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return line, false
	}
	text, _, _ = strings.Cut(text, "\n")
	at := time.Duration(micros) * time.Microsecond
	return sprout.ConsoleLine{Text: text[:min(len(text), longestLine)], Ago: max(0, (now - at).Seconds())}, true
}
