package ipmi

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/bougou/go-ipmi/pkg/types"

	"sprout"
)

// greeting is Get Channel Authentication Capabilities (section 22.13) of the channel that
// it comes by, for the role of operator, outside of any session (sections 13.6 and 13.8).
// It is answered to anybody, and tells nothing of accounts.
var greeting = []byte{
	0x06, 0x00, 0xff, 0x07, // RMCP, class IPMI
	0x00, 0, 0, 0, 0, 0, 0, 0, 0, 9, // no authentication, no session; so many bytes follow
	0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x03, 0xb6,
}

// Where in the answer what stands (sections 13.8 and 22.13).
const (
	atCommand    = 19
	atCompletion = 20
	atExtended   = 24 // bit 1: IPMI 2.0
)

// greetEvery is how long an answer is waited for before the greeting is repeated.
const greetEvery = 700 * time.Millisecond

// Greet asks whether a BMC is there that speaks IPMI 2.0, twice, without a password.
// BMCUnreachable: nobody answers; BMCFailed: it is of IPMI 1.5 only, or something else.
func (p *Driver) Greet(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(strings.Trim(p.host, "[]"), strconv.Itoa(p.port)))
	if err != nil {
		return p.fail(sprout.BMCUnreachable, "cannot reach the BMC at "+p.at(), err.Error())
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer := make([]byte, 256)
	for range 2 {
		if _, err = conn.Write(greeting); err != nil {
			break
		}
		if err = conn.SetReadDeadline(time.Now().Add(greetEvery)); err != nil {
			break
		}
		var n int
		if n, err = conn.Read(answer); err == nil {
			return p.greeted(answer[:n])
		}
		if ctx.Err() != nil {
			break
		}
	}
	return p.fail(sprout.BMCUnreachable, "cannot reach the BMC at "+p.at(), err.Error())
}

// greeted reads the answer to the greeting.
func (p *Driver) greeted(answer []byte) error {
	switch {
	case len(answer) <= atCompletion || answer[0] != greeting[0] || answer[3]&0x1f != greeting[3] || answer[atCommand] != greeting[19]:
		return p.fail(sprout.BMCFailed, "it answers, and does not speak IPMI", p.at())
	case answer[atCompletion] != 0 || len(answer) <= atExtended || answer[atExtended]&2 == 0:
		return p.fail(sprout.BMCFailed, "it does not speak IPMI 2.0", fmt.Sprintf("%s: completion code %#02x", p.at(), answer[atCompletion]))
	}
	return nil
}

// Systems is the one machine that an IPMI BMC has: its GUID (section 22.14), and what its
// FRU 0 says (sections 34 and FRU 1.0). What it does not say is empty; MAC addresses it
// never tells.
func (p *Driver) Systems(ctx context.Context) ([]sprout.FoundSystem, error) {
	one := sprout.FoundSystem{Power: sprout.PowerUnknown}
	is, err := p.Power(ctx)
	if err != nil {
		return nil, err
	}
	one.Power, one.BMCFirmware = is.Power, p.about.Firmware
	if id, err := p.session.GetSystemGUID(ctx); err == nil {
		one.UUID = smbiosUUID(id.GUID)
	} else {
		p.log.Debug("the BMC does not tell its GUID", "error", err)
	}
	fru, err := p.session.GetFRU(ctx, 0, "")
	if err != nil {
		p.log.Debug("the BMC does not tell what it is in", "error", err)
		return []sprout.FoundSystem{one}, ctx.Err()
	}
	describe(&one, fru)
	return []sprout.FoundSystem{one}, nil
}

// describe fills in what the product area says, or else the board's.
func describe(s *sprout.FoundSystem, fru *types.FRU) {
	if b := fru.BoardInfoArea; b != nil {
		s.Vendor, s.Model, s.Serial = said(b.Manufacturer), said(b.ProductName), said(b.SerialNumber)
	}
	if a := fru.ProductInfoArea; a != nil {
		s.Vendor, s.Model = cmp.Or(said(a.Manufacturer), s.Vendor), cmp.Or(said(a.Name), s.Model)
		s.Serial = cmp.Or(said(a.SerialNumber), s.Serial)
	}
}

func said(field []byte) string { return strings.Trim(string(field), " \x00") }

// smbiosUUID writes a GUID as most BMCs mean it and the kernel shows it: the first three
// fields are little-endian (SMBIOS, DSP0134 section 7.2.1). All zeros are none.
func smbiosUUID(g [16]byte) string {
	if g == [16]byte{} {
		return ""
	}
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(g[:]), binary.LittleEndian.Uint16(g[4:]),
		binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:])
}
