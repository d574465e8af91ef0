// Package lldp reads and writes the frames by which the two ends of a cable tell
// each other who they are (IEEE 802.1AB-2016). It knows no sockets.
package lldp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"sprout"
)

// EtherType is that of LLDP frames, and Group the address that they are sent to:
// bridges do not forward it (clause 7.1).
const EtherType = 0x88cc

var Group = net.HardwareAddr{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e}

// Types of TLVs (table 8-1).
const (
	tlvEnd         = 0
	tlvChassis     = 1
	tlvPort        = 2
	tlvTTL         = 3
	tlvPortText    = 4
	tlvSystemName  = 5
	tlvOrganised   = 127
	mostTLVs       = 128
	mostText       = 255 // bytes of a name that are kept
	vlanOfUntagged = 1   // subtype of IEEE 802.1Q, annex D.2.1
)

// The subtypes of identifiers that are no text (tables 8-2 and 8-3).
const (
	chassisMAC     = 4
	chassisNetwork = 5
	portMAC        = 3
	portNetwork    = 4
)

const headerSize = 14 // of Ethernet

// Parse reads a frame, from its Ethernet header on. gone: the neighbour says
// farewell (clause 9.1.2.4). Errors are Invalid.
func Parse(frame []byte) (n sprout.Neighbour, gone bool, err error) {
	if len(frame) < headerSize || binary.BigEndian.Uint16(frame[12:]) != EtherType {
		return n, false, sprout.Errorf(sprout.Invalid, "cannot read a frame of %d bytes: it is not of LLDP", len(frame))
	}
	rest := frame[headerSize:]
	for i := range mostTLVs {
		if len(rest) < 2 {
			return n, false, sprout.Errorf(sprout.Invalid, "cannot read an LLDP frame: it breaks off in its TLV %d", i+1)
		}
		head := binary.BigEndian.Uint16(rest)
		kind, length := head>>9, int(head&0x1ff)
		if len(rest) < 2+length {
			return n, false, sprout.Errorf(sprout.Invalid, "cannot read an LLDP frame: its TLV %d is of %d bytes, %d are left", i+1, length, len(rest)-2)
		}
		value := rest[2 : 2+length]
		rest = rest[2+length:]
		if i < 3 && int(kind) != i+1 { // chassis, port and time to live, in this order (clause 8.2)
			return n, false, sprout.Errorf(sprout.Invalid, "cannot read an LLDP frame: its TLV %d is of type %d", i+1, kind)
		}
		switch kind {
		case tlvEnd:
			return n, gone, nil
		case tlvChassis:
			n.Chassis, err = identifier(value, chassisMAC, chassisNetwork)
		case tlvPort:
			n.Port, err = identifier(value, portMAC, portNetwork)
		case tlvTTL:
			gone = len(value) >= 2 && binary.BigEndian.Uint16(value) == 0
		case tlvPortText:
			n.Description = text(value)
		case tlvSystemName:
			n.System = text(value)
		case tlvOrganised:
			if len(value) >= 6 && [4]byte(value) == [4]byte{0x00, 0x80, 0xc2, vlanOfUntagged} {
				n.VLAN = int(binary.BigEndian.Uint16(value[4:]) & 0xfff)
			}
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, sprout.Errorf(sprout.Invalid, "cannot read an LLDP frame: it has more than %d TLVs", mostTLVs)
}

// identifier reads the name of a chassis or a port: a subtype, then what that says.
func identifier(value []byte, mac, network byte) (string, error) {
	if len(value) < 2 {
		return "", sprout.Errorf(sprout.Invalid, "cannot read an LLDP frame: an identifier of %d bytes", len(value))
	}
	kind, value := value[0], value[1:]
	switch {
	case kind == mac && len(value) == 6:
		return net.HardwareAddr(value).String(), nil
	case kind == network: // an address family of IANA: 1 is IPv4, 2 is IPv6
		if ip, ok := netip.AddrFromSlice(value[1:]); ok {
			return ip.String(), nil
		}
	}
	if s := text(value); s != "" {
		return s, nil
	}
	return fmt.Sprintf("%x", value), nil
}

// text is what a switch calls something, without what would not print; empty
// where it is no text.
func text(value []byte) string {
	if !utf8.Valid(value) {
		return ""
	}
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(value[:min(len(value), mostText)]))
	return strings.TrimSpace(strings.ToValidUTF8(s, ""))
}

// Frame is what a port says of itself, for seconds: its MAC address, and the names
// of its system and of itself where they are not empty.
func Frame(port net.HardwareAddr, chassis net.HardwareAddr, name, system string, seconds uint16) []byte {
	b := append(append(append([]byte{}, Group...), port...), EtherType>>8, EtherType&0xff)
	add := func(kind byte, value ...byte) {
		value = value[:min(len(value), 0x1ff)]
		b = append(b, kind<<1|byte(len(value)>>8), byte(len(value)))
		b = append(b, value...)
	}
	const interfaceName = 5
	add(tlvChassis, append([]byte{chassisMAC}, chassis...)...)
	if name != "" {
		add(tlvPort, append([]byte{interfaceName}, name...)...)
	} else {
		add(tlvPort, append([]byte{portMAC}, port...)...)
	}
	add(tlvTTL, byte(seconds>>8), byte(seconds))
	if system != "" {
		add(tlvSystemName, []byte(system)...)
	}
	add(tlvEnd)
	const shortest = 60 // of Ethernet, without its checksum
	return append(b, make([]byte, max(0, shortest-len(b)))...)
}
