package builtin

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"sprout"
)

// The parts of a message, RFC 2131 section 2: byte offsets.
const (
	atFlags      = 10
	atClient     = 12
	atYour       = 16
	atServer     = 20
	atRelay      = 24
	atHardware   = 28
	atServerName = 44
	atFile       = 108
	atCookie     = 236
	atOptions    = 240
	leastSize    = 300 // of BOOTP, RFC 1542 section 2.1: what is shorter some drop
)

const (
	optionPad      = 0
	optionOverload = 52
	optionRelay    = 82
	optionEnd      = 255
)

var cookie = []byte{99, 130, 83, 99}

// parse reads a message into p, whatever that was. Its values point into wire,
// but for options that came in several parts (RFC 3396).
func parse(p *dhcpv4.DHCPv4, wire []byte) error {
	if len(wire) < atOptions || !bytes.Equal(wire[atCookie:atOptions], cookie) {
		return sprout.Errorf(sprout.Invalid, "it is no DHCP message")
	}
	if wire[2] > 16 {
		return sprout.Errorf(sprout.Invalid, "its hardware address has %d bytes", wire[2])
	}
	*p = dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeType(wire[0]), HWType: iana.HWType(wire[1]), HopCount: wire[3],
		TransactionID: dhcpv4.TransactionID(wire[4:8]), NumSeconds: binary.BigEndian.Uint16(wire[8:]), Flags: binary.BigEndian.Uint16(wire[atFlags:]),
		ClientIPAddr: net.IP(wire[atClient:atYour:atYour]), YourIPAddr: net.IP(wire[atYour:atServer:atServer]),
		ServerIPAddr: net.IP(wire[atServer:atRelay:atRelay]), GatewayIPAddr: net.IP(wire[atRelay:atHardware:atHardware]),
		ClientHWAddr: net.HardwareAddr(wire[atHardware : atHardware+int(wire[2]) : atHardware+int(wire[2])]),
		Options:      emptied(p.Options),
	}
	if err := parseOptions(p.Options, wire[atOptions:]); err != nil {
		return err
	}
	return parseOverloaded(p, wire)
}

// emptied is o without its options, or a new one.
func emptied(o dhcpv4.Options) dhcpv4.Options {
	if o == nil {
		return make(dhcpv4.Options, 20)
	}
	clear(o)
	return o
}

// parseOverloaded reads the options that are in place of the boot file (1), the
// server name (2) or both, or else these (RFC 2132 section 9.3).
func parseOverloaded(p *dhcpv4.DHCPv4, wire []byte) error {
	var overload byte
	if v := p.Options[optionOverload]; len(v) == 1 {
		overload = v[0]
	}
	file, name := wire[atFile:atCookie], wire[atServerName:atFile]
	if overload&1 != 0 {
		if err := parseOptions(p.Options, file); err != nil {
			return err
		}
	} else {
		p.BootFileName = text(file)
	}
	if overload&2 != 0 {
		return parseOptions(p.Options, name)
	}
	p.ServerHostName = text(name)
	return nil
}

// text is what stands before the first zero.
func text(raw []byte) string {
	before, _, _ := bytes.Cut(raw, []byte{0})
	return string(before)
}

// parseOptions reads options; the parts of one that came in several follow each
// other (RFC 3396 section 7).
func parseOptions(o dhcpv4.Options, raw []byte) error {
	for len(raw) > 0 && raw[0] != optionEnd {
		if raw[0] == optionPad {
			raw = raw[1:]
			continue
		}
		if len(raw) < 2 || len(raw) < 2+int(raw[1]) {
			return sprout.Errorf(sprout.Invalid, "its option %d ends too early", raw[0])
		}
		end := 2 + int(raw[1])
		if had, ok := o[raw[0]]; ok {
			o[raw[0]] = append(had, raw[2:end]...) // of had there is no room behind: it is copied
		} else {
			o[raw[0]] = raw[2:end:end]
		}
		raw = raw[end:]
	}
	return nil
}

// appendMessage appends the message. Options go by number, but what a relay put
// in comes last (RFC 3046 section 2.1); long ones go in parts (RFC 3396).
func appendMessage(b []byte, p *dhcpv4.DHCPv4) []byte {
	begin := len(b)
	b = append(b, make([]byte, atCookie)...)
	h := b[begin:]
	h[0], h[1], h[2], h[3] = byte(p.OpCode), byte(p.HWType), byte(min(len(p.ClientHWAddr), 16)), p.HopCount
	copy(h[4:8], p.TransactionID[:])
	binary.BigEndian.PutUint16(h[8:], p.NumSeconds)
	binary.BigEndian.PutUint16(h[atFlags:], p.Flags)
	for at, ip := range addressesOf(p) {
		copy(h[atClient+4*at:], ip.To4())
	}
	copy(h[atHardware:atServerName], p.ClientHWAddr)
	copy(h[atServerName:atFile-1], p.ServerHostName)
	copy(h[atFile:atCookie-1], p.BootFileName)
	b = append(b, cookie...)
	b = appendOptions(b, p.Options)
	b = append(b, optionEnd)
	if short := leastSize - (len(b) - begin); short > 0 {
		b = append(b, make([]byte, short)...)
	}
	return b
}

// addressesOf are the four addresses in their order.
func addressesOf(p *dhcpv4.DHCPv4) [4]net.IP {
	return [4]net.IP{p.ClientIPAddr, p.YourIPAddr, p.ServerIPAddr, p.GatewayIPAddr}
}

func appendOptions(b []byte, o dhcpv4.Options) []byte {
	var room [64]uint8
	codes := room[:0]
	for code := range o {
		if code != optionPad && code != optionEnd && code != optionRelay {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	if _, ok := o[optionRelay]; ok {
		codes = append(codes, optionRelay)
	}
	for _, code := range codes {
		value := o[code]
		for first := true; first || len(value) > 0; first = false {
			part := value[:min(len(value), 255)]
			b = append(append(b, code, byte(len(part))), part...)
			value = value[len(part):]
		}
	}
	return b
}
