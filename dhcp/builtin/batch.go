package builtin

import (
	"net/netip"
	"syscall"
	"unsafe"

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
