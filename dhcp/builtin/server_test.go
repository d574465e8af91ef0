package builtin_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

var _ dhcp.Provider = (*builtin.Server)(nil)

// relayed is the site as relays on loopback see it: 127.0.9.0/24.
func relayed(dynamic int) dhcptest.Seed {
	last := netip.AddrFrom4([4]byte{127, 0, 9, byte(100 + dynamic - 1)})
	return dhcptest.Seed{Subnets: []sprout.Subnet{{
		ID: "sub_a", Site: "sit_1", CIDR: netip.MustParsePrefix("127.0.9.0/24"), Discover: true,
		Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: ip("127.0.9.100"), Last: last}},
	}}}
}

// serve runs a server until the test ends.
func serve(t *testing.T, c builtin.Config) *builtin.Server {
	t.Helper()
	s, err := builtin.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	case <-time.After(10 * time.Second):
		t.Fatal("not ready after 10 s")
	}
	return s
}

// freePort is a UDP port that nobody has.
func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // only its number was wanted
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// A relayAgent speaks for clients from a port of its own (RFC 8357).
type relayAgent struct {
	conn *net.UDPConn
	mac  net.HardwareAddr
}

func newRelay(t *testing.T, port uint16, mac string) *relayAgent {
	t.Helper()
	conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.9.1:0")), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	return &relayAgent{conn, hw}
}

// send sends a packet of the client.
func (r *relayAgent) send(t *testing.T, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) {
	t.Helper()
	p, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(r.mac),
		dhcpv4.WithGatewayIP(net.IPv4(127, 0, 9, 1)), dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 2, 'p', '7', 19, 0})}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.conn.Write(p.ToBytes()); err != nil {
		t.Fatal(err)
	}
}

// read returns the next answer, or nil after the time.
func (r *relayAgent) read(t *testing.T, within time.Duration) *dhcpv4.DHCPv4 {
	t.Helper()
	buf := make([]byte, 1500)
	_ = r.conn.SetReadDeadline(time.Now().Add(within))
	n, err := r.conn.Read(buf)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := dhcpv4.FromBytes(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// acquire goes from DISCOVER to the answer of the REQUEST.
func (r *relayAgent) acquire(t *testing.T) (offer, ack *dhcpv4.DHCPv4) {
	t.Helper()
	r.send(t, discover)
	if offer = r.read(t, 10*time.Second); offer == nil {
		return nil, nil
	}
	r.send(t, request, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))
	return offer, r.read(t, 10*time.Second)
}

func TestRelay(t *testing.T) {
	port, ledger := freePort(t), dhcptest.NewMemory(relayed(10))
	var events sync.Map
	serve(t, builtin.Config{Address: ip("127.0.0.1"), Port: port, Ledger: ledger, Events: func(e sprout.BootEvent) { events.Store(e.What+" "+e.MAC, e.Detail) }})
	r := newRelay(t, port, stranger)
	_, ack := r.acquire(t)
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		t.Fatalf("no ACK: %v", ack)
	}
	if got := string(ack.Options.Get(dhcpv4.OptionRelayAgentInformation)); got != "\x01\x02p7\x13\x00" {
		t.Errorf("option 82 came back as %q", got)
	}
	l, ok := ledger.LeaseByClient("sub_a", stranger)
	if !ok || l.State != "bound" || !l.IP.IsValid() || l.IP.String() != ack.YourIPAddr.String() {
		t.Errorf("the lease of %s is %v", ack.YourIPAddr, l)
	}
	r.send(t, dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(ack.YourIPAddr), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(127, 0, 0, 1))))
	if again, _ := r.acquire(t); again == nil || !again.YourIPAddr.Equal(ack.YourIPAddr) {
		t.Errorf("after its release it is offered %v, not %s again", again, ack.YourIPAddr)
	}
	for _, what := range []string{"dhcp-offer ", "dhcp-ack "} {
		if _, ok := events.Load(what + stranger); !ok {
			t.Errorf("no event %s", what)
		}
	}
}

