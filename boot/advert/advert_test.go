package advert

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestWire holds advertisements to their bytes (RFC 4861 sections 4.2 and 4.6,
// RFC 8106 section 5).
func TestWire(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}
	for _, c := range []struct {
		name string
		say  Word
		want string
	}{
		{"nothing", Word{}, "86000000" + "00000000" + "00000000" + "00000000"},
		{"options by DHCPv6", Word{Other: true}, "86000000" + "00400000" + "00000000" + "00000000"},
		{
			"all", Word{
				Stateful: true, Router: time.Hour, Low: true, MTU: 1400, DNS: []netip.Addr{netip.MustParseAddr("fd00:20::1")}, Search: []string{"lon1.example"},
				Prefixes: []Prefix{{Prefix: netip.MustParsePrefix("fd00:20::5/64")}, {Prefix: netip.MustParsePrefix("fd00:21::/64"), Autonomous: true}},
			},
			"86000000" + "00d80e10" + "00000000" + "00000000" + "0101525400000001" +
				"03044080" + "00278d00" + "00093a80" + "00000000" + "fd000020000000000000000000000000" +
				"030440c0" + "00278d00" + "00093a80" + "00000000" + "fd000021000000000000000000000000" +
				"05010000" + "00000578" + "19030000" + "00000258" + "fd000020000000000000000000000001" +
				"1f030000" + "00000258" + "046c6f6e31076578616d706c65000000",
		},
	} {
		if got := hex.EncodeToString(c.say.wire(mac, 200*time.Second)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}
