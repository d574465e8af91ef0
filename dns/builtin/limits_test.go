package builtin_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/builtin"
)

// wireOf is a message behind its length.
func wireOf(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
}

// connect opens a TCP connection from an address.
func connect(t *testing.T, at netip.AddrPort, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c
}

// answers tells whether a query is answered over the connection.
func answers(t *testing.T, c net.Conn) bool {
	t.Helper()
	if _, err := c.Write(wireOf(t, new(dns.Msg).SetQuestion("web-01.lon1.example.", dns.TypeA))); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 14))
	return err == nil
}

// isClosed waits until the server closes the connection.
func isClosed(t *testing.T, c net.Conn, what string) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s: the connection stays open", what)
	}
}

// Whoever says nothing, or a part of a message, or octet by octet, is closed; who
// goes on asking is not.
func TestIdleConnectionsAreClosed(t *testing.T) {
	const idle = 300 * time.Millisecond
	at := serveWith(t, builtin.ServerConfig{Zones: lon1(), Limits: builtin.Limits{Idle: idle}})
	isClosed(t, connect(t, at, "127.0.0.1"), "nothing is said")
	part := connect(t, at, "127.0.0.1")
	if _, err := part.Write([]byte{0, 40, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	isClosed(t, part, "a part of a message")
	slow := connect(t, at, "127.0.0.1")
	began := time.Now()
	go func() { // until it is closed
		for _, err := slow.Write([]byte{0}); err == nil; _, err = slow.Write([]byte{1}) {
			time.Sleep(idle / 10) // it is what a slow client does
		}
	}()
	isClosed(t, slow, "octet by octet")
	if took := time.Since(began); took > 10*idle {
		t.Errorf("octet by octet a connection is kept for %s", took)
	}
	busy := connect(t, at, "127.0.0.1")
	for range 10 {
		if !answers(t, busy) {
			t.Fatal("a connection that is used is closed")
		}
		time.Sleep(idle / 5) // the connection rests for less than it may
	}
}

// One address, and all together, have so many connections at once; when one ends,
// another may come.
func TestConnectionsAreCounted(t *testing.T) {
	at := serveWith(t, builtin.ServerConfig{Zones: lon1(), Limits: builtin.Limits{Clients: 5, OfOne: 3}})
	var open []net.Conn
	take := func(from string) {
		t.Helper()
		c := connect(t, at, from)
		if !answers(t, c) {
			t.Fatalf("connection %d, from %s, is not answered", len(open)+1, from)
		}
		open = append(open, c)
	}
	for range 3 {
		take("127.0.0.1")
	}
	isClosed(t, connect(t, at, "127.0.0.1"), "the fourth of one address")
	take("127.0.0.2")
	take("127.0.0.2")
	isClosed(t, connect(t, at, "127.0.0.3"), "the sixth of all")
	_ = open[0].Close()
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the server hears of it when it reads
		c := connect(t, at, "127.0.0.3")
		if answers(t, c) {
			break
		}
		if time.Now().After(late) {
			t.Fatal("a place that is free is not given")
		}
	}
	// UDP has no part in it.
	if m, err := dns.Exchange(new(dns.Msg).SetQuestion("web-01.lon1.example.", dns.TypeA), at.String()); err != nil || len(m.Answer) != 1 {
		t.Errorf("by UDP: %v %v", m, err)
	}
}

// Queries that are sent without waiting are all answered, each as itself.
func TestPipelining(t *testing.T) {
	at := serveWith(t, builtin.ServerConfig{Zones: lon1(), Rules: everybody()})
	c := connect(t, at, "127.0.0.1")
	const many = 500
	var all []byte
	for i := range many {
		m := new(dns.Msg).SetQuestion("web-01.lon1.example.", []uint16{dns.TypeA, dns.TypeNS, dns.TypeTXT}[i%3])
		m.Id = uint16(i)
		all = append(all, wireOf(t, m)...)
	}
	all = append(all, wireOf(t, new(dns.Msg).SetAxfr("lon1.example."))...)
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	conn := dns.Conn{Conn: c}
	for i := range many {
		m, err := conn.ReadMsg()
		if err != nil || m.Id != uint16(i) || m.Rcode != dns.RcodeSuccess || (len(m.Answer) == 1) != (i%3 == 0) {
			t.Fatalf("answer %d: %v %v", i, m, err)
		}
	}
	if m, err := conn.ReadMsg(); err != nil || len(m.Answer) < 3 {
		t.Errorf("the transfer behind them: %v %v", m, err)
	}
}

// A client that asks and does not read is closed in the time that it has, and holds
// up nobody meanwhile.
func TestSlowReader(t *testing.T) {
	at := serveWith(t, builtin.ServerConfig{Zones: lon1(), Rules: everybody(), Limits: builtin.Limits{Write: 300 * time.Millisecond}})
	slow := connect(t, at, "127.0.0.1")
	if err := slow.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	query := wireOf(t, new(dns.Msg).SetAxfr("lon1.example."))
	_ = slow.SetWriteDeadline(time.Now().Add(20 * time.Second))
	var err error
	for sent := 0; err == nil && sent < 64<<20; sent += len(query) {
		_, err = slow.Write(query)
		if sent == 1000*len(query) && !answers(t, connect(t, at, "127.0.0.1")) {
			t.Error("meanwhile others are not answered")
		}
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("who does not read is not closed: %v", err)
	}
	if !answers(t, connect(t, at, "127.0.0.1")) {
		t.Error("afterwards others are not answered")
	}
}

// A secondary that does not answer, or refuses, is told again and again, each time
// of the newest state, until it acknowledges; then not any more.
func TestNotifyIsRepeated(t *testing.T) {
	second, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() })
	db, policy := lon1(), builtin.NewPolicy()
	policy.Set(builtin.NewRules(sprout.DNSPolicy{Notify: []string{second.LocalAddr().String()}}, nil, nil))
	serveWith(t, builtin.ServerConfig{Zones: db, Rules: policy, Limits: builtin.Limits{Notify: 300 * time.Millisecond}})
	// hear reads one NOTIFY of the zone and answers it; rcode < 0: not at all.
	hear := func(rcode int) uint32 {
		t.Helper()
		for {
			buf := make([]byte, 1500)
			_ = second.SetReadDeadline(time.Now().Add(20 * time.Second))
			n, from, err := second.ReadFromUDPAddrPort(buf)
			if err != nil {
				t.Fatalf("it is not told: %v", err)
			}
			m := new(dns.Msg)
			if err := m.Unpack(buf[:n]); err != nil || m.Opcode != dns.OpcodeNotify || len(m.Answer) != 1 {
				t.Fatalf("it is told %v, %v", m, err)
			}
			code := rcode
			ours := m.Question[0].Name == "lon1.example."
			if !ours {
				code = dns.RcodeSuccess
			}
			if code >= 0 {
				wire, err := new(dns.Msg).SetRcode(m, code).Pack()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := second.WriteToUDPAddrPort(wire, from); err != nil {
					t.Fatal(err)
				}
			}
			if ours {
				return m.Answer[0].(*dns.SOA).Serial
			}
		}
	}
	first := hear(-1)
	if again := hear(dns.RcodeServerFailure); again != first {
		t.Errorf("it is told of serial %d, then of %d", first, again)
	}
	db.Change(nil, []sprout.Record{{Name: "new.lon1.example", Type: "TXT", Data: "x"}}, first+7)
	for newest := uint32(0); newest != first+7; { // one of before may be on its way
		newest = hear(-1)
	}
	if last := hear(dns.RcodeSuccess); last != first+7 {
		t.Errorf("it is told of serial %d, and the zone is at %d", last, first+7)
	}
	_ = second.SetReadDeadline(time.Now().Add(time.Second)) // three times as long as until it would be told again
	if n, _, err := second.ReadFromUDPAddrPort(make([]byte, 1500)); err == nil {
		t.Errorf("it has acknowledged and is told again, %d octets", n)
	}
}
