package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// A lease is what DHCP gave the machine.
type lease struct {
	ip       netip.Addr
	server   netip.Addr // next server
	file     string     // boot file name or URL
	hostname string
}

// A stage is who speaks DHCP in a boot.
type stage string

const (
	inFirmware stage = "firmware"
	inIPXE     stage = "iPXE"
	inRamdisk  stage = "ramdisk"
)

// otherServer is in TEST-NET-1 (RFC 5737).
const otherServer = "192.0.2.67"

const (
	offerWithin = 500 * time.Millisecond // the first wait; doubled with each try (RFC 2131 section 4.1)
	dhcpTries   = 4
)

// acquire gets an address as the machine's firmware or iPXE does: DISCOVER,
// OFFER, REQUEST, ACK, through the relay.
func (m *Machine) acquire(ctx context.Context, s stage) (lease, error) {
	relay, err := m.openRelay(ctx)
	if err != nil {
		return lease{}, err
	}
	defer relay.Close()
	if s == inFirmware {
		if err := m.troubleDHCP(ctx, relay); err != nil {
			return lease{}, err
		}
	}
	offer, err := relay.ask(ctx, dhcpv4.MessageTypeOffer, func() (message, error) {
		return m.request(s, dhcpv4.MessageTypeDiscover)
	})
	if err != nil {
		return lease{}, fmt.Errorf("cannot get an offer: %w", err)
	}
	if f, hit := m.fault(OtherServer, StepDHCP, 0); hit && s == inFirmware {
		return lease{}, m.takeOther(ctx, relay, offer, f)
	}
	ack, err := relay.ask(ctx, dhcpv4.MessageTypeAck, func() (message, error) {
		return m.request(s, dhcpv4.MessageTypeRequest,
			dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())),
			dhcpv4.WithTransactionID(offer.TransactionID))
	})
	if err != nil {
		return lease{}, fmt.Errorf("cannot get a lease of %s: %w", offer.YourIPAddr, err)
	}
	if f, hit := m.fault(Taken, StepDHCP, 0); hit && s == inFirmware {
		return lease{}, m.decline(relay, ack, f)
	}
	return read(ack)
}

// troubleDHCP lets the faults happen that are there before the first DISCOVER.
func (m *Machine) troubleDHCP(ctx context.Context, r *relay) error {
	if f, hit := m.fault(Twice, StepDHCP, 0); hit {
		m.note(StepDHCP, "fault: %s", f)
		r.twice = true
	}
	f, hit := m.fault(Nak, StepDHCP, 0)
	if !hit {
		return nil
	}
	// INIT-REBOOT (RFC 2131 section 4.3.2): an address of the network where it
	// stood before, here one of TEST-NET-1 (RFC 5737).
	_, err := r.ask(ctx, dhcpv4.MessageTypeAck, func() (message, error) {
		return m.request(inFirmware, dhcpv4.MessageTypeRequest,
			dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 0, 2, 7))))
	})
	if !errors.Is(err, errNak) {
		return fmt.Errorf("cannot be refused an address of another network: %w", err)
	}
	m.note(StepDHCP, "fault: %s: %v", f, err)
	return nil
}

// decline tells the server that somebody uses the address already (RFC 2131
// section 4.4.4), and starts over.
func (m *Machine) decline(r *relay, ack *dhcpv4.DHCPv4, f Fault) error {
	msg, err := m.request(inFirmware, dhcpv4.MessageTypeDecline,
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ack.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ack.ServerIdentifier())))
	if err != nil {
		return err
	}
	if _, err := r.conn.WriteToUDPAddrPort(msg.wire(), r.server); err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	m.note(StepDHCP, "fault: %s: declines %s", f, ack.YourIPAddr)
	return fmt.Errorf("somebody uses %s", ack.YourIPAddr)
}

// takeOther says for all to hear that the machine takes the offer of another
// server, and hangs: that one's loader leads nowhere.
func (m *Machine) takeOther(ctx context.Context, r *relay, offer *dhcpv4.DHCPv4, f Fault) error {
	msg, err := m.request(inFirmware, dhcpv4.MessageTypeRequest,
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(cmp.Or(f.Device, otherServer)))))
	if err != nil {
		return err
	}
	if _, err := r.conn.WriteToUDPAddrPort(msg.wire(), r.server); err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	return m.hang(ctx, f)
}

// read takes from an ACK what a boot needs.
func read(ack *dhcpv4.DHCPv4) (lease, error) {
	ip, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || ip.IsUnspecified() {
		return lease{}, errors.New("cannot use the lease: it has no address")
	}
	l := lease{ip: ip, file: ack.BootFileNameOption(), hostname: ack.HostName()}
	if l.file == "" {
		l.file = ack.BootFileName
	}
	l.server, _ = netip.AddrFromSlice(ack.ServerIPAddr.To4())
	if name := ack.TFTPServerName(); name != "" {
		if a, err := netip.ParseAddr(name); err == nil {
			l.server = a
		}
	}
	return l, nil
}

