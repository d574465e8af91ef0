package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	blockSize = 1468        // what a frame of Ethernet carries
	downloads = 32          // at once
	giveUp    = time.Second // on a server that says nothing
)

// tftp is the rate of one transfer with the window, in MB/s.
func (b *bed) tftp(s server, window int) (float64, error) {
	began := time.Now()
	n, err := fetch(s.tftp, fileName, window)
	if err == nil && n != fileSize {
		err = fmt.Errorf("%s sent %d of %d bytes", s.name, n, fileSize)
	}
	return float64(n) / 1e6 / time.Since(began).Seconds(), err
}

// fetch reads a file by TFTP (RFC 1350, 2348, 7440) and returns its size. The
// server must grant what is asked for.
func fetch(at, name string, window int) (size int, err error) {
	server, err := net.ResolveUDPAddr("udp4", at)
	if err != nil {
		return 0, err
	}
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // a socket that is done with
	if err := conn.SetReadBuffer(1 << 20); err != nil {
		return 0, err
	}
	ask := fmt.Appendf([]byte{0, 1}, "%s\x00octet\x00blksize\x00%d\x00", name, blockSize)
	if window > 1 {
		ask = fmt.Appendf(ask, "windowsize\x00%d\x00", window)
	}
	if _, err := conn.WriteToUDP(ask, server); err != nil {
		return 0, err
	}
	return receive(conn, window)
}

// receive takes the blocks, and acknowledges each window.
func receive(conn *net.UDPConn, window int) (size int, err error) {
	buf, ack := make([]byte, 4+blockSize), []byte{0, 4, 0, 0}
	for next, since := uint16(0), 0; ; {
		if err := conn.SetReadDeadline(time.Now().Add(giveUp)); err != nil {
			return size, err
		}
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return size, err
		}
		block, last := binary.BigEndian.Uint16(buf[2:]), false
		switch {
		case buf[1] == 6 && next == 0:
			block = 0
		case buf[1] == 3 && block == next && next != 0 || buf[1] == 3 && block == next && size > 0:
			size += n - 4
			last = n < len(buf)
		case buf[1] == 3:
			since = window - 1 // one is missing: say at once what there is
			block, next = next-1, next-1
		default:
			return size, fmt.Errorf("the server says %q", buf[:n])
		}
		next++
		if since++; since < window && !last && block != 0 {
			continue
		}
		since = 0
		binary.BigEndian.PutUint16(ack[2:], block)
		if _, err := conn.WriteToUDPAddrPort(ack, from); err != nil || last {
			return size, err
		}
	}
}

// http is the rate of all downloads at once, in MB/s.
func (b *bed) http(s server) (float64, error) {
	var all sync.WaitGroup
	failed := make(chan error, downloads)
	began := time.Now()
	for range downloads {
		all.Go(func() { failed <- download(s.http) })
	}
	all.Wait()
	took := time.Since(began)
	close(failed)
	var err error
	for e := range failed {
		err = errors.Join(err, e)
	}
	return downloads * fileSize / 1e6 / took.Seconds(), err
}

// download fetches the file and has the kernel drop what arrives, so that the
// client costs the same and little, whoever serves.
func download(at string) error {
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // a socket that is done with
	if _, err := fmt.Fprintf(conn, "GET /boot/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", fileName, at); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || answer.ContentLength != fileSize {
		return fmt.Errorf("%s answers %s, %d bytes", at, answer.Status, answer.ContentLength)
	}
	dropped, err := drop(conn.(*net.TCPConn))
	if got := dropped + int64(reader.Buffered()); err == nil && got != fileSize {
		err = fmt.Errorf("%s sent %d of %d bytes: %w", at, got, fileSize, io.ErrUnexpectedEOF)
	}
	return err
}

// drop reads to the end without copying (man 7 tcp: MSG_TRUNC).
func drop(conn *net.TCPConn) (dropped int64, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 1<<20)
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := syscall.Recvfrom(int(fd), buf, syscall.MSG_TRUNC|syscall.MSG_DONTWAIT)
			switch {
			case errors.Is(err, syscall.EAGAIN):
				return false
			case errors.Is(err, syscall.EINTR):
				continue
			case err != nil || n == 0:
				failed = err
				return true
			}
			dropped += int64(n)
		}
	})
	return dropped, errors.Join(err, failed)
}
