package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Blocks are sent as many as the kernel takes with one call: it cuts them apart
// (UDP_SEGMENT, man 7 udp; Linux 4.18). These are its bounds.
const (
	mostSegments = 64
	mostBytes    = 65507 // of one call: RFC 768's length less the headers
)

// readAhead is how much of the file is read at once, in bytes, where blocks are
// smaller.
const readAhead = 64 << 10

// blocks makes DATA packets of a file, and sends them.
type blocks struct {
	file  File
	name  string
	size  int64  // of the file, bytes
	block int    // bytes
	burst int    // how many go with one call
	buf   []byte // the packets of one call
	ahead []byte // a piece of the file
	begin int64  // where in the file it begins
	cut   []byte // the control message that has the kernel cut
}

func newBlocks(file File, r request) *blocks {
	b := &blocks{file: file, name: r.file, size: file.Size(), block: r.block}
	b.burst = max(1, min(r.window, mostSegments, mostBytes/b.packet()))
	b.buf = make([]byte, b.burst*b.packet())
	b.ahead = make([]byte, 0, max(readAhead, b.block))
	b.cut = segment(b.packet())
	return b
}

// packet is how long a full one is.
func (b *blocks) packet() int { return 4 + b.block }

// last is the number of the last block, which is shorter than the others.
func (b *blocks) last() int64 { return b.size/int64(b.block) + 1 }

// send sends blocks first to last with as few calls as there can be. A packet
// that finds the queue full is lost, as on the wire.
func (b *blocks) send(conn *net.UDPConn, first, last int64) error {
	for first <= last {
		n := min(last-first+1, int64(b.burst))
		packets, err := b.pack(first, n)
		if err != nil {
			return err
		}
		if n == 1 {
			_, err = conn.Write(packets)
		} else {
			_, _, err = conn.WriteMsgUDP(packets, b.cut, nil)
		}
		if n > 1 && uncuttable(err) {
			b.burst = 1 // the route's MTU is smaller, or the device cannot: one by one
			continue
		}
		if err := ignoreFull(err); err != nil {
			return err
		}
		first += n
	}
	return nil
}

// pack writes n packets from the block with the number on, one behind the other.
func (b *blocks) pack(number, n int64) ([]byte, error) {
	out := b.buf[:0]
	for ; n > 0; n-- {
		out = append(out, 0, opData)
		out = binary.BigEndian.AppendUint16(out, uint16(number))
		from := (number - 1) * int64(b.block)
		content, err := b.content(from, int(min(int64(b.block), b.size-from)))
		if err != nil {
			return nil, err
		}
		out = append(out, content...)
		number++
	}
	return out, nil
}

// content is a piece of the file, at most a block.
func (b *blocks) content(from int64, n int) ([]byte, error) {
	if from < b.begin || from+int64(n) > b.begin+int64(len(b.ahead)) {
		length := int(min(int64(cap(b.ahead)), b.size-from))
		b.ahead, b.begin = b.ahead[:length], from
		if read, err := b.file.ReadAt(b.ahead, from); read < length {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			b.ahead = b.ahead[:0]
			return nil, fmt.Errorf("cannot read %s at %d: %w", b.name, from, err)
		}
	}
	at := int(from - b.begin)
	return b.ahead[at : at+n], nil
}

// segment is the control message that has the kernel cut a call's bytes into
// packets of the size.
func segment(size int) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0])) //nolint:gosec // as package unix lays control messages out
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size))
	return b
}

// uncuttable tells whether the kernel would not cut.
func uncuttable(err error) bool {
	for _, e := range []error{syscall.EINVAL, syscall.EIO, syscall.EMSGSIZE, syscall.EOPNOTSUPP, syscall.ENOPROTOOPT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ignoreFull takes a full queue for what it is: a packet that got lost.
func ignoreFull(err error) error {
	if errors.Is(err, syscall.ENOBUFS) {
		return nil
	}
	return err
}