// request makes one message as the stage would send it, relayed.
func (m *Machine) request(s stage, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) (message, error) {
	p, err := m.dialect(s).say(m, kind, s, more...)
	if err != nil {
		return message{}, err
	}
	p.HopCount = 1
	p.GatewayIPAddr = m.wire.Relay.AsSlice()
	// RFC 8357: an empty sub-option 19 asks for answers to the source port.
	p.UpdateOption(dhcpv4.OptRelayAgentInfo(dhcpv4.OptGeneric(relaySourcePort, nil)))
	return p, nil
}

const relaySourcePort = dhcpv4.GenericOptionCode(19) // of option 82, RFC 8357 section 4

// The RFC 4578 architectures that boot UEFI of amd64.
const (
	archUEFI = 7
	archHTTP = 16
)

// arch is the RFC 4578 architecture of the machine's firmware.
func (m *Machine) arch() uint16 {
	arm := m.spec.Architecture == sprout.ARM64
	switch {
	case m.spec.BootMode == sprout.BIOS:
		return 0
	case m.spec.HTTPBoot && arm:
		return 19
	case m.spec.HTTPBoot:
		return archHTTP
	case arm:
		return 11
	}
	return archUEFI
}

// A relay is the relay agent of one machine: a socket in the machine's subnet
// that carries its broadcasts to the server and the answers back.
type relay struct {
	conn   socket
	server netip.AddrPort
	within time.Duration // the first wait for an answer
	stop   func() bool
	twice  bool // every packet is carried twice
}

// errNak is a server's refusal.
var errNak = errors.New("refused")

func (m *Machine) openRelay(ctx context.Context) (*relay, error) {
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.wire.Relay, 0))
	conn, err := net.ListenUDP("udp4", local)
	if err != nil {
		return nil, fmt.Errorf("cannot stand in as relay: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // only wakes the reader
	within := m.pace.Offer
	set(&within, offerWithin)
	return &relay{conn: socket{conn, &m.cable}, server: m.wire.DHCP, within: within, stop: stop}, nil
}

func (r *relay) Close() {
	if r.stop() {
		_ = r.conn.Close()
	}
}

// ask sends what message makes until an answer of the wanted type comes. A NAK
// is an error.
func (r *relay) ask(ctx context.Context, want dhcpv4.MessageType, make func() (message, error)) (*dhcpv4.DHCPv4, error) {
	msg, err := make()
	if err != nil {
		return nil, err
	}
	within := r.within
	for range dhcpTries {
		if err := r.send(msg); err != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("cannot send: %w", err)
		}
		answer, err := r.receive(msg, want, time.Now().Add(within))
		if answer != nil && r.twice {
			err = r.same(msg, answer, want, time.Now().Add(within))
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if answer != nil || err != nil {
			return answer, err
		}
		within *= 2
	}
	return nil, fmt.Errorf("no answer from %s", r.server)
}

// send carries a packet to the server.
func (r *relay) send(msg message) error {
	_, err := r.conn.WriteToUDPAddrPort(msg.wire(), r.server)
	if err == nil && r.twice {
		_, err = r.conn.WriteToUDPAddrPort(msg.wire(), r.server)
	}
	return err
}

// same waits for the second answer to a packet that was carried twice; one that
// says something else is an error. A server may also answer once only.
func (r *relay) same(msg message, first *dhcpv4.DHCPv4, want dhcpv4.MessageType, deadline time.Time) error {
	second, err := r.receive(msg, want, deadline)
	if err != nil || second == nil {
		return err
	}
	if !second.YourIPAddr.Equal(first.YourIPAddr) {
		return fmt.Errorf("two answers differ: %s and %s", first.YourIPAddr, second.YourIPAddr)
	}
	return nil
}

// receive returns the answer to msg, nil if none comes before the deadline.
func (r *relay) receive(msg message, want dhcpv4.MessageType, deadline time.Time) (*dhcpv4.DHCPv4, error) {
	if err := r.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	buf := make([]byte, 2048)
	for {
		n, _, err := r.conn.ReadFromUDPAddrPort(buf)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil, nil // nothing came: said in the doc
		}
		if err != nil {
			return nil, err
		}
		answer, err := dhcpv4.FromBytes(buf[:n])
		if err != nil || answer.TransactionID != msg.TransactionID || answer.OpCode != dhcpv4.OpcodeBootReply {
			continue
		}
		switch answer.MessageType() {
		case want:
			return answer, nil
		case dhcpv4.MessageTypeNak:
			return nil, fmt.Errorf("%w: %s", errNak, answer.Message())
		default: // an answer to an earlier message
		}
	}
}