// TestLeaseIsSavedBeforeTheACK: while the ledger is not done there is no ACK,
// and other clients do not wait; where the ledger fails there is none at all.
func TestLeaseIsSavedBeforeTheACK(t *testing.T) {
	port, ledger := freePort(t), dhcptest.NewMemory(relayed(10))
	saving, proceed := make(chan struct{}), make(chan error)
	ledger.OnSave = func(_ context.Context, l sprout.Lease) error {
		if l.MAC != stranger {
			return nil
		}
		saving <- struct{}{}
		return <-proceed
	}
	serve(t, builtin.Config{Address: ip("127.0.0.1"), Port: port, Ledger: ledger})
	slow, quick := newRelay(t, port, stranger), newRelay(t, port, other)
	slow.send(t, discover)
	offer := slow.read(t, 10*time.Second)
	if offer == nil {
		t.Fatal("no offer")
	}
	ask := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier()))}
	slow.send(t, request, ask...)
	<-saving
	if _, ack := quick.acquire(t); ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("another client waits for the ledger too: %v", ack)
	}
	if early := slow.read(t, 50*time.Millisecond); early != nil {
		t.Fatalf("an answer before the lease was saved: %s", early.Summary())
	}
	proceed <- errors.New("disk full")
	slow.send(t, request, ask...)
	<-saving
	if early := slow.read(t, 50*time.Millisecond); early != nil {
		t.Fatalf("an answer though the lease could not be saved: %s", early.Summary())
	}
	proceed <- nil
	if ack := slow.read(t, 10*time.Second); ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("no ACK once the lease is saved: %v", ack)
	}
}

// TestRace: more clients than addresses ask at once. Nobody shares, and every
// address is used.
func TestRace(t *testing.T) {
	const clients, addresses = 40, 20
	port, ledger := freePort(t), dhcptest.NewMemory(relayed(addresses))
	s := serve(t, builtin.Config{Address: ip("127.0.0.1"), Port: port, Ledger: ledger})
	var relays []*relayAgent
	for i := range clients {
		relays = append(relays, newRelay(t, port, fmt.Sprintf("52:54:00:00:03:%02x", i)))
	}
	for _, r := range relays {
		r.send(t, discover)
	}
	taken, full := map[string]bool{}, 0
	until := time.Now().Add(time.Second)
	for _, r := range relays {
		offer := r.read(t, max(time.Until(until), 10*time.Millisecond))
		if offer == nil {
			full++
			continue
		}
		if taken[offer.YourIPAddr.String()] {
			t.Errorf("%s is offered twice", offer.YourIPAddr)
		}
		taken[offer.YourIPAddr.String()] = true
	}
	if len(taken) != addresses || full != clients-addresses || s.Dropped() != 0 {
		t.Errorf("%d offers and %d without, %d dropped; want %d and %d", len(taken), full, s.Dropped(), addresses, clients-addresses)
	}
}

func TestExplain(t *testing.T) {
	s, err := builtin.New(builtin.Config{Address: ip("10.0.0.1"), Ledger: dhcptest.NewMemory(seed())})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q        dhcp.Question
		ip, file string
	}{
		{dhcp.Question{MAC: web01, Firmware: dhcp.BIOS}, "10.0.0.5", "undionly.kpxe"},
		{dhcp.Question{MAC: "52-54-00-00-00-01", Firmware: dhcp.UEFI}, "10.0.0.5", "snponly.efi"},
		{dhcp.Question{MAC: web01, Firmware: dhcp.UEFIHTTP}, "10.0.0.5", "http://10.0.0.1/boot/snponly.efi"},
		{dhcp.Question{MAC: web01, Firmware: dhcp.IPXE}, "10.0.0.5", "http://10.0.0.1/boot/52-54-00-00-00-01.ipxe"},
		{dhcp.Question{MAC: web01}, "10.0.0.5", ""},
	} {
		e, err := s.Explain(c.q)
		if err != nil || e.IP.String() != c.ip || e.BootFile != c.file || e.Reason == "" {
			t.Errorf("Explain(%+v) = %+v, %v", c.q, e, err)
		}
	}
	e, err := s.Explain(dhcp.Question{MAC: web01, Firmware: dhcp.UEFI})
	said := map[int]string{}
	for _, o := range e.Options {
		said[o.Code] = o.Name + " " + o.Value + " from " + o.From
	}
	for code, want := range map[int]string{
		1: "subnet-mask 255.255.255.0 from subnet", 6: "domain-name-servers 10.0.0.1 from builtin", 53: "dhcp-message-type 2 from builtin",
		67: "boot-file-name snponly.efi from boot",
	} {
		if said[code] != want {
			t.Errorf("option %d is %q, want %q", code, said[code], want)
		}
	}
	if err != nil || e.Subnet.String() != "10.0.0.0/24" {
		t.Errorf("in %s, %v", e.Subnet, err)
	}
	if e, err := s.Explain(dhcp.Question{MAC: web01}); err != nil || e.To != "10.0.0.5:68 in a frame to "+web01+", as it has no address yet" {
		t.Errorf("a system is answered at %q, %v", e.To, err)
	}
	if e, err := s.Explain(dhcp.Question{MAC: web01, Firmware: "19"}); err != nil || !strings.Contains(e.Reason, "no loader for architecture [19]") {
		t.Errorf("arm64 by HTTP: %+v, %v", e, err)
	}
	if _, err := s.Explain(dhcp.Question{MAC: web01, Firmware: "toaster"}); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("an unknown firmware: %v", err)
	}
	if e, err := s.Explain(dhcp.Question{MAC: stranger, Subnet: "sub_b", Firmware: dhcp.BIOS}); err != nil || !netip.MustParsePrefix("10.9.0.0/24").Contains(e.IP) || e.BootFile != "" {
		t.Errorf("a stranger on sub_b: %+v, %v", e, err)
	}
	if _, err := s.Explain(dhcp.Question{MAC: "nonsense"}); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("a bad MAC: %v", err)
	}
	if _, err := s.Explain(dhcp.Question{MAC: web01, Subnet: "sub_none"}); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("an unknown subnet: %v", err)
	}
}

