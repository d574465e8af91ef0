package builtin6

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// An identity is who asks. One machine shows several DUIDs: those of its
// firmware, of iPXE (the same UUID in another order of bytes) and of its
// system. So it is known by the MAC that it speaks from, wherever that can be
// had, and by its DUID only where it cannot.
type identity struct {
	mac  string // empty: not known
	duid []byte
	how  string // what it was known by
}

// identify looks for the MAC in what says it most directly first. A DUID comes
// late: a system with two ports has one DUID, made of either's MAC.
func (d *decision) identify() identity {
	r, duid := d.r, d.r.Message.Options.ClientID()
	if duid == nil {
		return identity{}
	}
	id := identity{duid: duid.ToBytes()}
	relay := r.nearest()
	if relay != nil {
		if kind, mac := relay.Options.ClientLinkLayerAddress(); kind == iana.HWTypeEthernet && len(mac) == 6 {
			id.mac, id.how = mac.String(), "the MAC that its relay saw"
			return id
		}
	}
	if relay == nil && r.Frame != "" {
		id.mac, id.how = r.Frame, "the MAC that it sent from"
		return id
	}
	if mac, ok := fromEUI64(r.client()); ok {
		id.mac, id.how = mac, "the MAC in its link-local address"
		return id
	}
	if mac := macOf(duid); len(mac) == 6 {
		id.mac, id.how = mac.String(), "the MAC in its DUID"
		return id
	}
	d.byUUID(&id, duid)
	return id
}

// byUUID looks for a machine with the UUID of a DUID (RFC 6355), whose first
// three fields EDK2 writes in the order of SMBIOS, and iPXE in that of RFC 9562.
func (d *decision) byUUID(id *identity, duid dhcpv6.DUID) {
	id.how = "its DUID alone"
	u, ok := duid.(*dhcpv6.DUIDUUID)
	if !ok {
		return
	}
	for _, try := range []struct {
		uuid [16]byte
		how  string
	}{{u.UUID, "the UUID in its DUID"}, {swapped(u.UUID), "the UUID in its DUID, as EDK2 writes it"}} {
		m, ok := d.s.Ledger.KnownByUUID(uuidText(try.uuid))
		if !ok || len(m.MACs) == 0 {
			continue
		}
		id.mac, id.how = m.MACs[0], try.how
		for _, mac := range m.MACs {
			if res, ok := d.s.Ledger.Reservation(mac); ok && within(d.link, res.IP) != nil {
				id.mac = mac
			}
		}
		return
	}
}

// key is what the leases of the client's n-th association are found by. All
// programs of a machine share the first.
func (id identity) key(n int, iaid [4]byte) (key, clientID string) {
	if n == 0 && id.mac != "" {
		return id.mac, ""
	}
	raw := id.duid
	if n > 0 {
		raw = append(append([]byte{}, raw...), iaid[:]...)
	}
	clientID = hex.EncodeToString(raw)
	return clientID, clientID
}

// show names the client for people.
func (id identity) show() string {
	if id.mac != "" {
		return id.mac
	}
	return hex.EncodeToString(id.duid)
}

// macOf is the Ethernet address of a DUID-LLT or DUID-LL (RFC 8415 sections 11.2
// and 11.4).
func macOf(duid dhcpv6.DUID) net.HardwareAddr {
	switch u := duid.(type) {
	case *dhcpv6.DUIDLLT:
		if u.HWType == iana.HWTypeEthernet {
			return u.LinkLayerAddr
		}
	case *dhcpv6.DUIDLL:
		if u.HWType == iana.HWTypeEthernet {
			return u.LinkLayerAddr
		}
	}
	return nil
}

// fromEUI64 reads the MAC out of a link-local address that was made of one (RFC
// 4291 appendix A).
func fromEUI64(ip netip.Addr) (string, bool) {
	if !ip.Is6() || !ip.IsLinkLocalUnicast() {
		return "", false
	}
	b := ip.As16()
	if b[11] != 0xff || b[12] != 0xfe {
		return "", false
	}
	return net.HardwareAddr{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}.String(), true
}

// toEUI64 is the reverse.
func toEUI64(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

func swapped(u [16]byte) [16]byte {
	return [16]byte{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]}
}

func uuidText(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
