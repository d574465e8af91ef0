package builtin

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	together   = 64   // packets of one system call, at most
	packetSize = 1500 // bytes of a packet that is read
	infoSize   = 64   // bytes of what the kernel says besides
)

// A header is the kernel's struct mmsghdr.
type header struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// An inbox is what one system call reads, in memory that is made once: nothing
// is allocated for a packet. (x/net's ReadBatch makes a net.UDPAddr of each.)
type inbox struct {
	headers [together]header
	parts   [together]unix.Iovec
	from    [together]unix.RawSockaddrInet4
	info    [together][infoSize]byte
	data    [together][packetSize]byte
}

func newInbox() *inbox {
	b := new(inbox)
	for i := range b.headers {
		h := &b.headers[i]
		b.parts[i].Base = &b.data[i][0]
		b.parts[i].SetLen(packetSize)
		h.Iov, h.Name, h.Control = &b.parts[i], (*byte)(unsafe.Pointer(&b.from[i])), &b.info[i][0]
		h.SetIovlen(1)
	}
	return b
}

// receive reads what has come, one packet at least, without waiting.
func (b *inbox) receive(fd uintptr) (n int, errno syscall.Errno) {
	for i := range b.headers {
		b.headers[i].Namelen = unix.SizeofSockaddrInet4
		b.headers[i].SetControllen(infoSize)
	}
	r, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.headers[0])), together, unix.MSG_DONTWAIT, 0, 0)
	return int(r), errno
}

// datagram is the i-th packet, until the next are received.
func (b *inbox) datagram(i int) datagram {
	h, from := &b.headers[i], &b.from[i]
	d := datagram{
		wire: b.data[i][:min(h.n, packetSize)],
		from: netip.AddrPortFrom(netip.AddrFrom4(from.Addr), from.Port>>8|from.Port<<8),
	}
	const to = unix.SizeofCmsghdr + 8 // of struct in_pktinfo: its third field
	if said := b.info[i][:min(h.Controllen, infoSize)]; len(said) >= unix.SizeofCmsghdr+unix.SizeofInet4Pktinfo {
		if c := (*unix.Cmsghdr)(unsafe.Pointer(&said[0])); c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO {
			d.to = netip.AddrFrom4([4]byte(said[to:]))
		}
	}
	return d
}

// An outbox is what one system call sends, in memory that is made once.
type outbox struct {
	headers [together]header
	parts   [together]unix.Iovec
	to      [together]unix.RawSockaddrLinklayer // or one of IPv4, which is shorter
	n       int
	info    []byte // from which address and device datagrams go
}

func newOutbox(source netip.Addr, device int) *outbox {
	return &outbox{info: (&ipv4.ControlMessage{Src: source.AsSlice(), IfIndex: device}).Marshal()}
}

// full tells whether there is room for no more. A nil one never is.
func (b *outbox) full() bool { return b != nil && b.n == together }

// add adds a datagram. Its bytes must stay until it is sent.
func (b *outbox) add(wire []byte, to netip.AddrPort) {
	h := b.next(wire)
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(&b.to[b.n])) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: to.Port()>>8 | to.Port()<<8, Addr: to.Addr().As4()}
	h.Namelen, h.Control = unix.SizeofSockaddrInet4, &b.info[0]
	h.SetControllen(len(b.info))
	b.n++
}

// addFrame adds a frame of IPv4 in whole.
func (b *outbox) addFrame(frame []byte, device int) {
	h := b.next(frame)
	const protocol = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8
	b.to[b.n] = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: protocol, Ifindex: int32(device), Halen: 6}
	copy(b.to[b.n].Addr[:6], frame)
	h.Namelen, h.Control = unix.SizeofSockaddrLinklayer, nil
	h.SetControllen(0)
	b.n++
}

func (b *outbox) next(wire []byte) *header {
	h := &b.headers[b.n]
	b.parts[b.n].Base = &wire[0]
	b.parts[b.n].SetLen(len(wire))
	h.Iov, h.Name = &b.parts[b.n], (*byte)(unsafe.Pointer(&b.to[b.n]))
	h.SetIovlen(1)
	return h
}

// flush sends all by the socket. What cannot be sent is told to failed, by its
// place, and the others have their turn.
func (b *outbox) flush(socket syscall.RawConn, failed func(i int, err error)) {
	sent := 0
	err := socket.Write(func(fd uintptr) bool {
		for sent < b.n {
			n, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.headers[sent])), uintptr(b.n-sent), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case 0:
				sent += int(n)
			case syscall.EINTR:
			case syscall.EAGAIN:
				return false
			default:
				failed(sent, errno)
				sent++
			}
		}
		return true
	})
	if err != nil && sent < b.n {
		failed(sent, err)
	}
	b.n = 0
}
