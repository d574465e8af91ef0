package builtin6_test

import (
	"testing"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// TestExplainSettings is the precedence of options of DHCPv6, as an explanation
// shows it: by number what is said, and what says so.
func TestExplainSettings(t *testing.T) {
	set := func(name, value string, scope sprout.DHCPSetting) sprout.SiteDHCPOption {
		t.Helper()
		scope.Site, scope.Version, scope.Name, scope.Value = "sit_1", 6, name, value
		o, err := dhcp.CheckSetting(scope)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	machine, _ := dhcptest.NewMemory(seed()).Known(web01)
	for _, c := range []struct {
		name string
		set  []sprout.SiteDHCPOption
		ask  dhcp.Question
		code int
		want string
	}{
		{"computed", nil, dhcp.Question{MAC: web01}, 23, "fd00:20::1 from builtin"},
		{"the site's in its place", []sprout.SiteDHCPOption{set("dns-servers", "fd00::53", sprout.DHCPSetting{})}, dhcp.Question{MAC: web01}, 23, "fd00::53 from site"},
		{"the machine's before the class's", []sprout.SiteDHCPOption{
			set("dns-servers", "fd00::54", sprout.DHCPSetting{Class: "mac=52:54:00"}), set("dns-servers", "fd00::55", sprout.DHCPSetting{Machine: machine.ID})},
			dhcp.Question{MAC: web01}, 23, "fd00::55 from machine"},
		{"a class of an architecture", []sprout.SiteDHCPOption{set("sol-max-rt", "120", sprout.DHCPSetting{Class: "arch=7", Always: true})}, dhcp.Question{MAC: web01, Firmware: dhcp.UEFI}, 82, "120 from class arch=7"},
		{"another architecture", []sprout.SiteDHCPOption{set("sol-max-rt", "120", sprout.DHCPSetting{Class: "arch=7", Always: true})}, dhcp.Question{MAC: web01, Firmware: dhcp.BIOS}, 82, ""},
		{"not asked for", []sprout.SiteDHCPOption{set("sol-max-rt", "120", sprout.DHCPSetting{})}, dhcp.Question{MAC: web01}, 82, ""},
		{"a boot file where Sprout boots", []sprout.SiteDHCPOption{set("bootfile-url", "tftp://x/y", sprout.DHCPSetting{Always: true})}, dhcp.Question{MAC: web01, Firmware: dhcp.UEFI}, 59, "tftp://[fd00:20::1]/snponly.efi from boot"},
		{"a boot file where it does not", []sprout.SiteDHCPOption{set("bootfile-url", "tftp://x/y", sprout.DHCPSetting{})}, dhcp.Question{MAC: web01}, 59, "tftp://x/y from site"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seed := seed()
			seed.Options = c.set
			s, err := builtin6.New(builtin6.Config{Address: ip("fd00:20::1"), DUID: server, Ledger: dhcptest.NewMemory(seed)})
			if err != nil {
				t.Fatal(err)
			}
			e, err := s.Explain(c.ask)
			if err != nil {
				t.Fatal(err)
			}
			got, times := "", 0
			for _, o := range e.Options {
				if o.Code == c.code {
					got, times = o.Value+" from "+o.From, times+1
				}
			}
			if got != c.want || times > 1 {
				t.Errorf("option %d is %q (%d times), want %q", c.code, got, times, c.want)
			}
		})
	}
}
