package probe

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Where things lie in a frame: Ethernet, and ARP (RFC 826) or IPv6 (RFC 8200)
// and ICMPv6 (RFC 4861 section 4).
const (
	arp        = 14
	arpBytes   = arp + 28
	ip6        = 14
	icmp6      = ip6 + 40
	icmp6Bytes = icmp6 + 24

	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
	targetLinkLayer        = 2
)

// arpProbe asks for an address without saying one's own (RFC 5227 section 2.1.1).
func arpProbe(mac net.HardwareAddr, ip netip.Addr) []byte {
	b := make([]byte, arpBytes)
	copy(b, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(b[6:], mac)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_ARP)
	copy(b[arp:], []byte{0, 1, 8, 0, 6, 4, 0, 1}) // Ethernet, IPv4, their lengths, request
	copy(b[arp+8:], mac)
	copy(b[arp+24:], ip.AsSlice())
	return b
}

// readARP returns the address that a frame says is somebody's, and whose: its
// sender's, or what another probe asks for.
func readARP(b []byte) (ip netip.Addr, mac net.HardwareAddr) {
	if len(b) < arpBytes || binary.BigEndian.Uint32(b[arp:]) != 0x0001_0800 || b[arp+4] != 6 || b[arp+5] != 4 {
		return ip, nil
	}
	if ip = netip.AddrFrom4([4]byte(b[arp+14:])); ip.IsUnspecified() {
		ip = netip.AddrFrom4([4]byte(b[arp+24:]))
	}
	return ip, net.HardwareAddr(b[arp+8 : arp+14])
}

// solicitation asks for an address as duplicate address detection does: from no
// address, without a link-layer address (RFC 4862 section 5.4.2).
func solicitation(mac net.HardwareAddr, ip netip.Addr) []byte {
	b, target := make([]byte, icmp6Bytes), ip.As16()
	group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]} // RFC 4291 section 2.7.1
	copy(b, []byte{0x33, 0x33, group[12], group[13], group[14], group[15]})                              // RFC 2464 section 7
	copy(b[6:], mac)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IPV6)
	b[ip6] = 6 << 4
	binary.BigEndian.PutUint16(b[ip6+4:], icmp6Bytes-icmp6)
	b[ip6+6], b[ip6+7] = unix.IPPROTO_ICMPV6, 255
	copy(b[ip6+24:], group[:])
	b[icmp6] = neighbourSolicitation
	copy(b[icmp6+8:], target[:])
	binary.BigEndian.PutUint16(b[icmp6+2:], checksum(b))
	return b
}

// checksum is that of ICMPv6 with its pseudo-header (RFC 4443 section 2.3).
func checksum(b []byte) uint16 {
	sum := uint32(unix.IPPROTO_ICMPV6) + uint32(len(b)-icmp6)
	for i := ip6 + 8; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// readNeighbour is readARP of an advertisement, or of the solicitation of somebody
// who detects duplicates too. Only frames of this link count (RFC 4861 section 7.1).
func readNeighbour(b []byte) (ip netip.Addr, mac net.HardwareAddr) {
	if len(b) < icmp6Bytes || b[ip6+6] != unix.IPPROTO_ICMPV6 || b[ip6+7] != 255 || b[icmp6+1] != 0 {
		return ip, nil
	}
	from := netip.AddrFrom16([16]byte(b[ip6+8:]))
	ip, mac = netip.AddrFrom16([16]byte(b[icmp6+8:])), net.HardwareAddr(b[6:12])
	switch {
	case b[icmp6] == neighbourSolicitation && from.IsUnspecified():
		return ip, mac
	case b[icmp6] != neighbourAdvertisement:
		return netip.Addr{}, nil
	}
	for o := b[icmp6Bytes:]; len(o) >= 8 && o[1] > 0 && len(o) >= int(o[1])*8; o = o[int(o[1])*8:] {
		if o[0] == targetLinkLayer {
			mac = net.HardwareAddr(o[2:8])
		}
	}
	return ip, mac
}

// neighbours has the kernel pass solicitations and advertisements only: all of a
// link's IPv6 would be a lot.
var neighbours = func() []bpf.RawInstruction {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: ip6 + 6, Size: 1},
		bpf.JumpIf{Val: unix.IPPROTO_ICMPV6, SkipFalse: 4},
		bpf.LoadAbsolute{Off: icmp6, Size: 1},
		bpf.JumpIf{Val: neighbourSolicitation, SkipTrue: 1},
		bpf.JumpIf{Val: neighbourAdvertisement, SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 11},
		bpf.RetConstant{},
	})
	if err != nil {
		panic(err) // the program above is wrong
	}
	return program
}()
