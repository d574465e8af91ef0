package builtin6_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// served is the site of the server that a message speaks of, with a range that has
// what it asks for.
func served(t *testing.T, r builtin6.Request, leases ...sprout.Lease) builtin6.Site {
	t.Helper()
	set := seed()
	set.Subnets[1].Ranges[0].Last = ip("fd00:20::1:ffff")
	ledger, s := dhcptest.NewMemory(set), site(t)
	if err := ledger.SaveLeases(t.Context(), leases...); err != nil {
		t.Fatal(err)
	}
	s.Ledger = ledger
	if id := r.Message.Options.ServerID(); id != nil {
		s.DUID = id.ToBytes()
	}
	return s
}

// TestCaptures answers what OVMF, iPXE and dhclient really say. One machine, three
// DUIDs and four IAIDs; the address is one.
func TestCaptures(t *testing.T) {
	from := netip.MustParseAddrPort("[fe80::5054:ff:fe00:9]:546")
	for name, wire := range dhcptest.Captures(t) {
		t.Run(name, func(t *testing.T) {
			want, ok := map[string]struct{ answer, file, why string }{
				"ovmf-ip6config-solicit": {"ADVERTISE fd00:20::102", "", "a free address of the dynamic range; known by"},
				"ovmf-ip6config-request": {"REPLY fd00:20::1:4991", "", "the address it asks for; known by"},
				"ovmf-ip6config-release": {"REPLY = Success", "", "it gives back fd00:20::1:4991"},
				"ovmf-pxe-solicit":       {"ADVERTISE fd00:20::102", "tftp://[fd00:20::1]/snponly.efi", "x86-64 UEFI loads snponly.efi, to be discovered; known by"},
				"ovmf-pxe-request":       {"REPLY fd00:20::1:4991", "tftp://[fd00:20::1]/snponly.efi", "x86-64 UEFI loads snponly.efi, to be discovered; known by"},
				"ovmf-http-solicit":      {"ADVERTISE fd00:20::102", "http://[fd00:20::1]:8080/boot/snponly.efi", "x86-64 UEFI HTTP fetches snponly.efi, to be discovered; known by"},
				"ovmf-http-request":      {"REPLY fd00:20::1:47de", "http://[fd00:20::1]:8080/boot/snponly.efi", "x86-64 UEFI HTTP fetches snponly.efi, to be discovered; known by"},
				"ipxe-solicit":           {"ADVERTISE fd00:20::102", "http://[fd00:20::1]:8080/boot/52-54-00-00-00-09.ipxe", "its iPXE fetches the boot script, to be discovered; known by"},
				"ipxe-request":           {"REPLY fd00:20::1:4991", "http://[fd00:20::1]:8080/boot/52-54-00-00-00-09.ipxe", "its iPXE fetches the boot script, to be discovered; known by"},
				"dhclient-solicit":       {"ADVERTISE fd00:20::102", "", "a free address of the dynamic range; known by"},
				"dhclient-request":       {"REPLY fd00:20::102", "", "the address it asks for; known by"},
				"dhclient-renew":         {"REPLY fd00:20::102", "", "its lease; known by"},
			}[name]
			r, err := builtin6.Parse(wire, from, ip("ff02::1:2"))
			if err != nil || !ok {
				t.Fatalf("it is not known here: %v", err)
			}
			var leases []sprout.Lease
			switch r.Message.MessageType {
			case solicit: // the range is as narrow as that of other tests
				a := builtin6.Decide(r, site(t))
				if got := shown(t, a); got != want.answer || a.BootFile != want.file || !strings.Contains(a.Reason, want.why) {
					t.Errorf("got %q, boots %q: %s", got, a.BootFile, a.Reason)
				}
				return
			case renew:
				leases = append(leases, bound("fd00:20::102", stranger))
			case release:
				leases = append(leases, bound("fd00:20::1:4991", stranger))
			}
			a := builtin6.Decide(r, served(t, r, leases...))
			if got := shown(t, a); got != want.answer || a.BootFile != want.file || !strings.Contains(a.Reason, want.why) {
				t.Errorf("got %q, boots %q, want %+v: %s", got, a.BootFile, want, a.Reason)
			}
			if len(a.Leases) != 1 || a.Leases[0].MAC != stranger {
				t.Errorf("keeps %+v", a.Leases)
			}
			if a := builtin6.Decide(r, site(t)); r.Message.MessageType != renew && !strings.HasPrefix(name, "dhclient") && !strings.Contains(a.Reason, "another server") {
				t.Errorf("it was said to another server: %s", a.Reason)
			}
		})
	}
}

