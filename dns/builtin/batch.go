package builtin

import (
	"fmt"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sprout/dns/zone"
)

// A batch is one system call's worth of datagrams, in memory that is made once and
// outside of the heap: of 350 KB a site that is asked now and then uses some pages.
// The addresses stay as the kernel wrote them: what is answered goes back where
// it came from, and nothing is parsed or allocated on the way. (x/net's
// ReadBatch makes a net.UDPAddr of each.)
type batch struct {
	in   [batchSize]header
	out  [batchSize]header
	iov  [2 * batchSize]unix.Iovec
	from [batchSize]unix.RawSockaddrInet6 // holds one of IPv4 too
	info [batchSize][infoLen]byte         // where it was sent to, if the socket has several addresses
	get  [batchSize][queryLen]byte
	put  [batchSize][zone.MaxUDP]byte
}

const (
	batchSize = 64
	queryLen  = 4096 // octets of a datagram: updates are longer than queries
	infoLen   = 64
)

// A header is the kernel's struct mmsghdr.
type header struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// newBatch makes a batch; info: the socket tells where datagrams were sent to. It is
// gone after free.
func newBatch(info bool) (b *batch, free func(), err error) {
	pages, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(*b)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot get memory for datagrams: %w", err)
	}
	b = (*batch)(unsafe.Pointer(&pages[0]))
	for i := range batchSize {
		get, put := &b.iov[i], &b.iov[batchSize+i]
		get.Base, put.Base = &b.get[i][0], &b.put[i][0]
		get.SetLen(queryLen)
		b.in[i].Iov, b.out[i].Iov = get, put
		b.in[i].SetIovlen(1)
		b.out[i].SetIovlen(1)
		b.in[i].Name = (*byte)(unsafe.Pointer(&b.from[i]))
		if info {
			b.in[i].Control = &b.info[i][0]
		}
	}
	return b, func() { _ = unix.Munmap(pages) }, nil
}

// receive takes what has come, at least one datagram, without waiting.
func (b *batch) receive(fd uintptr) (int, syscall.Errno) {
	for i := range b.in {
		b.in[i].Namelen = unix.SizeofSockaddrInet6
		if b.in[i].Control != nil {
			b.in[i].SetControllen(infoLen)
		}
	}
	n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// answer makes the k-th datagram to send of n octets in put[k], for the i-th
// that came.
func (b *batch) answer(k, i, n int) {
	out, in := &b.out[k], &b.in[i]
	out.Iov.SetLen(n)
	out.Name, out.Namelen = in.Name, in.Namelen
	out.Control, out.Controllen = nil, 0
	if in.Controllen > 0 && in.Control != nil {
		sameSource(b.info[i][:in.Controllen])
		out.Control, out.Controllen = in.Control, in.Controllen
	}
}

// send sends from the first on, without waiting, and returns how many went.
func (b *batch) send(fd uintptr, first, n int) (int, syscall.Errno) {
	sent, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.out[first])), uintptr(n-first), unix.MSG_DONTWAIT, 0, 0)
	return int(sent), errno
}

// sameSource turns where a datagram was sent to into where its answer is sent
// from. It leaves the way back to the routes, but for link-local addresses.
func sameSource(info []byte) {
	if len(info) < unix.SizeofCmsghdr {
		return
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&info[0]))
	data := info[unix.SizeofCmsghdr:]
	switch {
	case h.Level == unix.IPPROTO_IP && len(data) >= unix.SizeofInet4Pktinfo:
		clear(data[:4])
	case h.Level == unix.IPPROTO_IPV6 && len(data) >= unix.SizeofInet6Pktinfo && (data[0] != 0xfe || data[1]&0xc0 != 0x80):
		clear(data[16:20])
	}
}

// client is who sent the i-th datagram.
func (b *batch) client(i int) netip.AddrPort {
	s := &b.from[i]
	port := uint16(s.Port>>8 | s.Port<<8)
	if s.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), port)
}

// zoned is client with the interface of a link-local address.
func (b *batch) zoned(i int) netip.AddrPort {
	at := b.client(i)
	if scope := b.from[i].Scope_id; at.Addr().Is6() && scope != 0 {
		return netip.AddrPortFrom(at.Addr().WithZone(strconv.Itoa(int(scope))), at.Port())
	}
	return at
}
