package rogue

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The lengths of headers, and where their fields are, in bytes.
const (
	ethernet, ipv6Header, udpHeader = 14, 40, 8
	etherType                       = 12
	ipv4Protocol                    = ethernet + 9
	ipv6Next                        = ethernet + 6

	allProtocols = unix.ETH_P_ALL
	serverPort   = 67
	clientPort   = 68
	serverPort6  = 547
	routerSays   = 134 // ICMPv6 type of a router advertisement
)

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// fromServers is a filter that lets through what servers and routers send: UDP
// from port 67, or over IPv6 from 547, and router advertisements.
func fromServers() []bpf.RawInstruction {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: etherType, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 13},
		bpf.LoadAbsolute{Off: ipv4Protocol, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 11},
		bpf.LoadMemShift{Off: ethernet},
		bpf.LoadIndirect{Off: ethernet, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: serverPort, SkipTrue: 7, SkipFalse: 8},
		bpf.LoadAbsolute{Off: ipv6Next, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 5},
		bpf.LoadAbsolute{Off: ethernet + ipv6Header, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: serverPort6, SkipTrue: 2, SkipFalse: 3},
		bpf.LoadAbsolute{Off: ethernet + ipv6Header, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: routerSays, SkipTrue: 1},
		bpf.RetConstant{Val: 2048},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		panic(err) // the program is a constant
	}
	return program
}

// serverOf tells who sent a frame with an answer of a DHCP server; not ok: it is
// none, or our own.
func serverOf(frame []byte, own net.HardwareAddr) (s Server, ok bool) {
	if len(frame) < ethernet || bytes.Equal(frame[6:12], own) {
		return s, false
	}
	s.MAC = net.HardwareAddr(frame[6:12]).String()
	switch body := frame[ethernet:]; binary.BigEndian.Uint16(frame[etherType:]) {
	case unix.ETH_P_IP:
		return s.by4(body)
	case unix.ETH_P_IPV6:
		return s.by6(body)
	}
	return s, false
}

// by4 reads a packet of IPv4 (RFC 791).
func (s Server) by4(p []byte) (Server, bool) {
	if len(p) < 20 || len(p) < int(p[0]&15)*4+udpHeader {
		return s, false
	}
	m, err := dhcpv4.FromBytes(p[int(p[0]&15)*4+udpHeader:])
	if err != nil || m.OpCode != dhcpv4.OpcodeBootReply {
		return s, false
	}
	s.Address = netip.AddrFrom4([4]byte(p[12:16]))
	if id := m.ServerIdentifier().To4(); id != nil { // a relay speaks for it
		s.Address = netip.AddrFrom4([4]byte(id))
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak:
		s.Says = fmt.Sprintf("%s of %s", m.MessageType(), m.YourIPAddr)
		return s, !s.Address.IsUnspecified()
	default:
		return s, false
	}
}

// by6 reads a packet of IPv6 (RFC 8200).
func (s Server) by6(p []byte) (Server, bool) {
	if len(p) < ipv6Header+udpHeader || p[ipv6Next-ethernet] != unix.IPPROTO_UDP {
		return s, false
	}
	m, err := dhcpv6.MessageFromBytes(p[ipv6Header+udpHeader:])
	if err != nil || m.Options.ServerID() == nil || m.MessageType != dhcpv6.MessageTypeAdvertise && m.MessageType != dhcpv6.MessageTypeReply {
		return s, false
	}
	s.Address = netip.AddrFrom16([16]byte(p[8:24]))
	s.DUID = hex.EncodeToString(m.Options.ServerID().ToBytes())
	s.Says = fmt.Sprintf("%s of the server %s", m.MessageType, s.DUID)
	return s, true
}