// Of two subnets of one prefix in two VRFs the one that is asked about is explained,
// as its relay names it (RFC 6607).
func TestExplainVRF(t *testing.T) {
	s, err := builtin.New(builtin.Config{Address: ip("10.0.0.1"), Ledger: dhcptest.NewMemory(vrfSeed())})
	if err != nil {
		t.Fatal(err)
	}
	for sub, want := range map[sprout.SubnetID]string{"sub_blue": "10.0.0.200/30", "sub_a": "10.0.0.100/30", "": "10.0.0.100/30"} {
		e, err := s.Explain(dhcp.Question{MAC: stranger, Subnet: sub})
		if err != nil || !netip.MustParsePrefix(want).Contains(e.IP) || e.Subnet.String() != "10.0.0.0/24" {
			t.Errorf("%q: %s of %s, %v; want one of %s", sub, e.IP, e.Subnet, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	l := dhcptest.NewMemory(seed())
	for name, c := range map[string]builtin.Config{
		"no ledger":          {Address: ip("10.0.0.1")},
		"no address":         {Ledger: l},
		"IPv6":               {Ledger: l, Address: ip("2001:db8::1")},
		"a lease of nothing": {Ledger: l, Address: ip("10.0.0.1"), LeaseTime: time.Millisecond},
	} {
		if _, err := builtin.New(c); err == nil || sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecide(f *testing.F) {
	for _, kind := range []dhcpv4.MessageType{discover, request, dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeInform} {
		p, err := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{5, 4, 10, 0, 0, 0, 19, 0}),
			dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 7}), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(10, 0, 0, 101))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.ToBytes())
	}
	for _, wire := range dhcptest.Captures(f) {
		f.Add(wire)
	}
	set := vrfSeed() // all that a decision may come by
	set.Subnets[1].DHCP = sprout.DHCPProxy
	for _, value := range []sprout.DHCPSetting{{Class: "arch=7,vendor=PXE"}, {Always: true}, {Class: "user=iPXE"}} {
		value.Version, value.Name, value.Value = 4, "option-224", strings.Repeat("ab", 200)
		o, err := dhcp.CheckSetting(value)
		if err != nil {
			f.Fatal(err)
		}
		set.Options = append(set.Options, o)
	}
	s := builtin.Site{
		Ledger: dhcptest.NewMemory(set), Offers: &builtin.Offers{}, Address: ip("10.0.0.1"), BootURL: "http://10.0.0.1",
		Loaders: builtin.DefaultLoaders, LeaseTime: time.Minute, Now: now,
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := builtin.Parse(wire, netip.MustParseAddrPort("10.0.0.9:68"), ip("255.255.255.255"))
		if err != nil {
			t.Skip("not a DHCP packet")
		}
		a := builtin.Decide(r, s)
		if a.Reason == "" {
			t.Error("no reason")
		}
		if a.Reply != nil {
			if gives := !a.Reply.YourIPAddr.IsUnspecified(); gives && !a.Hold.IsValid() {
				t.Error("an address is given that is not kept for the client")
			}
			if !a.To.To.IsValid() {
				t.Error("a reply to nowhere")
			}
			if _, err := dhcpv4.FromBytes(a.Reply.ToBytes()); err != nil {
				t.Errorf("a reply that cannot be read: %v", err)
			}
		}
	})
}
