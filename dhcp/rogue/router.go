package rogue

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// A Router is what a router advertisement says.
type Router struct {
	Address  netip.Addr // link-local, that it speaks from
	Lasts    time.Duration
	Prefixes []netip.Prefix // of which hosts make addresses, or that they take to be on the link
}

// routerOf reads a frame with a router advertisement (RFC 4861 section 4.2); not
// ok: it is none, not a valid one (section 6.1.2), or our own.
func routerOf(frame []byte, own net.HardwareAddr) (r Router, s Server, ok bool) {
	const header = 16
	if len(frame) < ethernet+ipv6Header+header || bytes.Equal(frame[6:12], own) || binary.BigEndian.Uint16(frame[etherType:]) != unix.ETH_P_IPV6 {
		return r, s, false
	}
	p := frame[ethernet:]
	body := p[ipv6Header:min(len(p), ipv6Header+int(binary.BigEndian.Uint16(p[4:])))]
	r.Address = netip.AddrFrom16([16]byte(p[8:24]))
	if p[6] != unix.IPPROTO_ICMPV6 || p[7] != 255 || !r.Address.IsLinkLocalUnicast() || len(body) < header || body[0] != routerSays {
		return r, s, false
	}
	r.Lasts = time.Duration(binary.BigEndian.Uint16(body[6:])) * time.Second
	for o := body[header:]; len(o) >= 8; {
		n := int(o[1]) * 8
		if n == 0 || n > len(o) {
			return r, s, false
		}
		if prefix, ok := prefixOf(o[:n]); ok {
			r.Prefixes = append(r.Prefixes, prefix)
		}
		o = o[n:]
	}
	return r, Server{Address: r.Address, MAC: net.HardwareAddr(frame[6:12]).String(), Router: true}, true
}

// prefixOf reads an option of prefix information (RFC 4861 section 4.6.2); not ok:
// it is another, or says that the prefix is over.
func prefixOf(o []byte) (p netip.Prefix, ok bool) {
	const kind, size, usable = 3, 32, 0xc0 // on the link, or for addresses
	if o[0] != kind || len(o) != size || o[2] > 128 || o[3]&usable == 0 || binary.BigEndian.Uint32(o[4:]) == 0 {
		return p, false
	}
	p = netip.PrefixFrom(netip.AddrFrom16([16]byte(o[16:32])), int(o[2])).Masked()
	return p, p.Bits() > 0 && !p.Addr().IsLinkLocalUnicast()
}

// askRouters sends a router solicitation (RFC 4861 section 4.1) to all routers of
// the link but the agent itself: who advertises rarely is heard all the same.
func askRouters(device *net.Interface) error {
	conn, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is read from it
	p := ipv6.NewPacketConn(conn)
	if err := p.SetMulticastLoopback(false); err != nil {
		return err
	}
	if err := p.SetMulticastHopLimit(255); err != nil {
		return err
	}
	const solicitation = 133
	_, err = conn.WriteTo([]byte{solicitation, 7: 0}, &net.IPAddr{IP: net.IPv6linklocalallrouters, Zone: device.Name}) // the kernel sums it up
	return err
}
