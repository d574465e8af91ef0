package tftp_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sprout/boot/tftp"
)

// served is a server with files, and what its transfers came to.
type served struct {
	at    netip.AddrPort
	dir   string
	ended chan tftp.Transfer
}

func serve(t *testing.T, files map[string][]byte) served {
	t.Helper()
	return serveAt(t, "0.0.0.0:0", "127.0.0.1", files)
}

// serveAt listens on one address and is asked on another.
func serveAt(t *testing.T, listen, ask string, files map[string][]byte) served {
	t.Helper()
	return serveMany(t, listen, ask, 4, files)
}

// serveMany has so many transfers at once.
func serveMany(t *testing.T, listen, ask string, most int, files map[string][]byte) served {
	t.Helper()
	s := served{dir: t.TempDir(), ended: make(chan tftp.Transfer, 100)}
	var names []string
	for name, content := range files {
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "secret"), []byte("not for you"), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := tftp.New(tftp.Config{
		Address: netip.MustParseAddrPort(listen), Open: tftp.Files(s.dir, names...), MaxTransfers: most,
		Transferred: func(one tftp.Transfer) { s.ended <- one },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	select {
	case <-server.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("not ready after 10 s")
	}
	s.at = netip.AddrPortFrom(netip.MustParseAddr(ask), server.Addr().Port())
	return s
}

func (s served) next(t *testing.T) tftp.Transfer {
	t.Helper()
	select {
	case one := <-s.ended:
		return one
	case <-time.After(30 * time.Second):
		t.Fatal("no transfer ended in 30 s")
	}
	return tftp.Transfer{}
}

// content is n bytes that no two blocks share.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// TestClients fetches files of every awkward size with the programs that people
// have, and compares.
func TestClients(t *testing.T) {
	for _, at := range [][2]string{{"0.0.0.0:0", "127.0.0.1"}, {"[::1]:0", "::1"}} {
		t.Run(at[1], func(t *testing.T) { clients(t, at[0], at[1]) })
	}
}

func clients(t *testing.T, listen, ask string) {
	t.Helper()
	files := map[string][]byte{}
	for _, n := range []int{0, 1, 511, 512, 513, 1024, 100_000, 40_000_000} {
		files[fmt.Sprintf("file-%d", n)] = content(n)
	}
	s := serveAt(t, listen, ask, files)
	host, port := s.at.Addr().String(), strconv.Itoa(int(s.at.Port()))
	atftp := func(options ...string) func(name, out string) []string {
		return func(name, out string) []string {
			return append(options, "--get", "--remote-file", name, "--local-file", out, host, port)
		}
	}
	for title, args := range map[string]func(name, out string) []string{
		"atftp":         atftp(),
		"atftp windows": atftp("--option", "blksize 1428", "--option", "windowsize 16"),
		"tftp": func(name, out string) []string {
			return []string{"-m", "binary", host, port, "-c", "get", name, out}
		},
		"curl": func(name, out string) []string {
			return []string{"-sS", "--tftp-blksize", "1428", "-o", out, "tftp://" + net.JoinHostPort(host, port) + "/" + name}
		},
	} {
		t.Run(title, func(t *testing.T) {
			program, _, _ := strings.Cut(title, " ")
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("%s is missing: apt-get install tftp-hpa atftp curl", program)
			}
			for name, want := range files {
				if program == "curl" && len(want) == 0 {
					continue // curl makes no file of nothing
				}
				out := filepath.Join(t.TempDir(), "out")
				if msg, err := exec.CommandContext(t.Context(), program, args(name, out)...).CombinedOutput(); err != nil {
					t.Fatalf("%s of %s: %v\n%s", program, name, err, msg)
				}
				got, err := os.ReadFile(out)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s of %s: %d bytes, %v", program, name, len(got), err)
				}
				if one := s.next(t); one.Outcome != tftp.Done || one.Bytes != int64(len(want)) || one.File != name {
					t.Errorf("%s of %s: %+v", program, name, one)
				}
			}
		})
	}
}

// A client is our own, packet by packet.
type client struct {
	t    *testing.T
	conn *net.UDPConn
	to   *net.UDPAddr
	from *net.UDPAddr // of the last packet
}

func dial(t *testing.T, s served) *client {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn, to: net.UDPAddrFromAddrPort(s.at)}
}

// ask sends a request: its opcode and strings.
func (c *client) ask(op byte, words ...string) {
	c.t.Helper()
	c.write(c.to, append([]byte{0, op}, strings.Join(words, "\x00")+"\x00"...))
}

func (c *client) write(to *net.UDPAddr, b []byte) {
	c.t.Helper()
	if _, err := c.conn.WriteToUDP(b, to); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) ack(n int) {
	c.t.Helper()
	c.write(c.from, []byte{0, 4, byte(n >> 8), byte(n)})
}

