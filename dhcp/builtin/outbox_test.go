package builtin

import (
	"bytes"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSentTogether: many datagrams to two relays arrive whole and in order, where
// the kernel cuts them apart and where it refuses to; what is not sent is named.
func TestSentTogether(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse bool
		sends  int
	}{
		// of each relay's 20: ten of one length and a shorter one, eight of another, and a longer one
		{"cut by the kernel", false, 6},
		{"one by one", true, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, relays := loopback(t), []*net.UDPConn{loopback(t), loopback(t)}
			socket, err := from.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if c.refuse { // without checksums the kernel cuts nothing
				if err := socket.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) }); err != nil {
					t.Fatal(err)
				}
			}
			b := newOutbox(netip.MustParseAddr("127.0.0.1"), 0)
			failed := func(i int, err error) { t.Errorf("datagram %d: %v", i, err) }
			var want [2][][]byte
			for k, relay := range relays {
				for i := range 20 {
					size := 300
					switch {
					case i == 10:
						size = 290
					case i == 19:
						size = 400
					case i > 10:
						size = 350
					}
					wire := bytes.Repeat([]byte{byte(k<<6 + i)}, size)
					want[k] = append(want[k], wire)
					b.add(wire, addrPort(relay))
				}
			}
			if b.sends != c.sends {
				t.Errorf("%d datagrams are sent as %d, want %d", b.n, b.sends, c.sends)
			}
			b.flush(socket, failed)
			if b.apart != c.refuse {
				t.Errorf("the kernel cuts: %t, want %t", !b.apart, !c.refuse)
			}
			for k, relay := range relays {
				for i := range want[k] {
					if got := next(t, relay); !bytes.Equal(got, want[k][i]) {
						t.Fatalf("relay %d, datagram %d: %d bytes of %v", k, i, len(got), got[:min(1, len(got))])
					}
				}
			}
			again := 0
			b.add([]byte("a"), netip.MustParseAddrPort("127.0.0.1:0")) // to no port
			b.add([]byte("b"), addrPort(relays[0]))
			b.flush(socket, func(i int, err error) { again += 10*i + 1 })
			if got := next(t, relays[0]); again != 1 || string(got) != "b" {
				t.Errorf("after one that cannot be sent (%d) comes %q", again, got)
			}
		})
	}
}

func loopback(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func addrPort(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func next(t *testing.T, c *net.UDPConn) []byte {
	t.Helper()
	buffer := make([]byte, packetSize)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := c.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return buffer[:n]
}

// TestReceived: what a datagram is, who sent it and where to.
func TestReceived(t *testing.T) {
	to, from := loopback(t), loopback(t)
	socket, err := to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := prepare(socket, ""); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := from.WriteToUDPAddrPort(bytes.Repeat([]byte{byte(i)}, i), addrPort(to)); err != nil {
			t.Fatal(err)
		}
	}
	in := newInbox()
	for got := 0; got < 3; {
		var n int
		var errno syscall.Errno
		if err := socket.Read(func(fd uintptr) bool { n, errno = in.receive(fd); return errno != syscall.EAGAIN }); err != nil || errno != 0 {
			t.Fatal(err, errno)
		}
		for i := range n {
			d := in.datagram(i)
			if len(d.wire) != got || d.from != addrPort(from) || d.to != netip.MustParseAddr("127.0.0.1") {
				t.Errorf("datagram %d: %+v", got, d)
			}
			got++
		}
	}
}
