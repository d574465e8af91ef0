package builtin_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// set makes an option for whom the scope names.
func set(t *testing.T, name, value string, scope sprout.DHCPSetting) sprout.SiteDHCPOption {
	t.Helper()
	scope.Site, scope.Version, scope.Name, scope.Value = "sit_1", 4, name, value
	o, err := dhcp.CheckSetting(scope)
	if err != nil {
		t.Fatal(err)
	}
	o.ID = sprout.OptionID("opt_" + strings.ReplaceAll(strings.Fields(o.Scope())[0], ",", "_") + "_" + o.Name)
	return o
}

// TestSettings is the precedence of options, and when they are sent at all: want
// is the value of an option, "" that it is not there.
func TestSettings(t *testing.T) {
	ofSite, ofSub, ofMachine := sprout.DHCPSetting{}, sprout.DHCPSetting{Subnet: "sub_a"}, sprout.DHCPSetting{Machine: "mch_1"}
	class := func(text string) sprout.DHCPSetting { return sprout.DHCPSetting{Class: text} }
	always := sprout.DHCPSetting{Always: true}
	uefi := dhcpv4.Options{60: []byte("PXEClient:Arch:00007:UNDI:003001"), 93: {0, 7}}
	asks := func(codes ...byte) dhcpv4.Options { return dhcpv4.Options{55: codes} }
	for _, c := range []struct {
		name    string
		set     []sprout.SiteDHCPOption
		mac     string
		options dhcpv4.Options
		code    uint8
		want    string
	}{
		{"the site's in place of the subnet's own", []sprout.SiteDHCPOption{set(t, "ntp-servers", "10.9.9.1", ofSite)}, stranger, nil, 42, "10.9.9.1"},
		{"the subnet's before the site's", []sprout.SiteDHCPOption{set(t, "pcode", "site", ofSite), set(t, "pcode", "subnet", ofSub)}, stranger, nil, 100, "subnet"},
		{"a class's before the subnet's", []sprout.SiteDHCPOption{set(t, "pcode", "subnet", ofSub), set(t, "pcode", "class", class("arch=7"))}, stranger, uefi, 100, "class"},
		{"not of the class by its architecture", []sprout.SiteDHCPOption{set(t, "pcode", "subnet", ofSub), set(t, "pcode", "class", class("arch=11"))}, stranger, uefi, 100, "subnet"},
		{"the class that asks for more", []sprout.SiteDHCPOption{set(t, "pcode", "one", class("arch=7")), set(t, "pcode", "two", class("arch=7,vendor=PXEClient"))}, stranger, uefi, 100, "two"},
		{"a class by MAC", []sprout.SiteDHCPOption{set(t, "pcode", "mac", class("mac=52:54:00"))}, stranger, nil, 100, "mac"},
		{"a class by a user class of RFC 3004", []sprout.SiteDHCPOption{set(t, "pcode", "user", class("user=rack"))}, stranger, dhcpv4.Options{77: []byte("\x04rack\x03lab")}, 100, "user"},
		{"a class by a bare user class", []sprout.SiteDHCPOption{set(t, "pcode", "user", class("user=rack"))}, stranger, dhcpv4.Options{77: []byte("rack")}, 100, "user"},
		{"the machine's before all", []sprout.SiteDHCPOption{set(t, "pcode", "class", class("mac=52:54")), set(t, "pcode", "machine", ofMachine)}, web01, nil, 100, "machine"},
		{"another machine's", []sprout.SiteDHCPOption{set(t, "pcode", "machine", ofMachine)}, db01, nil, 100, ""},
		{"not asked for", []sprout.SiteDHCPOption{set(t, "pcode", "site", ofSite)}, stranger, asks(1, 3), 100, ""},
		{"asked for", []sprout.SiteDHCPOption{set(t, "pcode", "site", ofSite)}, stranger, asks(1, 100), 100, "site"},
		{"not asked for, but always sent", []sprout.SiteDHCPOption{set(t, "pcode", "site", always)}, stranger, asks(1, 3), 100, "site"},
		{"a boot file where Sprout boots", []sprout.SiteDHCPOption{set(t, "boot-file-name", "other.efi", always)}, web01, dhcpv4.Options{60: uefi[60], 93: uefi[93], 55: {67}}, 67, "snponly.efi"},
		{"a boot file for what does not boot", []sprout.SiteDHCPOption{set(t, "boot-file-name", "phone.cfg", class("mac=52:54:00"))}, stranger, asks(67), 67, "phone.cfg"},
		{"a value in parts", []sprout.SiteDHCPOption{set(t, "option-224", strings.Repeat("ab", 260), always)}, stranger, dhcpv4.Options{57: {5, 220}}, 224, strings.Repeat("ab", 260)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := site(t)
			seed := seed()
			seed.Options = c.set
			s.Ledger = dhcptest.NewMemory(seed)
			a := builtin.Decide(say{kind: discover, mac: c.mac, options: c.options}.request(t), s)
			if a.Reply == nil {
				t.Fatal(a.Reason)
			}
			wire, err := dhcpv4.FromBytes(a.Reply.ToBytes())
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if v, ok := wire.Options[c.code]; ok {
				got = dhcp.OptionValue(4, int(c.code), v)
			}
			if got != c.want {
				t.Errorf("option %d is %q, want %q", c.code, got, c.want)
			}
		})
	}
}

