package builtin

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Limits says how much clients may take up (RFC 7766 section 6.2, RFC 9210
// section 4). Zero fields are the usual.
type Limits struct {
	Idle    time.Duration // that a TCP connection may take to say a message; 0: 10 s
	Write   time.Duration // that a client may take to read an answer; 0: 20 s
	Clients int           // TCP connections at once; 0: 256
	OfOne   int           // of them of one address; 0: 32
	Notify  time.Duration // that a secondary is given to acknowledge, and waited before it is told again, then twice as long each time; 0: 2 s
}

func (l Limits) withDefaults() Limits {
	return Limits{
		cmp.Or(l.Idle, 10*time.Second), cmp.Or(l.Write, 20*time.Second), cmp.Or(l.Clients, 256), cmp.Or(l.OfOne, 32), cmp.Or(l.Notify, 2*time.Second),
	}
}

const maxMessageLen = 1 << 16

// conns are the open connections, so that they can be counted and closed.
type conns struct {
	most, ofOne int

	mu  sync.Mutex
	all map[net.Conn]netip.Addr
	of  map[netip.Addr]int
}

// enter counts a connection in; false: there are too many.
func (c *conns) enter(conn net.Conn, from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= c.most || c.of[from] >= c.ofOne {
		return false
	}
	c.all[conn] = from
	c.of[from]++
	return true
}

func (c *conns) leave(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := c.all[conn]
	delete(c.all, conn)
	if c.of[from]--; c.of[from] <= 0 {
		delete(c.of, from)
	}
}

// closeAll ends every connection.
func (c *conns) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.all {
		_ = conn.Close()
	}
}

// serveTCP accepts connections until the listener is closed.
func (s *Server) serveTCP(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if !s.conns.enter(conn, from.Addr()) {
			_ = conn.Close()
			continue
		}
		s.running.Go(func() {
			defer s.conns.leave(conn)
			defer conn.Close()
			s.serveConn(ctx, conn, from)
		})
	}
}

// serveConn answers the queries of a connection, in order, until it is idle or
// what comes is no message.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, from netip.AddrPort) {
	reader := s.config.Zones.NewReader()
	in, out := make([]byte, 0, 512), make([]byte, 2+maxMessageLen-1)
	x := &exchange{client: from, tcp: true}
	x.send = func(m []byte) error {
		_ = conn.SetWriteDeadline(time.Now().Add(s.config.Limits.Write))
		_, err := conn.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(m)), uint16(len(m))), m...))
		return err
	}
	for ctx.Err() == nil {
		_ = conn.SetReadDeadline(time.Now().Add(s.config.Limits.Idle))
		var err error
		if in, err = readMessage(conn, in[:0]); err != nil {
			return
		}
		reader.Lock()
		n := reader.Respond(in, out[2:], false)
		reader.Unlock()
		if n == 0 {
			x.wire = in
			if !s.handle(ctx, x) {
				return
			}
			continue
		}
		binary.BigEndian.PutUint16(out, uint16(n))
		_ = conn.SetWriteDeadline(time.Now().Add(s.config.Limits.Write))
		if _, err := conn.Write(out[:2+n]); err != nil {
			return
		}
	}
}

// readMessage reads one message behind its length (RFC 1035 section 4.2.2).
func readMessage(r io.Reader, buf []byte) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return buf, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if cap(buf) < n {
		buf = make([]byte, 0, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(r, buf)
	return buf, err
}
