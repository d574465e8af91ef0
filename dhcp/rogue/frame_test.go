package rogue

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// FuzzServerOf reads whatever comes.
func FuzzServerOf(f *testing.F) {
	own := net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}
	probe := discover(net.HardwareAddr{0x52, 0x54, 0, 0, 0, 2})
	f.Add(probe)
	offer := append([]byte(nil), probe...)
	offer[ethernet+20+udpHeader] = 2                  // a reply
	offer[ethernet+12], offer[ethernet+15] = 10, 0x42 // from 10.0.0.66
	offer[ethernet+20+udpHeader+242] = 2              // an OFFER
	f.Add(offer)
	if s, ok := serverOf(offer, own); !ok || s.Address.String() != "10.0.0.66" || s.MAC != "52:54:00:00:00:02" {
		f.Fatalf("%+v, %v", s, ok)
	}
	if s, ok := serverOf(probe, own); ok {
		f.Fatalf("a question is taken for an answer: %+v", s)
	}
	if s, ok := serverOf(offer, net.HardwareAddr{0x52, 0x54, 0, 0, 0, 2}); ok {
		f.Fatalf("our own is taken for another's: %+v", s)
	}
	f.Add(append(make([]byte, 12), 0x86, 0xdd, 0x60))
	f.Add(advertisement())
	if r, s, ok := routerOf(advertisement(), own); !ok || fmt.Sprint(r) != "{fe80::66 30m0s [fd00:66::/64]}" || s.MAC != "52:54:00:00:00:66" {
		f.Fatalf("%v of %+v, %v", r, s, ok)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if s, ok := serverOf(frame, own); ok && (!s.Address.IsValid() || s.MAC == "" || s.Says == "") {
			t.Errorf("%+v", s)
		}
		if r, s, ok := routerOf(frame, own); ok && (!r.Address.IsLinkLocalUnicast() || s.MAC == "" || slices.ContainsFunc(r.Prefixes, func(p netip.Prefix) bool { return !p.IsValid() })) {
			t.Errorf("%+v of %+v", r, s)
		}
	})
}

// advertisement is a frame with a router advertisement of fd00:66::/64.
func advertisement() []byte {
	b := make([]byte, ethernet+ipv6Header+16+8+32)
	copy(b[6:], []byte{0x52, 0x54, 0, 0, 0, 0x66, 0x86, 0xdd})
	p := b[ethernet:]
	binary.BigEndian.PutUint16(p[4:], 16+8+32)
	p[6], p[7] = 58, 255
	from := netip.MustParseAddr("fe80::66").As16()
	copy(p[8:], from[:])
	body := p[ipv6Header:]
	body[0] = routerSays
	binary.BigEndian.PutUint16(body[6:], 1800)
	mtu, prefix := body[16:], body[24:]
	mtu[0], mtu[1] = 5, 1
	prefix[0], prefix[1], prefix[2], prefix[3], prefix[6] = 3, 4, 64, 0xc0, 7
	at := netip.MustParseAddr("fd00:66::").As16()
	copy(prefix[16:], at[:])
	return b
}
