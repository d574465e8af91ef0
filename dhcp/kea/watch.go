package kea

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sprout"
	"sprout/dhcp/builtin"
)

// watch tells of the boots that are seen on the device, until ctx ends: Kea tells
// of none. It only listens. Without a device nothing is seen.
func (s *Server) watch(ctx context.Context) error {
	device, err := net.InterfaceByName(s.config.Interface)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot watch interface %s: %w", s.config.Interface, err)
	}
	filter, err := bpf.Assemble(onlyDHCP)
	if err != nil {
		return err
	}
	conn, err := packet.Listen(device, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: filter})
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot watch %s (that needs CAP_NET_RAW): %w", s.config.Interface, err)
	}
	defer conn.Close()                                          //nolint:errcheck // nothing is written
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends the reading
	seen, buf := sight{clients: map[string]client{}}, make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		from, payload, ok := unwrap(buf[:n])
		if !ok {
			continue
		}
		p, err := dhcpv4.FromBytes(payload)
		if err != nil {
			continue
		}
		if e, ok := seen.event(p, from); ok {
			e.At = s.config.Now()
			s.config.Events(e)
		}
	}
}

// onlyDHCP lets whole IPv4 datagrams of UDP to port 67 or 68 pass.
var onlyDHCP = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 8},
	bpf.LoadAbsolute{Off: 23, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
	bpf.LoadAbsolute{Off: 20, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
	bpf.LoadMemShift{Off: 14},
	bpf.LoadIndirect{Off: 16, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 67, SkipTrue: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 68, SkipTrue: 1},
	bpf.RetConstant{Val: 0},
	bpf.RetConstant{Val: 1 << 16},
}

// unwrap takes Ethernet, IPv4 and UDP off a frame that onlyDHCP let pass.
func unwrap(frame []byte) (from netip.Addr, payload []byte, ok bool) {
	const ethernet, udp = 14, 8
	if len(frame) < ethernet+20+udp {
		return from, nil, false
	}
	ip := frame[ethernet:]
	header, whole := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if header < 20 || whole > len(ip) || whole < header+udp {
		return from, nil, false
	}
	return netip.AddrFrom4([4]byte(ip[12:16])), ip[header+udp : whole], true
}

// A client is what its last packet said.
type client struct {
	name   string // as sprout.BootEvent.Client
	xid    dhcpv4.TransactionID
	renews bool
}

// mostClients is of how many clients the last packet is remembered.
const mostClients = 4096

// A sight makes boot events of packets: requests, and Kea's answers to them.
type sight struct {
	clients map[string]client // by MAC
}

// event is what a packet tells of a boot; false: nothing, as a renewal.
func (s *sight) event(p *dhcpv4.DHCPv4, from netip.Addr) (e sprout.BootEvent, ok bool) {
	if len(p.ClientHWAddr) != 6 {
		return e, false
	}
	e = sprout.BootEvent{MAC: p.ClientHWAddr.String(), From: from}
	if p.OpCode == dhcpv4.OpcodeBootRequest {
		return s.request(e, p)
	}
	c := s.clients[e.MAC]
	if c.xid != p.TransactionID || c.renews {
		return e, false
	}
	verb := ""
	switch p.MessageType() {
	case dhcpv4.MessageTypeOffer:
		e.What, verb = sprout.SawOffer, "offers "
	case dhcpv4.MessageTypeAck:
		e.What, verb = sprout.SawAck, "gives "
	default:
		return e, false
	}
	e.Client, e.File = c.name, p.BootFileName
	if name := p.BootFileNameOption(); name != "" {
		e.File = name
	}
	e.IP, _ = netip.AddrFromSlice(p.YourIPAddr.To4())
	e.Detail = "Kea " + verb + e.IP.String()
	if e.File != "" {
		e.Detail += ", to boot " + e.File
	}
	return e, true
}

func (s *sight) request(e sprout.BootEvent, p *dhcpv4.DHCPv4) (sprout.BootEvent, bool) {
	c := client{name: builtin.ClientOf(p), xid: p.TransactionID}
	wants, _ := netip.AddrFromSlice(p.RequestedIPAddress().To4())
	c.renews = p.MessageType() == dhcpv4.MessageTypeRequest && !wants.IsValid()
	if len(s.clients) >= mostClients {
		clear(s.clients)
	}
	s.clients[e.MAC] = c
	e.Client = c.name
	switch {
	case p.MessageType() == dhcpv4.MessageTypeDiscover:
		e.What, e.Detail = sprout.SawDiscover, builtin.Speaker(c.name)+" asks for an address"
	case p.MessageType() == dhcpv4.MessageTypeRequest && !c.renews:
		e.What, e.IP, e.Detail = sprout.SawRequest, wants, fmt.Sprintf("%s takes %s", builtin.Speaker(c.name), wants)
	default:
		return e, false
	}
	if relay := p.GatewayIPAddr; relay != nil && !relay.IsUnspecified() {
		e.Detail += ", by the relay " + relay.String()
	}
	return e, true
}
