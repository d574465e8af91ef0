package system

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// consoleLevel shows what we say (notice and above) on every console of the
// kernel, and leaves out what drivers say.
const consoleLevel = 6

// Console returns a logger whose lines go to the kernel's log, and by that to
// each of its consoles, serial or screen.
func Console() (*slog.Logger, error) {
	// Without this the kernel drops all but a few of our lines.
	if err := os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0); err != nil {
		return nil, fmt.Errorf("cannot open the console: %w", err)
	}
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the console: %w", err)
	}
	_, _ = unix.Klogctl(unix.SYSLOG_ACTION_CONSOLE_LEVEL, make([]byte, consoleLevel))
	return slog.New(slog.NewTextHandler(kmsg{f}, &slog.HandlerOptions{ReplaceAttr: bare})), nil
}

// bare leaves the time to the kernel, which prints its own.
func bare(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// A kmsg writes records to /dev/kmsg: one a write, below 1 KiB, with the
// priority first (Documentation/ABI/testing/dev-kmsg of Linux).
type kmsg struct{ f *os.File }

func (k kmsg) Write(line []byte) (int, error) {
	priority := 5
	for _, row := range []struct {
		mark     string
		priority int
	}{{"level=ERROR", 3}, {"level=WARN", 4}} {
		if bytes.HasPrefix(line, []byte(row.mark)) {
			priority = row.priority
		}
	}
	_, text, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
	record := fmt.Appendf(nil, "<%d>sprout: %s", priority, text)
	if _, err := k.f.Write(record[:min(len(record), 960)]); err != nil {
		return 0, err
	}
	return len(line), nil
}
