package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// The opcodes of TFTP (RFC 1350 section 5, RFC 2347).
const (
	tftpRead  = 1
	tftpData  = 3
	tftpAck   = 4
	tftpError = 5
	tftpOACK  = 6
)

const (
	tftpBlock  = 1468 // RFC 2348: what fits an Ethernet frame
	tftpWindow = 4    // RFC 7440
	tftpWithin = 500 * time.Millisecond
	tftpTries  = 5
)

// tftpGet reads a file as OVMF does, up to limit bytes (0: all): it asks for the
// size, gives up with error 8 once it has it, and asks for the file. So it gives up
// at the limit too.
// first is called when the first block has come, before it is acknowledged.
func tftpGet(ctx context.Context, over *cable, local netip.Addr, server netip.AddrPort, file string, limit int, first func() error) (int, error) {
	size := transfer{peer: server, last: readRequest(file, true), sized: true}
	content := transfer{peer: server, last: readRequest(file, false), block: 512, window: 1, first: first}
	for _, t := range []*transfer{&size, &content} {
		err := t.run(ctx, over, local, limit)
		if ctx.Err() != nil {
			return t.got, ctx.Err()
		}
		if err != nil {
			return t.got, fmt.Errorf("cannot fetch %s by TFTP from %s: %w", file, server, err)
		}
	}
	return content.got, nil
}

// A transfer is one read request to its end.
type transfer struct {
	conn  socket
	peer  netip.AddrPort // the server's port of this transfer, once it has answered
	fixed bool           // peer is it
	last  []byte         // the packet to send again
	block int            // block size in force
	// window is how many blocks are acknowledged at once (RFC 7440).
	window int
	sized  bool   // only the size is wanted
	next   uint16 // number of the next block
	got    int
	first  func() error // see tftpGet
}

func readRequest(file string, size bool) []byte {
	words := []string{file, "octet"}
	if size {
		words = append(words, "tsize", "0")
	}
	p := binary.BigEndian.AppendUint16(nil, tftpRead)
	for _, word := range append(words, "blksize", strconv.Itoa(tftpBlock), "windowsize", strconv.Itoa(tftpWindow)) {
		p = append(append(p, word...), 0)
	}
	return p
}

// abort is what OVMF ends a transfer with that it wants no more of.
func abort() []byte {
	return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, tftpError), 8), "User aborted the transfer\x00"...)
}

// run asks from a port of its own (RFC 1350 section 4).
func (t *transfer) run(ctx context.Context, over *cable, local netip.Addr, limit int) error {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return fmt.Errorf("cannot open a socket on %s: %w", local, err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })() //nolint:errcheck // only wakes the reader
	defer conn.Close()                                      //nolint:errcheck // nothing is waited for
	t.conn, t.next = socket{conn, over}, 1
	buf := make([]byte, 4+tftpBlock)
	for tries := 0; tries < tftpTries; tries++ {
		if _, err := t.conn.WriteToUDPAddrPort(t.last, t.peer); err != nil {
			return err
		}
		moved, done, err := t.receive(buf, limit)
		if done || err != nil {
			return err
		}
		if moved {
			tries = -1
		}
	}
	return errors.New("no answer")
}

// receive waits for the packet that moves the transfer on, and prepares the
// answer to it in last.
func (t *transfer) receive(buf []byte, limit int) (moved, done bool, err error) {
	if err := t.conn.SetReadDeadline(time.Now().Add(tftpWithin)); err != nil {
		return false, false, err
	}
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(buf)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return false, false, nil
		}
		if err != nil {
			return false, false, err
		}
		if n < 4 || from.Addr().Unmap() != t.peer.Addr() || t.fixed && from.Port() != t.peer.Port() {
			continue // not of this transfer (RFC 1350 section 4)
		}
		t.peer, t.fixed = netip.AddrPortFrom(t.peer.Addr(), from.Port()), true
		switch code, p := binary.BigEndian.Uint16(buf), buf[2:n]; code {
		case tftpError:
			return false, false, fmt.Errorf("error %d: %s", binary.BigEndian.Uint16(p), bytes.TrimRight(p[2:], "\x00"))
		case tftpOACK:
			if t.sized {
				_, _ = t.conn.WriteToUDPAddrPort(abort(), t.peer)
				return true, true, nil
			}
			t.accept(p)
			t.last = ack(0)
			return true, false, nil
		case tftpData:
			if t.sized || binary.BigEndian.Uint16(p) != t.next {
				continue
			}
			if t.next == 1 {
				if err := t.first(); err != nil {
					return false, false, err
				}
			}
			if over := t.take(len(p)-2, limit); over || (t.next-1)%uint16(t.window) == 0 { //nolint:gosec // a window is small
				return true, over, nil
			}
			if err := t.conn.SetReadDeadline(time.Now().Add(tftpWithin)); err != nil {
				return false, false, err
			}
		}
	}
}

// accept reads the options that the server agreed to (RFC 2347).
func (t *transfer) accept(p []byte) {
	words := bytes.Split(p, []byte{0})
	for i := 0; i+1 < len(words); i += 2 {
		n, err := strconv.Atoi(string(words[i+1]))
		switch {
		case err != nil:
		case bytes.EqualFold(words[i], []byte("blksize")) && n >= 8 && n <= tftpBlock:
			t.block = n
		case bytes.EqualFold(words[i], []byte("windowsize")) && n >= 1 && n <= tftpWindow:
			t.window = n
		}
	}
}

// take counts a block, acknowledges it, and tells whether the transfer is over.
func (t *transfer) take(n, limit int) bool {
	t.got += n
	t.last = ack(t.next)
	t.next++
	over := n < t.block
	if !over && limit > 0 && t.got >= limit {
		t.last = abort()
		over = true
	}
	if over {
		_, _ = t.conn.WriteToUDPAddrPort(t.last, t.peer)
	}
	return over
}

func ack(block uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, tftpAck), block)
}
