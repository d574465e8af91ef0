package builtin

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// An outbox is what one system call sends, in memory that is made once. Replies
// of one length to one relay, one after the other, go through the kernel as one,
// which cuts them apart at the end (UDP_SEGMENT): the way there costs more than
// they do.
type outbox struct {
	headers [together]header
	groups  [together]group
	parts   [together]unix.Iovec
	to      [together]unix.RawSockaddrLinklayer // or one of IPv4, which is shorter
	control [together][infoSize]byte
	n       int    // of parts
	sends   int    // of headers, which hold one part or more
	source  []byte // from which address and device datagrams go
	apart   bool   // the kernel does not cut
}

// A group is the parts of one header.
type group struct {
	first, size int // size: bytes of each but the last, which may be shorter
	closed      bool
	to          netip.AddrPort // zero: a frame
}

const (
	longestCut = 1200 // bytes of a reply that is sent with others
	sizeInfo   = unix.SizeofCmsghdr + 8
)

func newOutbox(source netip.Addr, device int) *outbox {
	return &outbox{source: (&ipv4.ControlMessage{Src: source.AsSlice(), IfIndex: device}).Marshal()}
}

// full tells whether there is room for no more. A nil one never is.
func (b *outbox) full() bool { return b != nil && b.n == together }

// add adds a datagram. Its bytes must stay until it is sent.
func (b *outbox) add(wire []byte, to netip.AddrPort) {
	if b.joins(wire, to) {
		return
	}
	h := b.next(wire, to)
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(h.Name)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: to.Port()>>8 | to.Port()<<8, Addr: to.Addr().As4()}
	h.Namelen, h.Control = unix.SizeofSockaddrInet4, &b.control[b.sends-1][0]
	h.SetControllen(copy(b.control[b.sends-1][:], b.source))
}

// joins adds the datagram to those of the last header, if it may go with them.
func (b *outbox) joins(wire []byte, to netip.AddrPort) bool {
	if b.sends == 0 || b.apart {
		return false
	}
	h, g := &b.headers[b.sends-1], &b.groups[b.sends-1]
	if g.closed || g.to != to || len(wire) > g.size || g.size > longestCut {
		return false
	}
	g.closed = len(wire) < g.size
	b.part(wire)
	if h.Iovlen++; h.Iovlen == 2 {
		said := b.control[b.sends-1][len(b.source):]
		c := (*unix.Cmsghdr)(unsafe.Pointer(&said[0]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.SizeofCmsghdr + 2)
		binary.NativeEndian.PutUint16(said[unix.SizeofCmsghdr:], uint16(g.size))
		h.SetControllen(len(b.source) + sizeInfo)
	}
	return true
}

// addFrame adds a frame of IPv4 in whole.
func (b *outbox) addFrame(frame []byte, device int) {
	h := b.next(frame, netip.AddrPort{})
	const protocol = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8
	to := &b.to[b.sends-1]
	*to = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: protocol, Ifindex: int32(device), Halen: 6}
	copy(to.Addr[:6], frame)
	h.Namelen, h.Control = unix.SizeofSockaddrLinklayer, nil
	h.SetControllen(0)
}

func (b *outbox) part(wire []byte) {
	b.parts[b.n].Base = &wire[0]
	b.parts[b.n].SetLen(len(wire))
	b.n++
}

func (b *outbox) next(wire []byte, to netip.AddrPort) *header {
	h := &b.headers[b.sends]
	b.groups[b.sends] = group{first: b.n, size: len(wire), to: to}
	h.Iov, h.Name = &b.parts[b.n], (*byte)(unsafe.Pointer(&b.to[b.sends]))
	h.SetIovlen(1)
	b.part(wire)
	b.sends++
	return h
}

// flush sends all by the socket. What cannot be sent is told to failed, by its
// place, and the others have their turn.
func (b *outbox) flush(socket syscall.RawConn, failed func(i int, err error)) {
	sent := 0
	err := socket.Write(func(fd uintptr) bool {
		for sent < b.sends {
			n, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.headers[sent])), uintptr(b.sends-sent), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case 0:
				sent += int(n)
			case syscall.EINTR:
			case syscall.EAGAIN:
				return false
			default:
				b.oneByOne(fd, sent, errno, failed)
				sent++
			}
		}
		return true
	})
	if err != nil && sent < b.sends {
		failed(b.groups[sent].first, err)
	}
	b.n, b.sends = 0, 0
}

// oneByOne sends what a header holds, but could not send together.
func (b *outbox) oneByOne(fd uintptr, i int, why syscall.Errno, failed func(i int, err error)) {
	h, first := b.headers[i].Msghdr, b.groups[i].first
	if h.Iovlen == 1 {
		failed(first, why)
		return
	}
	b.apart = why == syscall.EIO || why == syscall.EINVAL || why == syscall.EOPNOTSUPP
	parts := b.parts[first : first+int(h.Iovlen)]
	h.SetIovlen(1)
	h.SetControllen(len(b.source))
	for k := range parts {
		h.Iov = &parts[k]
		if _, _, errno := syscall.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT); errno != 0 {
			failed(first+k, errno)
		}
	}
}
