package builtin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// receiveBuffer is how many bytes of datagrams a socket keeps until they are
// read: a rack that starts asks all at once.
const receiveBuffer = 4 << 20

// listenUDP opens one of several sockets of an address: the kernel spreads
// clients over them.
func listenUDP(ctx context.Context, at netip.AddrPort) (*net.UDPConn, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		fails := raw.Control(func(fd uintptr) { err = prepare(int(fd), at.Addr()) })
		return errors.Join(fails, err)
	}}
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	conn, err := c.ListenPacket(ctx, network, at.String())
	if err != nil {
		return nil, err
	}
	udp := conn.(*net.UDPConn)
	_ = udp.SetReadBuffer(receiveBuffer) // a smaller one serves too
	return udp, nil
}

// prepare sets the options of a socket. One of all the host's addresses tells
// which one a datagram was sent to: its answer comes from there.
func prepare(fd int, at netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err
	}
	switch {
	case !at.IsUnspecified():
		return nil
	case at.Is4():
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
}

// serveUDP answers what comes to a socket until it is closed.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn, info bool) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	batch, free, err := newBatch(info)
	if err != nil {
		return err
	}
	defer free()
	u := &udpLoop{server: s, conn: conn, raw: raw, batch: batch, reader: s.config.Zones.NewReader()}
	receive := func(fd uintptr) bool {
		u.came, u.errno = u.batch.receive(fd)
		return u.errno != syscall.EAGAIN
	}
	for {
		if err := raw.Read(receive); err != nil {
			return err
		}
		switch u.errno {
		case 0:
			u.answer(ctx)
		case syscall.EINTR, syscall.ENOMEM, syscall.ENOBUFS, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH:
		default:
			return u.errno
		}
	}
}

// A udpLoop is what one socket's goroutine works with.
type udpLoop struct {
	server *Server
	conn   *net.UDPConn
	raw    syscall.RawConn
	batch  *batch
	reader interface {
		Lock()
		Unlock()
		Respond(m, out []byte, udp bool) int
	}
	came, ready, sent int
	errno             syscall.Errno
}

// answer answers the batch: ordinary queries at once, others elsewhere.
func (u *udpLoop) answer(ctx context.Context) {
	b := u.batch
	u.ready, u.sent = 0, 0
	u.reader.Lock()
	for i := range u.came {
		m := b.get[i][:min(b.in[i].n, queryLen)]
		if n := u.reader.Respond(m, b.put[u.ready][:], true); n > 0 {
			b.answer(u.ready, i, n)
			u.ready++
			continue
		}
		u.hand(ctx, i, m)
	}
	u.reader.Unlock()
	if u.ready > 0 {
		_ = u.raw.Write(u.send) // closed: the next read says so
	}
}

// send sends what is ready; false: the socket takes no more now.
func (u *udpLoop) send(fd uintptr) bool {
	for u.sent < u.ready {
		n, errno := u.batch.send(fd, u.sent, u.ready)
		switch {
		case errno == syscall.EAGAIN:
			return false
		case errno == syscall.EINTR:
		case errno != 0:
			u.sent++ // whoever cannot be reached asks again
		default:
			u.sent += n
		}
	}
	return true
}

// hand gives the i-th datagram to a goroutine of its own, if one is free: who
// floods the name server with odd queries is not answered them.
func (u *udpLoop) hand(ctx context.Context, i int, m []byte) {
	s := u.server
	select {
	case s.slow <- struct{}{}:
	default:
		return
	}
	x := &exchange{wire: append([]byte(nil), m...), client: u.batch.client(i), send: u.reply(i)}
	s.running.Go(func() {
		defer func() { <-s.slow }()
		s.handle(ctx, x)
	})
}

// reply makes the function that answers the i-th datagram.
func (u *udpLoop) reply(i int) func([]byte) error {
	in := u.batch.in[i]
	var info []byte
	if in.Control != nil && in.Controllen > 0 {
		info = append(info, u.batch.info[i][:in.Controllen]...)
		sameSource(info)
	}
	to := net.UDPAddrFromAddrPort(u.batch.zoned(i))
	return func(m []byte) error {
		_, _, err := u.conn.WriteMsgUDP(m, info, to)
		return err
	}
}
