package system

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Watch listens to what the kernel says of new devices and loads their drivers,
// until the context ends. Listening has begun when it calls ready, so that
// nothing is missed between Coldplug and it.
func (m *Modules) Watch(ctx context.Context, ready func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("cannot hear of new devices: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // only waited on
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	timeout := unix.NsecToTimeval(int64(200 * time.Millisecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return fmt.Errorf("cannot hear of new devices: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		return fmt.Errorf("cannot hear of new devices: %w", err)
	}
	ready()
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot hear of new devices: %w", err)
		}
		m.event(string(buf[:n]))
	}
	return nil
}

// event takes one message: the first line, then KEY=value, each ended by a zero.
func (m *Modules) event(message string) {
	if !strings.HasPrefix(message, "add@") {
		return
	}
	select {
	case m.stir <- struct{}{}:
	default:
	}
	for field := range strings.SplitSeq(message, "\x00") {
		if modalias, ok := strings.CutPrefix(field, "MODALIAS="); ok {
			m.Load(m.Match(modalias)...)
		}
	}
}
