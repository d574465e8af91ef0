package rogue

import (
	"net/netip"
	"testing"
)

// Who belongs on the network is named by address, by MAC address, or by the prefix
// that it is in.
func TestKnown(t *testing.T) {
	s := Server{Address: netip.MustParseAddr("10.20.0.2"), MAC: "52:54:00:00:00:02"}
	for one, want := range map[string]bool{
		"10.20.0.2": true, "10.20.0.3": false, "52:54:00:00:00:02": true, "52:54:00:00:00:03": false, "10.20.0.0/24": true, "10.21.0.0/24": false, "fe80::/10": false, "": false,
	} {
		if got := s.known([]string{"10.9.9.9", one}); got != want {
			t.Errorf("%q: %v", one, got)
		}
	}
	if (Server{Address: s.Address}).known([]string{""}) {
		t.Error("one without a MAC address is known by an empty word")
	}
}