// read returns the next packet, or nil after the time.
func (c *client) read(within time.Duration) []byte {
	c.t.Helper()
	buf := make([]byte, 70000)
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	n, from, err := c.conn.ReadFromUDP(buf)
	if err != nil {
		return nil
	}
	c.from = from
	return buf[:n]
}

// block reads a DATA packet and checks its number.
func (c *client) block(n int) []byte {
	c.t.Helper()
	b := c.read(10 * time.Second)
	if len(b) < 4 || b[1] != 3 || binary.BigEndian.Uint16(b[2:]) != uint16(n) {
		c.t.Fatalf("want block %d, got %.40q", n, b)
	}
	return b[4:]
}

func (c *client) want(packet string) {
	c.t.Helper()
	if b := c.read(10 * time.Second); string(b) != packet {
		c.t.Fatalf("want %q, got %q", packet, b)
	}
}

func TestOptions(t *testing.T) {
	s := serve(t, map[string][]byte{"f": content(3000)})
	for name, c := range map[string]struct {
		options []string
		want    string
	}{
		"all":             {[]string{"tsize", "0", "blksize", "1000", "timeout", "3", "windowsize", "2"}, "\x00\x06blksize\x001000\x00timeout\x003\x00windowsize\x002\x00tsize\x003000\x00"},
		"twice":           {[]string{"blksize", "1000", "BLKSIZE", "1400", "tsize", "0", "tsize", "0"}, "\x00\x06blksize\x001000\x00tsize\x003000\x00"},
		"upper case":      {[]string{"BLKSIZE", "1000"}, "\x00\x06blksize\x001000\x00"},
		"too large":       {[]string{"blksize", "99999"}, "\x00\x06blksize\x0065464\x00"},
		"too wide":        {[]string{"windowsize", "5000"}, "\x00\x06windowsize\x0064\x00"},
		"unknown ones":    {[]string{"multicast", "x", "tsize", "0"}, "\x00\x06tsize\x003000\x00"},
		"out of bounds":   {[]string{"timeout", "0", "blksize", "7", "tsize", "0"}, "\x00\x06tsize\x003000\x00"},
		"not even number": {[]string{"blksize", "many", "windowsize", "-1", "tsize", "0"}, "\x00\x06tsize\x003000\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := dial(t, s)
			cl.ask(1, append([]string{"f", "octet"}, c.options...)...)
			cl.want(c.want)
			// Firmware that only wanted the size: error 8 is no failure.
			cl.write(cl.from, []byte("\x00\x05\x00\x08enough\x00"))
			if one := s.next(t); one.Outcome != tftp.Aborted || one.Bytes != 0 || one.Size != 3000 {
				t.Errorf("%+v", one)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	s := serve(t, map[string][]byte{"f": content(10)})
	for name, c := range map[string]struct {
		op    byte
		words []string
		code  byte
		want  tftp.Outcome
	}{
		"missing":          {1, []string{"grubx64.efi", "octet"}, 1, tftp.NotFound},
		"not a known name": {1, []string{"secret", "octet"}, 1, tftp.NotFound},
		"out of the tree":  {1, []string{"../../../../etc/passwd", "octet"}, 1, tftp.NotFound},
		"absolute":         {1, []string{"/etc/passwd", "octet"}, 1, tftp.NotFound},
		"by backslashes":   {1, []string{`..\..\etc\passwd`, "octet"}, 1, tftp.NotFound},
		"through a name":   {1, []string{"f/../secret", "octet"}, 1, tftp.NotFound},
		"a write":          {2, []string{"f", "octet"}, 2, tftp.Refused},
		"netascii":         {1, []string{"f", "netascii"}, 4, tftp.Refused},
		"no mode":          {1, []string{"f"}, 4, tftp.Refused},
		"an acknowledge":   {4, []string{"f", "octet"}, 4, tftp.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			cl := dial(t, s)
			begin := time.Now()
			cl.ask(c.op, c.words...)
			if b := cl.read(10 * time.Second); len(b) < 5 || b[1] != 5 || b[3] != c.code || b[len(b)-1] != 0 {
				t.Errorf("want error %d, got %q", c.code, b)
			}
			if took := time.Since(begin); took > 500*time.Millisecond {
				t.Errorf("the refusal took %s", took)
			}
			if one := s.next(t); one.Outcome != c.want {
				t.Errorf("%+v", one)
			}
		})
	}
	leading := dial(t, s)
	leading.ask(1, "//f", "octet")
	leading.block(1)
	leading.ack(1)
	if one := s.next(t); one.Outcome != tftp.Done {
		t.Errorf("a name with leading slashes: %+v", one)
	}
}

// TestOnePortATransfer: answers come from the address that was asked, each
// transfer from a port of its own, and a repeated request starts no second one.
func TestOnePortATransfer(t *testing.T) {
	s := serve(t, map[string][]byte{"f": content(10)})
	a, b := dial(t, s), dial(t, s)
	b.to = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: b.to.Port}
	a.ask(1, "f", "octet")
	a.block(1)
	b.ask(1, "f", "octet")
	b.block(1)
	if a.from.Port == b.from.Port || a.from.Port == a.to.Port || !a.from.IP.Equal(a.to.IP) || !b.from.IP.Equal(b.to.IP) {
		t.Errorf("asked %s and %s, answered by %s and %s", a.to, b.to, a.from, b.from)
	}
	first := a.from.Port
	a.ask(1, "f", "octet")
	a.block(1) // the transfer's own repetition, after a second
	if a.from.Port != first {
		t.Error("a repeated request started a second transfer")
	}
}

// TestLoss: what got lost is sent again, in a window too, and duplicates are
// not doubled.
func TestLoss(t *testing.T) {
	want := content(512*10 + 5)
	s := serve(t, map[string][]byte{"f": want})
	t.Run("a block", func(t *testing.T) {
		c := dial(t, s)
		c.ask(1, "f", "octet")
		c.block(1) // and nothing is said
		got := c.block(1)
		c.ack(1)
		c.ack(1) // a duplicate
		for n := 2; n <= 11; n++ {
			got = append(got, c.block(n)...)
			if n == 2 {
				if b := c.read(100 * time.Millisecond); b != nil {
					t.Fatalf("a duplicate was answered by %.10q", b)
				}
			}
			c.ack(n)
		}
		if one := s.next(t); !bytes.Equal(got, want) || one.Outcome != tftp.Done {
			t.Errorf("%d bytes; %+v", len(got), one)
		}
	})
	t.Run("in a window", func(t *testing.T) {
		c := dial(t, s)
		c.ask(1, "f", "octet", "windowsize", "4")
		c.want("\x00\x06windowsize\x004\x00")
		c.ack(0)
		got := append(c.block(1), c.block(2)...)
		c.block(3) // lost
		c.block(4)
		c.ack(2)
		for n := 3; n <= 6; n++ {
			got = append(got, c.block(n)...)
		}
		c.ack(6)
		for n := 7; n <= 10; n++ {
			c.block(n) // all lost but the last
		}
		c.ack(6)
		for n := 7; n <= 10; n++ {
			got = append(got, c.block(n)...)
		}
		c.ack(10)
		got = append(got, c.block(11)...)
		c.ack(11)
		if one := s.next(t); !bytes.Equal(got, want) || one.Outcome != tftp.Done || one.Bytes != int64(len(want)) {
			t.Errorf("%d bytes; %+v", len(got), one)
		}
	})
	t.Run("the client", func(t *testing.T) {
		c := dial(t, s)
		c.ask(1, "f", "octet")
		c.block(1)
		_ = c.conn.Close()
		if one := s.next(t); one.Outcome != tftp.Aborted || !strings.Contains(one.Detail, "closed its port") {
			t.Errorf("%+v", one)
		}
	})
}

// TestManyTransfers: above the limit of 4 a request gets no answer, and one
// once a place is free.
func TestManyTransfers(t *testing.T) {
	s := serve(t, map[string][]byte{"f": content(10)})
	var four []*client
	for range 4 {
		c := dial(t, s)
		c.ask(1, "f", "octet")
		c.block(1)
		four = append(four, c)
	}
	fifth := dial(t, s)
	fifth.ask(1, "f", "octet")
	if b := fifth.read(100 * time.Millisecond); b != nil {
		t.Fatalf("a fifth is served: %.20q", b)
	}
	four[0].ack(1)
	s.next(t)
	for fifth.ask(1, "f", "octet"); fifth.read(100*time.Millisecond) == nil; fifth.ask(1, "f", "octet") {
	}
}

// One that asks by many ports and takes nothing leaves room for the others.
func TestNobodyTakesEverything(t *testing.T) {
	s := serveMany(t, "0.0.0.0:0", "127.0.0.1", 256, map[string][]byte{"f": content(2000)})
	served := 0
	for range 40 {
		c := dial(t, s)
		c.ask(1, "f", "octet", "timeout", "255")
		if c.read(100*time.Millisecond) != nil {
			served++
		}
	}
	if served != 32 {
		t.Errorf("one address has %d transfers", served)
	}
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // a socket that is done with
	c := &client{t: t, conn: other, to: net.UDPAddrFromAddrPort(s.at)}
	c.ask(1, "f", "octet")
	c.block(1)
}

func TestNewRefuses(t *testing.T) {
	if _, err := tftp.New(tftp.Config{Address: netip.MustParseAddrPort("127.0.0.1:0")}); err == nil {
		t.Error("a server without files")
	}
	if _, err := tftp.New(tftp.Config{Open: tftp.Files("/"), Address: netip.MustParseAddrPort("[::]:0")}); err == nil {
		t.Error("a server on whatever address of IPv6")
	}
}
