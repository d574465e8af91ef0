package builtin6_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// A relayed is a client behind a relay on loopback.
type relayed struct {
	conn *net.UDPConn
	to   *net.UDPAddr
}

func (r relayed) send(t *testing.T, m *dhcpv6.Message) {
	t.Helper()
	wrapped, err := dhcpv6.EncapsulateRelay(m, dhcpv6.MessageTypeRelayForward, net.ParseIP("fd00:20::fffe"), net.ParseIP("fe80::5054:ff:fe00:9"))
	if err != nil {
		t.Fatal(err)
	}
	wrapped.AddOption(dhcpv6.OptRelayPort(0)) // it is to be answered where it speaks from (RFC 8357)
	if _, err := r.conn.WriteToUDP(wrapped.ToBytes(), r.to); err != nil {
		t.Fatal(err)
	}
}

// read returns the next answer; nil: none comes in time.
func (r relayed) read(t *testing.T, within time.Duration) *dhcpv6.Message {
	t.Helper()
	if err := r.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	n, err := r.conn.Read(buf)
	if err != nil {
		return nil
	}
	outer, err := dhcpv6.FromBytes(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	m, err := outer.GetInnerMessage()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A REPLY with an address goes out once its lease is kept, and not at all where it cannot
// be: what a client was told is not forgotten by a crash.
func TestLeaseIsSavedBeforeTheReply(t *testing.T) {
	ledger := dhcptest.NewMemory(seed())
	saving, proceed := make(chan struct{}), make(chan error)
	ledger.OnSave = func(context.Context, sprout.Lease) error {
		saving <- struct{}{}
		return <-proceed
	}
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a socket that is done with
	free, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(free.LocalAddr().String()).Port()
	_ = free.Close()
	serve(t, builtin6.Config{Address: ip("::1"), Port: port, DUID: server, Ledger: ledger})
	r := relayed{conn, &net.UDPAddr{IP: net.IPv6loopback, Port: int(port)}}
	mac, err := net.ParseMAC(stranger)
	if err != nil {
		t.Fatal(err)
	}
	solicit, err := dhcpv6.NewSolicit(mac)
	if err != nil {
		t.Fatal(err)
	}
	r.send(t, solicit)
	advertise := r.read(t, 10*time.Second)
	if advertise == nil {
		t.Fatal("no ADVERTISE")
	}
	request, err := dhcpv6.NewRequestFromAdvertise(advertise)
	if err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []error{errors.New("disk full"), nil} {
		r.send(t, request)
		<-saving
		if early := r.read(t, 50*time.Millisecond); early != nil {
			t.Fatalf("an answer before the lease was saved: %s", early.Summary())
		}
		proceed <- outcome
		reply := r.read(t, map[bool]time.Duration{true: 10 * time.Second, false: 50 * time.Millisecond}[outcome == nil])
		if outcome == nil && (reply == nil || reply.MessageType != dhcpv6.MessageTypeReply || reply.Options.OneIANA() == nil || reply.Options.OneIANA().Options.OneAddress() == nil) {
			t.Errorf("no REPLY with an address once the lease is saved: %v", reply)
		}
		if outcome != nil && reply != nil {
			t.Errorf("an answer though the lease could not be saved: %s", reply.Summary())
		}
	}
}
