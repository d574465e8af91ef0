package builtin6

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"sprout"
)

// The groups that a server hears (RFC 8415 section 7.1): clients and relays of
// the link, and relays of the site.
var groups = []net.IP{net.ParseIP("ff02::1:2"), net.ParseIP("ff05::1:3")}

// listen opens the socket. Without an interface it hears relays that know the
// address; index is 0.
func (s *Server) listen(ctx context.Context) (conn *ipv6.PacketConn, index int, err error) {
	device := s.config.Interface
	at := netip.AddrPortFrom(s.config.Address, s.config.Port)
	if device != "" {
		at = netip.AddrPortFrom(netip.IPv6Unspecified(), s.config.Port) // groups arrive only there
	}
	control := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return bindTo(c, device) }}
	udp, err := control.ListenPacket(ctx, "udp6", at.String())
	if err != nil {
		return nil, 0, sprout.Errorf(sprout.Unavailable, "cannot listen for DHCPv6 on %s port %d: %w", device, s.config.Port, err)
	}
	conn = ipv6.NewPacketConn(udp)
	if index, err = join(conn, device); err != nil {
		_ = udp.Close()
		return nil, 0, sprout.Errorf(sprout.Unavailable, "cannot hear DHCPv6 clients on %s: %w", device, err)
	}
	return conn, index, nil
}

func join(conn *ipv6.PacketConn, device string) (int, error) {
	if err := conn.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true); err != nil || device == "" {
		return 0, err
	}
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return 0, err
	}
	for _, group := range groups {
		if err := conn.JoinGroup(ifi, &net.UDPAddr{IP: group}); err != nil {
			return 0, err
		}
	}
	return ifi.Index, nil
}

// bindTo keeps a socket to a device, and lets a new process take the port while
// the old one ends.
func bindTo(c syscall.RawConn, device string) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil && device != "" {
			err = unix.BindToDevice(int(fd), device)
		}
	})
	return errors.Join(controlErr, err)
}

// send delivers the reply: to a client from the interface's link-local address,
// which the kernel picks, to a relay from the address that it asked.
func (s *Server) send(a Answer) error {
	to, control := a.To, &ipv6.ControlMessage{IfIndex: s.index}
	if to.Port() == clientPort {
		to = netip.AddrPortFrom(to.Addr(), s.config.ClientPort)
	}
	if a.From.IsValid() {
		control.Src = a.From.AsSlice()
	}
	_, err := s.conn.WriteTo(a.Reply.ToBytes(), control, net.UDPAddrFromAddrPort(to))
	return err
}
