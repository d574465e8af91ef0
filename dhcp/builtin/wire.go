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

// receiveBuffer is what the kernel keeps of packets while all processors are
// busy: about a tenth of a second of a site that is powered on at once.
const receiveBuffer = 4 << 20

// bindTo keeps a socket to a device, lets a new process take the port while the
// old one ends, and gives it a large buffer: beyond the host's limit where that
// is allowed.
func bindTo(c syscall.RawConn, device string) error {
	var err error
	controlErr := c.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil && device != "" {
			err = unix.BindToDevice(int(fd), device)
		}
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // less is no failure
		}
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// send delivers replies: frames one by one, the others together. What cannot be
// sent is logged: the client asks again.
func (s *Server) send(all []outgoing) {
	control := &ipv4.ControlMessage{Src: s.config.Address.AsSlice()}
	if s.raw != nil {
		control.IfIndex = s.raw.index
	}
	oob := control.Marshal()
	messages := make([]ipv4.Message, 0, len(all))
	for i := range all {
		if all[i].Reply == nil {
			continue
		}
		to, wire := s.translated(all[i].Answer.To.To), appendMessage(make([]byte, 0, 512), all[i].Reply)
		if all[i].Answer.To.Hardware == nil || s.raw == nil {
			messages = append(messages, ipv4.Message{Buffers: [][]byte{wire}, OOB: oob, Addr: net.UDPAddrFromAddrPort(to)})
		} else if err := s.raw.send(wire, all[i].Answer.To.Hardware, to); err != nil {
			s.config.Log.Warn("cannot send a reply", "client", all[i].Key, "to", to, "error", err)
		}
	}
	for len(messages) > 0 {
		n, err := s.conn.WriteBatch(messages, 0)
		if err != nil {
			s.config.Log.Warn("cannot send a reply", "to", messages[0].Addr, "error", err)
			n = 1 // the first is why: the others have their turn
		}
		messages = messages[n:]
	}
}

// translated is where a client is whose port is not that of RFC 2131: in tests.
func (s *Server) translated(to netip.AddrPort) netip.AddrPort {
	if to.Port() == clientPort {
		return netip.AddrPortFrom(to.Addr(), s.config.ClientPort)
	}
	return to
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
