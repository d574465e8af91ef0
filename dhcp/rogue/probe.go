package rogue

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// nobody is the hardware address that an agent asks with: its own, marked as one
// that is administered locally. A server sees the same one each time, and holds no
// more than one address for it.
func nobody(own net.HardwareAddr) net.HardwareAddr {
	mac := slices.Clone(own)
	mac[0] ^= 0x02
	return mac
}

// discover is a frame with a DHCPDISCOVER (RFC 2131 section 4.4.1) whose answer is
// to be broadcast. It comes from no address, and is made here so that the agent's
// own server does not hear it.
func discover(own net.HardwareAddr) []byte {
	m, err := dhcpv4.NewDiscovery(nobody(own), dhcpv4.WithBroadcast(true))
	if err != nil {
		return nil // no randomness: it never happens
	}
	payload := m.ToBytes()
	const ip = 20
	b := make([]byte, ethernet+ip+udpHeader, ethernet+ip+udpHeader+len(payload))
	copy(b, broadcast)
	copy(b[6:], own)
	binary.BigEndian.PutUint16(b[etherType:], unix.ETH_P_IP)
	h := b[ethernet:]
	h[0], h[8], h[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(h[2:], uint16(ip+udpHeader+len(payload)))
	copy(h[16:20], net.IPv4bcast.To4())
	var sum uint32
	for i := 0; i < ip; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum>>16+sum&0xffff)) // RFC 1071
	u := h[ip:]
	binary.BigEndian.PutUint16(u, clientPort)
	binary.BigEndian.PutUint16(u[2:], serverPort)
	binary.BigEndian.PutUint16(u[4:], uint16(udpHeader+len(payload))) // no checksum: RFC 768 lets that be
	return append(b, payload...)
}

// solicit sends a Solicit (RFC 8415 section 18.2.1) to all servers of the link but
// the agent's own. Each answers to the interface's link-local address.
func solicit(device *net.Interface) error {
	m, err := dhcpv6.NewSolicit(nobody(device.HardwareAddr))
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is read from it
	if err := ipv6.NewPacketConn(conn).SetMulticastLoopback(false); err != nil {
		return err
	}
	_, err = conn.WriteToUDP(m.ToBytes(), &net.UDPAddr{IP: dhcpv6.AllDHCPRelayAgentsAndServers, Port: serverPort6, Zone: device.Name})
	return err
}
