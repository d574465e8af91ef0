package dhcptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// answerTakes is how long a client asks before it gives up, once a second: on a
// machine that does much else.
const answerTakes = 20 * time.Second

func contextWithStop() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background()) // beyond t.Context: Serve is stopped in a cleanup
}

// mac is a stranger that nobody has met.
func (w *Wire) mac() string {
	w.next++
	return fmt.Sprintf("52:54:00:00:0b:%02x", w.next)
}

// packet is a client's as its relay passes it on.
func (w *Wire) packet(t *testing.T, mac, relay string, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(hw), dhcpv4.WithGatewayIP(net.ParseIP(relay)),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	p.HopCount = 1
	w.sent = p
	return p
}

// send sends what has no answer.
func (w *Wire) send(t *testing.T, mac, relay string, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) {
	t.Helper()
	w.write(t, relay, w.packet(t, mac, relay, kind, more...))
}

func (w *Wire) write(t *testing.T, relay string, p *dhcpv4.DHCPv4) {
	t.Helper()
	if _, err := w.relays[relay].WriteToUDPAddrPort(p.ToBytes(), w.server); err != nil {
		t.Fatal(err)
	}
}

// ask sends a packet until it is answered; nil: it is not.
func (w *Wire) ask(t *testing.T, mac, relay string, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	return w.try(t, mac, relay, kind, answerTakes, more...)
}

// try is ask for a time.
func (w *Wire) try(t *testing.T, mac, relay string, kind dhcpv4.MessageType, within time.Duration, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	p := w.packet(t, mac, relay, kind, more...)
	for until := time.Now().Add(within); time.Now().Before(until); {
		w.write(t, relay, p)
		if answer := w.answer(t, relay, p, time.Second); answer != nil {
			return answer
		}
	}
	return nil
}

// answer reads the answer to p; nil: none came in time.
func (w *Wire) answer(t *testing.T, relay string, p *dhcpv4.DHCPv4, within time.Duration) *dhcpv4.DHCPv4 {
	t.Helper()
	conn, buf := w.relays[relay], make([]byte, 1500)
	_ = conn.SetReadDeadline(time.Now().Add(within))
	for {
		n, err := conn.Read(buf)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		answer, err := dhcpv4.FromBytes(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		if answer.TransactionID == p.TransactionID && bytes.Equal(answer.ClientHWAddr, p.ClientHWAddr) {
			return answer
		}
	}
}

// acquire goes from DISCOVER to the ACK.
func (w *Wire) acquire(t *testing.T, mac, relay string, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	offer := w.ask(t, mac, relay, dhcpv4.MessageTypeDiscover, more...)
	if offer == nil || offer.MessageType() != dhcpv4.MessageTypeOffer {
		t.Fatalf("%s was offered no address: %v", mac, offer)
	}
	takes := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier()))}
	ack := w.ask(t, mac, relay, dhcpv4.MessageTypeRequest, append(takes, more...)...)
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(offer.YourIPAddr) {
		t.Fatalf("%s was offered %s and got %v", mac, offer.YourIPAddr, ack)
	}
	return ack
}

// Lease has a client of the wire's own segment get an address.
func (w *Wire) Lease(t *testing.T, mac string) netip.Addr {
	t.Helper()
	return addr(w.acquire(t, mac, "10.0.0.2").YourIPAddr)
}

// Offer is the address that a client of the wire's own segment is offered.
func (w *Wire) Offer(t *testing.T, mac string) netip.Addr {
	t.Helper()
	offer := w.ask(t, mac, "10.0.0.2", dhcpv4.MessageTypeDiscover)
	if offer == nil {
		t.Fatalf("%s is offered nothing", mac)
	}
	return addr(offer.YourIPAddr)
}

// note tells who waits that a lease is saved.
func (w *Wire) note(_ context.Context, l sprout.Lease) error {
	select {
	case w.saved <- l:
	default: // nobody waits for so many
	}
	return nil
}

// AwaitLease waits until a lease of the MAC was saved in the state.
func (w *Wire) AwaitLease(t *testing.T, mac, state string) sprout.Lease {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case l := <-w.saved:
			if l.MAC == mac && l.State == state {
				return l
			}
		case <-late:
			t.Fatalf("no lease of %s became %s in 30 s; there are %v", mac, state, w.Ledger.Leases())
		}
	}
}

// Until asks until it is so.
func (w *Wire) Until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); !so(); {
		if time.Now().After(late) {
			t.Fatalf("not so in 30 s: %s", what)
		}
	}
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func join(all []net.IP) string {
	var words []string
	for _, ip := range all {
		words = append(words, ip.String())
	}
	return strings.Join(words, " ")
}