// TestNoRoom leaves out what would make the message too long for the client, the
// most general first, and says so.
func TestNoRoom(t *testing.T) {
	long := strings.Repeat("ab", 200)
	seed := seed()
	seed.Options = []sprout.SiteDHCPOption{set(t, "option-224", long, sprout.DHCPSetting{Always: true}), set(t, "option-225", long, sprout.DHCPSetting{Always: true, Machine: "mch_1"})}
	s := site(t)
	s.Ledger = dhcptest.NewMemory(seed)
	a := builtin.Decide(say{kind: discover, mac: web01}.request(t), s)
	if _, ok := a.Reply.Options[225]; !ok || len(a.Settings.Omitted) != 1 || a.Settings.Omitted[0].Code != 224 {
		t.Errorf("omitted: %v", a.Settings.Omitted)
	}
	sound(t, a)
	a = builtin.Decide(say{kind: discover, mac: web01, options: dhcpv4.Options{57: {5, 220}}}.request(t), s)
	if len(a.Settings.Omitted) != 0 || !bytes.Equal(a.Reply.Options[224], bytes.Repeat([]byte{0xab}, 200)) {
		t.Errorf("a client that takes 1500 bytes is left without %v", a.Settings.Omitted)
	}
}

// TestExplainSettings says what each option comes from.
func TestExplainSettings(t *testing.T) {
	seed := seed()
	seed.Options = []sprout.SiteDHCPOption{set(t, "pcode", "UTC", sprout.DHCPSetting{}), set(t, "ntp-servers", "10.0.0.9", sprout.DHCPSetting{Class: "mac=52:54:00"}), set(t, "option-224", strings.Repeat("ab", 300), sprout.DHCPSetting{Machine: "mch_1"})}
	s, err := builtin.New(builtin.Config{Address: ip("10.0.0.1"), Ledger: dhcptest.NewMemory(seed)})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Explain(dhcp.Question{MAC: web01})
	if err != nil {
		t.Fatal(err)
	}
	from := map[int]string{}
	for _, o := range e.Options {
		from[o.Code] = o.Value + " from " + o.From + " " + string(o.Setting)
	}
	for code, want := range map[int]string{100: "UTC from site opt_site_pcode", 42: "10.0.0.9 from class mac=52:54:00 opt_class_ntp-servers", 3: "10.0.0.254 from subnet "} {
		if from[code] != want {
			t.Errorf("option %d is %q, want %q", code, from[code], want)
		}
	}
	if len(e.Omitted) != 1 || e.Omitted[0].Code != 224 || e.Omitted[0].From != "machine" {
		t.Errorf("omitted: %+v", e.Omitted)
	}
}
