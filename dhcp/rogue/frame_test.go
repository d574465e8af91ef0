package rogue

import (
	"net"
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
	f.Fuzz(func(t *testing.T, frame []byte) {
		if s, ok := serverOf(frame, own); ok && (!s.Address.IsValid() || s.MAC == "" || s.Says == "") {
			t.Errorf("%+v", s)
		}
	})
}
