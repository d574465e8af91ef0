package probe

import (
	"net"
	"net/netip"
	"testing"
)

// FuzzRead reads any frame as an answer to a probe, of IPv4 and IPv6.
func FuzzRead(f *testing.F) {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}
	f.Add(arpProbe(mac, netip.MustParseAddr("10.0.0.9")))
	asks := solicitation(mac, netip.MustParseAddr("2001:db8::9"))
	f.Add(asks)
	said := append(append([]byte(nil), asks...), targetLinkLayer, 1, 0x52, 0x54, 0, 0, 0, 2)
	said[icmp6] = neighbourAdvertisement
	f.Add(said)
	f.Add(said[:len(said)-3])
	f.Fuzz(func(t *testing.T, frame []byte) {
		if ip, whose := readARP(frame); whose != nil && (!ip.Is4() || len(whose) != 6) {
			t.Errorf("%x says that %s is %s's", frame, ip, whose)
		}
		if ip, whose := readNeighbour(frame); whose != nil && (!ip.Is6() || len(whose) != 6) {
			t.Errorf("%x says that %s is %s's", frame, ip, whose)
		}
	})
}
