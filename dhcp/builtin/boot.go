package builtin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// listenBoot opens the port of boot servers. Where it cannot be had, or none is
// wanted, it returns nil: what to boot is said in offers only.
func (s *Server) listenBoot(ctx context.Context) net.PacketConn {
	if s.config.BootPort == 0 {
		return nil
	}
	at := netip.AddrPortFrom(s.config.Address, s.config.BootPort) // it is asked by unicast
	control := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return prepare(c, s.config.Interface) }}
	conn, err := control.ListenPacket(ctx, "udp4", at.String())
	if err != nil {
		s.config.Log.Warn("no boot server is run for firmware that asks a proxy twice", "at", at, "error", err)
		return nil
	}
	return conn
}

// serveBoot begins to answer firmware that asks a boot server. The function that
// it returns ends that, and waits for it; ctx ends it too.
func (s *Server) serveBoot(ctx context.Context) (end func()) {
	conn := s.listenBoot(ctx)
	if conn == nil {
		return func() {}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var serving sync.WaitGroup
	serving.Go(func() { s.readBoot(conn) })
	return func() {
		stop()
		_ = conn.Close()
		serving.Wait()
	}
}

// readBoot answers until the socket is closed.
func (s *Server) readBoot(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for failures := 0; failures < maxReadFailures; {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failures++
			continue
		}
		failures = 0
		s.bootServer(conn, append([]byte(nil), buf[:n]...), from.(*net.UDPAddr).AddrPort())
	}
}

// bootServer answers one packet. It changes no lease.
func (s *Server) bootServer(conn net.PacketConn, wire []byte, from netip.AddrPort) {
	came := s.config.Now()
	r, err := Parse(wire, from, s.config.Address)
	if err != nil {
		s.config.Log.Debug("dropped a packet", "error", err)
		return
	}
	r.Boot = true
	a := Decide(r, s.site())
	if a.Reply != nil {
		if _, err := conn.WriteTo(appendMessage(nil, a.Reply), net.UDPAddrFromAddrPort(a.To.To)); err != nil {
			s.config.Log.Warn("cannot send a reply", "client", a.Key, "to", a.To, "error", err)
			return
		}
	}
	out := s.blank()
	out.mac = r.MAC()
	s.note(out, r, &a, came)
	s.tell(out)
	s.outgo.Put(out)
}
