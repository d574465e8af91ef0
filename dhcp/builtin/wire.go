package builtin

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"sprout"
)

// listen opens the sockets: UDP on the port, and where there is an interface,
// one for frames to clients that have no address yet.
func (s *Server) listen(ctx context.Context) error {
	device := s.config.Interface
	at := netip.AddrPortFrom(s.config.Address, s.config.Port)
	if device != "" {
		// Broadcasts arrive only at the unspecified address.
		at = netip.AddrPortFrom(netip.IPv4Unspecified(), s.config.Port)
	}
	control := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return prepare(c, device) }}
	udp, err := control.ListenPacket(ctx, "udp4", at.String())
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot listen for DHCP on %s port %d: %w", device, s.config.Port, err)
	}
	s.conn = udp.(*net.UDPConn)
	if s.socket, err = s.conn.SyscallConn(); err == nil && device != "" {
		s.raw, err = newRawSender(device, s.config.Address, s.config.Port)
	}
	if err != nil {
		_ = udp.Close()
	}
	return err
}

// receiveBuffer is what the kernel keeps of packets while all processors are
// busy: about a tenth of a second of a site that is powered on at once.
const receiveBuffer = 4 << 20

// prepare keeps a socket to a device, has it tell where packets were sent to,
// lets a new process take the port while the old one ends, and gives it a large
// buffer: beyond the host's limit where that is allowed.
func prepare(c syscall.RawConn, device string) error {
	var err error
	controlErr := c.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil && device != "" {
			err = unix.BindToDevice(int(fd), device)
		}
		if err == nil {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
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

// A post is what one goroutine sends replies with.
type post struct {
	datagrams, frames     *outbox
	toAddress, toHardware []*outgoing // what is in them
}

func (s *Server) newPost() *post {
	p := &post{datagrams: newOutbox(s.config.Address, 0)}
	if s.raw != nil {
		p.datagrams, p.frames = newOutbox(s.config.Address, s.raw.index), newOutbox(s.config.Address, s.raw.index)
	}
	return p
}

// send delivers replies, many by one system call. What cannot be sent is logged:
// the client asks again.
func (s *Server) send(p *post, all []*outgoing) {
	for _, o := range all {
		switch {
		case !o.replies:
			continue
		case o.framed && s.raw != nil:
			o.frame = s.raw.frame(o.frame[:0], o.wire, o.hardware[:], s.translated(o.to))
			p.frames.addFrame(o.frame, s.raw.index)
			p.toHardware = append(p.toHardware, o)
		default:
			p.datagrams.add(o.wire, s.translated(o.to))
			p.toAddress = append(p.toAddress, o)
		}
		if p.datagrams.full() || p.frames.full() {
			s.flush(p)
		}
	}
	s.flush(p)
}

// flush sends what waits in p.
func (s *Server) flush(p *post) {
	failed := func(all []*outgoing) func(int, error) {
		return func(i int, err error) {
			s.config.Log.Warn("cannot send a reply", "client", all[i].key, "to", all[i].to, "error", err)
		}
	}
	if len(p.toAddress) > 0 {
		p.datagrams.flush(s.socket, failed(p.toAddress))
	}
	if len(p.toHardware) > 0 {
		p.frames.flush(s.raw.socket, failed(p.toHardware))
	}
	p.toAddress, p.toHardware = p.toAddress[:0], p.toHardware[:0]
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
	conn   *packet.Conn
	socket syscall.RawConn // of conn
	index  int
	mac    net.HardwareAddr
	ip     [4]byte
	port   uint16
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
	socket, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &rawSender{conn: conn, socket: socket, index: ifi.Index, mac: ifi.HardwareAddr, ip: ip.As4(), port: port}, nil
}

func (r *rawSender) close() {
	if r != nil {
		_ = r.conn.Close()
	}
}

// frame appends Ethernet, IPv4 (RFC 791) and UDP (RFC 768) around the payload,
// for a client's port at an address that it does not have yet, to an empty b.
func (r *rawSender) frame(b, payload []byte, mac net.HardwareAddr, to netip.AddrPort) []byte {
	const ethernet, ip, udp = 14, 20, 8
	b = append(b, make([]byte, ethernet+ip+udp)...)
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
