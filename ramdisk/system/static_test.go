package system_test

import (
	"net/netip"
	"slices"
	"testing"

	"sprout/ramdisk/system"
)

func TestStatic(t *testing.T) {
	s, err := system.ParseCmdline("quiet sprout.ip=10.20.0.7/24 sprout.gateway=10.20.0.254 sprout.dns=10.20.0.1,fd00::1").Static()
	dns := []netip.Addr{netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("fd00::1")}
	if err != nil || s.Address != netip.MustParsePrefix("10.20.0.7/24") || s.Gateway != netip.MustParseAddr("10.20.0.254") || !slices.Equal(s.DNS, dns) {
		t.Errorf("Static = %+v, %v", s, err)
	}
	if s, err := system.ParseCmdline("sprout.gateway=10.20.0.254").Static(); err != nil || s.Address.IsValid() {
		t.Errorf("without an address: %+v, %v", s, err)
	}
	for _, line := range []string{"sprout.ip=10.20.0.7", "sprout.ip=10.20.0.7/24 sprout.gateway=x", "sprout.ip=10.20.0.7/24 sprout.dns=10.20.0.1,"} {
		if s, err := system.ParseCmdline(line).Static(); err == nil {
			t.Errorf("%q is %+v", line, s)
		}
	}
}