// TestExplainedIsAnswered: what is explained of firmware is what it gets once it
// really asks, in each option's bytes, but for its own identifiers.
func TestExplainedIsAnswered(t *testing.T) {
	set := seed()
	for _, one := range []sprout.DHCPSetting{{Name: "dns-servers", Value: "fd00::53"}, {Name: "sol-max-rt", Value: "120"}, {Name: "information-refresh-time", Value: "600", Always: true}, {Name: "224", Value: "01", Always: true, Class: "vendor=PXEClient,arch=7"}} {
		one.Site, one.Version = "sit_1", 6
		o, err := dhcp.CheckSetting(one)
		if err != nil {
			t.Fatal(err)
		}
		set.Options = append(set.Options, o)
	}
	set.Machines[1].BootMode = sprout.UEFI // as that of the iPXE that was heard
	ledger := dhcptest.NewMemory(set)
	s, err := builtin6.New(builtin6.Config{Address: ip("fd00:20::1"), DUID: server, Ledger: ledger, BootURL: "http://[fd00:20::1]:8080", Domain: func() string { return "lon1.example" }})
	if err != nil {
		t.Fatal(err)
	}
	captures := dhcptest.Captures(t)
	for name, of := range map[string]dhcp.Question{
		"ovmf-pxe-solicit": {MAC: stranger, Firmware: dhcp.UEFI}, "ovmf-http-solicit": {MAC: stranger, Firmware: dhcp.UEFIHTTP}, "ipxe-solicit": {MAC: db01, Firmware: dhcp.IPXE},
	} {
		t.Run(name, func(t *testing.T) {
			mac := map[string]string{stranger: "fe80::5054:ff:fe00:9", db01: "fe80::5054:ff:fe00:2"}[of.MAC]
			r, err := builtin6.Parse(captures[name], netip.AddrPortFrom(ip(mac), 546), ip("ff02::1:2"))
			if err != nil {
				t.Fatal(err)
			}
			e, err := s.Explain(of)
			if err != nil {
				t.Fatal(err)
			}
			here := site(t)
			here.Ledger = ledger
			a := builtin6.Decide(r, here)
			if a.IP != e.IP || a.BootFile != e.BootFile || a.To.String() != e.To {
				t.Errorf("%s to %s boots %q; explained was %s to %s, %q", a.IP, a.To, a.BootFile, e.IP, e.To, e.BootFile)
			}
			var got, want []string
			for _, o := range inner(t, a).Options.Options {
				if o.Code() == dhcpv6.OptionIANA || o.Code() == dhcpv6.OptionClientID { // their IAID and DUID are the client's
					continue
				}
				got = append(got, fmt.Sprint(int(o.Code()), " ", dhcp.OptionValue(6, int(o.Code()), o.ToBytes())))
			}
			for _, o := range e.Options {
				if o.Code != int(dhcpv6.OptionIANA) && o.Code != int(dhcpv6.OptionClientID) {
					want = append(want, fmt.Sprint(o.Code, " ", o.Value))
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || len(got) < 4 {
				t.Errorf("it is answered\n%s\nexplained was\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// FuzzParse reads whatever comes.
func FuzzParse(f *testing.F) {
	for _, wire := range dhcptest.Captures(f) {
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := builtin6.Parse(wire, netip.MustParseAddrPort("[fe80::1]:546"), ip("ff02::1:2"))
		if err == nil && r.Message == nil {
			t.Error("neither a message nor an error")
		}
	})
}

// FuzzDecide holds whatever is answered to what no answer may break: it goes to
// who asked, gives only free addresses of the site, and leases what it gives.
func FuzzDecide(f *testing.F) {
	for _, wire := range dhcptest.Captures(f) {
		f.Add(wire, true)
		f.Add(wire, false)
		forwarded := append([]byte{12, 0, 15: 1, 18: 0xfe, 19: 0x80, 33: 9}, 0, 9, byte(len(wire)>>8), byte(len(wire)))
		f.Add(append(forwarded, wire...), false)
	}
	s := site(f, bound("fd00:20::102", other), leaseOf("fd00:20::103", other, "declined", time.Minute))
	f.Fuzz(func(t *testing.T, wire []byte, group bool) {
		from, to := netip.MustParseAddrPort("[fe80::5054:ff:fe00:9]:546"), ip("fd00:20::1")
		if group {
			to = ip("ff02::1:2")
		}
		r, err := builtin6.Parse(wire, from, to)
		if err != nil {
			return
		}
		a := builtin6.Decide(r, s)
		if a.Reason == "" {
			t.Error("no reason")
		}
		if a.Reply == nil {
			return
		}
		if a.To.Addr() != from.Addr() || len(a.Reply.ToBytes()) < 4 {
			t.Errorf("answers to %s", a.To)
		}
		for _, h := range a.Holds {
			if h.IP == ip("fd00:20::102") || h.IP == ip("fd00:20::103") || h.IP == ip("fd00:20::1") {
				t.Errorf("gives %s to %s", h.IP, h.Key)
			}
		}
	})
}
