package dhcp_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"sprout"
	"sprout/dhcp"
)

// Values are written as the RFC of each option has them, and read back the same.
func TestSettings(t *testing.T) {
	for _, c := range []struct {
		version           int
		option, value     string
		name, data, shown string
	}{
		{4, "ntp-servers", "10.0.0.3, 10.0.0.4", "ntp-servers", "0a0000030a000004", "10.0.0.3, 10.0.0.4"},
		{4, "42", "10.0.0.3", "ntp-servers", "0a000003", "10.0.0.3"},
		{4, "interface-mtu", "9000", "interface-mtu", "2328", "9000"},
		{4, "time-offset", "-3600", "time-offset", "fffff1f0", "-3600"},
		{4, "ip-forwarding", "false", "ip-forwarding", "00", "false"},
		{4, "path-mtu-plateau-table", "68,1500", "path-mtu-plateau-table", "004405dc", "68, 1500"},
		{4, "pcode", "CET-1CEST", "pcode", hex.EncodeToString([]byte("CET-1CEST")), "CET-1CEST"},
		{4, "domain-search", "a.example, b.example.", "domain-search", "0161076578616d706c65000162076578616d706c6500", "a.example, b.example"},
		{4, "classless-static-route", "10.17.0.0/16=10.0.0.1,0.0.0.0/0=10.0.0.254", "classless-static-route", "100a110a000001000a0000fe", "10.17.0.0/16=10.0.0.1, 0.0.0.0/0=10.0.0.254"},
		{4, "static-routes", "10.9.0.0=10.0.0.1", "static-routes", "0a0900000a000001", "10.9.0.0=10.0.0.1"},
		{4, "vendor-encapsulated-options", "0x01:04:c0a80001", "vendor-encapsulated-options", "0104c0a80001", "0104c0a80001"},
		{4, "option-224", "ff", "option-224", "ff", "ff"},
		{6, "dns-servers", "fd00::1", "dns-servers", "fd000000000000000000000000000001", "fd00::1"},
		{6, "information-refresh-time", "600", "information-refresh-time", "00000258", "600"},
	} {
		s, err := dhcp.CheckSetting(sprout.DHCPSetting{Version: c.version, Name: c.option, Value: c.value})
		if err != nil || s.Name != c.name || hex.EncodeToString(s.Data) != c.data || s.Value != c.shown {
			t.Errorf("%s = %q: got %s %x %q, %v; want %s %s %q", c.option, c.value, s.Name, s.Data, s.Value, err, c.name, c.data, c.shown)
		}
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		version                   int
		option, value, class, why string
	}{
		{4, "ntp-servers", "10.0.0.3,fd00::1", "", "IPv4 addresses"},
		{4, "ntp-servers", "", "", "IPv4 addresses"},
		{4, "interface-mtu", "65536", "", "65535"},
		{4, "pcode", "a\nb", "", "control characters"},
		{4, "domain-search", "a..example", "", "domain names"},
		{4, "classless-static-route", "10.17.0.1/16=10.0.0.1", "", "routes"},
		{4, "nonsense", "1", "", "a name as ntp-servers"},
		{4, "255", "1", "", "1 to 254"},
		{4, "option-224", "abc", "", "hexadecimal"},
		{4, "option-224", strings.Repeat("00", 301), "", "301 bytes"},
		{4, "dhcp-message-type", "1", "", "the protocol itself"},
		{4, "51", "60", "", "the address that is given"},
		{4, "host-name", "x", "", "sprout machine update"},
		{6, "ntp-servers", "10.0.0.3", "", "a name as"},
		{6, "dns-servers", "10.0.0.3", "", "IPv6 addresses"},
		{5, "dns-servers", "10.0.0.3", "", "version 5"},
		{4, "42", "10.0.0.3", "colour=red", "a class is vendor="},
		{4, "42", "10.0.0.3", "arch=x64", "RFC 4578"},
		{4, "42", "10.0.0.3", "mac=52:5", "whole bytes"},
		{4, "42", "10.0.0.3", "arch=7,arch=9", "twice"},
	} {
		_, err := dhcp.CheckSetting(sprout.DHCPSetting{Version: c.version, Name: c.option, Value: c.value, Class: c.class})
		if sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s = %q for %q: %v; want %q", c.option, c.value, c.class, err, c.why)
		}
	}
}

func FuzzOptionValue(f *testing.F) {
	f.Add(4, 119, []byte{1, 'a', 0, 0xc0, 0})
	f.Add(4, 121, []byte{16, 10, 17, 10, 0, 0, 1})
	f.Add(6, 24, []byte{0xc0, 0})
	f.Fuzz(func(_ *testing.T, version, code int, value []byte) { dhcp.OptionValue(version, code, value) })
}
