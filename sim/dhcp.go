package sim

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
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
	inSystem   stage = "system" // an operating system, which boots nothing
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
	offer, err := relay.ask(ctx, dhcpv4.MessageTypeOffer, func() (*dhcpv4.DHCPv4, error) {
		return m.request(s, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover))
	})
	if err != nil {
		return lease{}, fmt.Errorf("cannot get an offer: %w", err)
	}
	if f, hit := m.fault(OtherServer, StepDHCP, 0); hit && s == inFirmware {
		return lease{}, m.takeOther(ctx, relay, offer, f)
	}
	ack, err := relay.ask(ctx, dhcpv4.MessageTypeAck, func() (*dhcpv4.DHCPv4, error) {
		return m.request(s, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
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
	_, err := r.ask(ctx, dhcpv4.MessageTypeAck, func() (*dhcpv4.DHCPv4, error) {
		return m.request(inFirmware, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
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
	msg, err := m.request(inFirmware, dhcpv4.WithMessageType(dhcpv4.MessageTypeDecline),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ack.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ack.ServerIdentifier())))
	if err != nil {
		return err
	}
	if _, err := r.conn.WriteToUDPAddrPort(msg.ToBytes(), r.server); err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	m.note(StepDHCP, "fault: %s: declines %s", f, ack.YourIPAddr)
	return fmt.Errorf("somebody uses %s", ack.YourIPAddr)
}

// takeOther says for all to hear that the machine takes the offer of another
// server, and hangs: that one's loader leads nowhere.
func (m *Machine) takeOther(ctx context.Context, r *relay, offer *dhcpv4.DHCPv4, f Fault) error {
	msg, err := m.request(inFirmware, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(cmp.Or(f.Device, otherServer)))))
	if err != nil {
		return err
	}
	if _, err := r.conn.WriteToUDPAddrPort(msg.ToBytes(), r.server); err != nil {
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
func (m *Machine) request(s stage, more ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	arch := m.arch()
	class := fmt.Sprintf("PXEClient:Arch:%05d:UNDI:002001", arch)
	if m.spec.HTTPBoot && s == inFirmware {
		class = fmt.Sprintf("HTTPClient:Arch:%05d:UNDI:003000", arch)
	}
	uuid, err := hex.DecodeString(strings.ReplaceAll(m.spec.UUID, "-", ""))
	if err != nil || len(uuid) != 16 {
		return nil, sprout.InvalidField("uuid", "%q is no UUID", m.spec.UUID)
	}
	with := []dhcpv4.Modifier{
		dhcpv4.WithHwAddr(m.mac),
		dhcpv4.WithBroadcast(true),
		dhcpv4.WithRequestedOptions(
			dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName,
			dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName, dhcpv4.OptionClassIdentifier),
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1472)),
	}
	if s != inSystem {
		with = append(with,
			dhcpv4.WithOption(dhcpv4.OptClassIdentifier(class)),
			// RFC 4578 sections 2.1 to 2.3
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{byte(arch >> 8), byte(arch)})),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 3, 16})),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, append([]byte{0}, uuid...))))
	}
	if s == inIPXE {
		with = append(with,
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE"))),
			// iPXE's encapsulated options: 177 bus id, 19 HTTP, 39 bzImage (ipxe.org/howto/dhcpd)
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(175), []byte{177, 5, 1, 0x1a, 0xf4, 0x10, 0, 19, 1, 1, 39, 1, 1})))
	}
	p, err := dhcpv4.New(append(with, more...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a DHCP message: %w", err)
	}
	p.HopCount = 1
	p.GatewayIPAddr = m.wire.Relay.AsSlice()
	// RFC 8357: an empty sub-option 19 asks for answers to the source port.
	p.UpdateOption(dhcpv4.OptRelayAgentInfo(dhcpv4.OptGeneric(relaySourcePort, nil)))
	return p, nil
}

const relaySourcePort = dhcpv4.GenericOptionCode(19) // of option 82, RFC 8357 section 4

// arch is the RFC 4578 architecture of the machine's firmware.
func (m *Machine) arch() uint16 {
	arm := m.spec.Architecture == sprout.ARM64
	switch {
	case m.spec.BootMode == sprout.BIOS:
		return 0
	case m.spec.HTTPBoot && arm:
		return 19
	case m.spec.HTTPBoot:
		return 16
	case arm:
		return 11
	}
	return 7
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
func (r *relay) ask(ctx context.Context, want dhcpv4.MessageType, message func() (*dhcpv4.DHCPv4, error)) (*dhcpv4.DHCPv4, error) {
	msg, err := message()
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
func (r *relay) send(msg *dhcpv4.DHCPv4) error {
	_, err := r.conn.WriteToUDPAddrPort(msg.ToBytes(), r.server)
	if err == nil && r.twice {
		_, err = r.conn.WriteToUDPAddrPort(msg.ToBytes(), r.server)
	}
	return err
}

// same waits for the second answer to a packet that was carried twice; one that
// says something else is an error. A server may also answer once only.
func (r *relay) same(msg, first *dhcpv4.DHCPv4, want dhcpv4.MessageType, deadline time.Time) error {
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
func (r *relay) receive(msg *dhcpv4.DHCPv4, want dhcpv4.MessageType, deadline time.Time) (*dhcpv4.DHCPv4, error) {
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
