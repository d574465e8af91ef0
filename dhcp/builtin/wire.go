package builtin

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"github.com/mdlayher/packet"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"sprout"
)

// listen opens the sockets: UDP on the port, and where there is an interface,
// one for frames to clients that have no address yet.
func (s *Server) listen(ctx context.Context) (*ipv4.PacketConn, *rawSender, error) {
	device := s.config.Interface
	at := netip.AddrPortFrom(s.config.Address, s.config.Port)
	if device != "" {
		// Broadcasts arrive only at the unspecified address.
		at = netip.AddrPortFrom(netip.IPv4Unspecified(), s.config.Port)
	}
	control := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return bindTo(c, device) }}
	udp, err := control.ListenPacket(ctx, "udp4", at.String())
	if err != nil {
		return nil, nil, sprout.Errorf(sprout.Unavailable, "cannot listen for DHCP on %s port %d: %w", device, s.config.Port, err)
	}
	conn := ipv4.NewPacketConn(udp)
	if err := conn.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true); err != nil {
		_ = udp.Close()
		return nil, nil, sprout.Errorf(sprout.Unavailable, "cannot learn where DHCP packets arrive: %w", err)
	}
	if device == "" {
		return conn, nil, nil
	}
	raw, err := newRawSender(device, s.config.Address, s.config.Port)
	if err != nil {
		_ = udp.Close()
		return nil, nil, err
	}
	return conn, raw, nil
}

// bindTo keeps a socket to a device, and lets a new process take the port while
// the old one ends.
func bindTo(c syscall.RawConn, device string) error {
	var err error
	controlErr := c.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil && device != "" {
			err = unix.BindToDevice(int(fd), device)
		}
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// send delivers the reply. Clients that use another port than RFC 2131 says
// are those of tests.
func (s *Server) send(a Answer) error {
	to, raw := a.To.To, s.raw
	if to.Port() == clientPort {
		to = netip.AddrPortFrom(to.Addr(), s.config.ClientPort)
	}
	wire := a.Reply.ToBytes()
	if a.To.Hardware != nil && raw != nil {
		return raw.send(wire, a.To.Hardware, to)
	}
	control := &ipv4.ControlMessage{Src: s.config.Address.AsSlice()}
	if raw != nil {
		control.IfIndex = raw.index
	}
	_, err := s.conn.WriteTo(wire, control, net.UDPAddrFromAddrPort(to))
	return err
}

// A rawSender sends UDP in Ethernet frames that it makes itself.
type rawSender struct {
	conn  *packet.Conn
	index int
	mac   net.HardwareAddr
	ip    [4]byte
	port  uint16
}

// newRawSender opens a packet socket on the device that receives nothing.
func newRawSender(device string, ip netip.Addr, port uint16) (*rawSender, error) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot use interface %s: %w", device, err)
	}
	if len(ifi.HardwareAddr) != 6 {
		return nil, sprout.InvalidField("interface", "cannot serve DHCP on %s: it is not Ethernet", device)
	}
	const receiveNothing = 0
	conn, err := packet.Listen(ifi, packet.Raw, receiveNothing, nil)
	if err != nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot send frames on %s (that needs CAP_NET_RAW): %w", device, err)
	}
	return &rawSender{conn: conn, index: ifi.Index, mac: ifi.HardwareAddr, ip: ip.As4(), port: port}, nil
}

func (r *rawSender) close() {
	if r != nil {
		_ = r.conn.Close()
	}
}

// send sends the payload to a client's port at an address that it does not
// have yet.
func (r *rawSender) send(payload []byte, mac net.HardwareAddr, to netip.AddrPort) error {
	_, err := r.conn.WriteTo(r.frame(payload, mac, to), &packet.Addr{HardwareAddr: mac})
	return err
}

// frame writes Ethernet, IPv4 (RFC 791) and UDP (RFC 768) around the payload.
func (r *rawSender) frame(payload []byte, mac net.HardwareAddr, to netip.AddrPort) []byte {
	const ethernet, ip, udp = 14, 20, 8
	b := make([]byte, ethernet+ip+udp, ethernet+ip+udp+len(payload))
	copy(b, mac)
	copy(b[6:], r.mac)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)
	h, dst := b[ethernet:], to.Addr().As4()
	h[0] = 0x45
	h[1] = 0x10 // low delay
	binary.BigEndian.PutUint16(h[2:], uint16(ip+udp+len(payload)))
	h[8], h[9] = 64, unix.IPPROTO_UDP
	copy(h[12:], r.ip[:])
	copy(h[16:], dst[:])
	binary.BigEndian.PutUint16(h[10:], ^sum(0, h[:ip]))
	u := h[ip:]
	binary.BigEndian.PutUint16(u, r.port)
	binary.BigEndian.PutUint16(u[2:], to.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(udp+len(payload)))
	pseudo := uint32(unix.IPPROTO_UDP) + uint32(udp+len(payload))
	check := ^sum(uint32(sum(uint32(sum(pseudo, h[12:20])), u[:udp])), payload)
	if check == 0 {
		check = 0xffff // zero means none
	}
	binary.BigEndian.PutUint16(u[6:], check)
	return append(b, payload...)
}

// sum is the ones' complement sum of RFC 1071.
func sum(n uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		n += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		n += uint32(b[0]) << 8
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}
