package builtin_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// said are the messages by which real clients ask, and what is explained of them.
var said = map[string]dhcp.Firmware{
	"ovmf-discover": dhcp.UEFI, "ipxe-discover": dhcp.IPXE,
	"dhclient-discover": dhcp.NoBoot, "udhcpc-discover": dhcp.NoBoot, "networkd-discover": dhcp.NoBoot,
}

// setSeed is a site behind a relay on loopback, with options that some ask for and
// others do not, that are always sent, and that only some have room for.
func setSeed(t *testing.T) dhcptest.Seed {
	s := relayed(10)
	s.Subnets[0].Gateway, s.Subnets[0].MTU, s.Subnets[0].Search = ip("127.0.9.254"), 1400, []string{"lon1.example"}
	s.Reservations = []sprout.Reservation{{MAC: stranger, IP: ip("127.0.9.5"), Subnet: "sub_a", Machine: "mch_9", Hostname: "web-09"}}
	s.Options = []sprout.SiteDHCPOption{
		set(t, "ntp-servers", "127.0.9.3", sprout.DHCPSetting{}), set(t, "pcode", "UTC", sprout.DHCPSetting{}),
		set(t, "option-224", strings.Repeat("ab", 200), sprout.DHCPSetting{Always: true}), set(t, "option-225", strings.Repeat("cd", 200), sprout.DHCPSetting{Always: true}),
		set(t, "option-226", "01", sprout.DHCPSetting{Always: true, Class: "arch=7,vendor=PXEClient"}), set(t, "option-227", "02", sprout.DHCPSetting{Always: true, Class: "user=iPXE"}),
	}
	return s
}

// TestExplainedIsAnswered: what is explained of a client is what the wire gets once
// it really asks, in each option's bytes, but for the words of its own that come
// back. Of a system nothing is answered that was not explained, and nothing is
// missing but what it did not ask for or has no room for.
func TestExplainedIsAnswered(t *testing.T) {
	port := freePort(t)
	s := serve(t, builtin.Config{Address: ip("127.0.0.1"), Port: port, Ledger: dhcptest.NewMemory(setSeed(t)), Domain: func() string { return "lon1.example" }})
	captures := dhcptest.Captures(t)
	for name, firmware := range said {
		t.Run(name, func(t *testing.T) {
			p, err := dhcpv4.FromBytes(captures[name])
			if err != nil {
				t.Fatal(err)
			}
			e, err := s.Explain(dhcp.Question{MAC: p.ClientHWAddr.String(), Subnet: "127.0.9.0/24", Firmware: firmware})
			if err != nil {
				t.Fatal(err)
			}
			relay := newRelay(t, port, p.ClientHWAddr.String())
			p.GatewayIPAddr = net.IPv4(127, 0, 9, 1)
			p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionRelayAgentInformation, []byte{19, 0}))
			if _, err := relay.conn.Write(p.ToBytes()); err != nil {
				t.Fatal(err)
			}
			answer := relay.read(t, 10*time.Second)
			if answer == nil {
				t.Fatalf("no answer; explained was %s", e.Reason)
			}
			if !answer.YourIPAddr.Equal(e.IP.AsSlice()) || answer.BootFileName != e.BootFile {
				t.Errorf("it is offered %s and boots %q; explained were %s and %q", answer.YourIPAddr, answer.BootFileName, e.IP, e.BootFile)
			}
			sameOptions(t, p, answer, e, firmware == dhcp.NoBoot)
		})
	}
}

// sameOptions holds an answer to its explanation.
func sameOptions(t *testing.T, asked, answer *dhcpv4.DHCPv4, e dhcp.Explanation, system bool) {
	t.Helper()
	explained := map[uint8]string{}
	for _, o := range e.Options {
		explained[uint8(o.Code)] = o.Value
	}
	for _, o := range e.Omitted {
		if system { // who asks for less has more room
			explained[uint8(o.Code)] = o.Value
		} else if answer.Options.Has(dhcpv4.GenericOptionCode(o.Code)) {
			t.Errorf("option %d is sent; explained was that it has no room", o.Code)
		}
	}
	for _, own := range []uint8{61, 82, 97} {
		delete(answer.Options, own)
		delete(explained, own)
	}
	for code, v := range answer.Options {
		if got := dhcp.OptionValue(4, int(code), v); got != explained[code] {
			t.Errorf("option %d is %q; explained was %q", code, got, explained[code])
		}
		delete(explained, code)
	}
	for code, v := range explained {
		if wants := asked.ParameterRequestList(); !system || wants.Has(dhcpv4.GenericOptionCode(code)) {
			t.Errorf("option %d is not sent; explained was %q", code, v)
		}
	}
}

// TestExplainedGoesThere: an explanation says where the answer goes, as each real
// client on the agent's own link has it: by a broadcast, or in a frame.
func TestExplainedGoesThere(t *testing.T) {
	ledger := dhcptest.NewMemory(seed())
	s, err := builtin.New(builtin.Config{Address: ip("10.0.0.1"), Ledger: ledger})
	if err != nil {
		t.Fatal(err)
	}
	here := site(t)
	here.Ledger = ledger
	for name, wire := range dhcptest.Captures(t) {
		firmware, ok := said[name]
		if !ok || name == "networkd-discover" { // whose address is that of its identifier
			continue
		}
		r, err := builtin.Parse(wire, netip.MustParseAddrPort("0.0.0.0:68"), ip("255.255.255.255"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Explain(dhcp.Question{MAC: r.MAC(), Firmware: firmware})
		if a := builtin.Decide(r, here); err != nil || e.To == "" || a.To.String() != e.To {
			t.Errorf("%s goes to %s; explained was %q, %v", name, a.To, e.To, err)
		}
	}
	if broadcast, err := s.Explain(dhcp.Question{MAC: web01, Firmware: dhcp.UEFI}); err != nil || broadcast.To != "255.255.255.255:68" {
		t.Errorf("UEFI wants a broadcast; explained was %q, %v", broadcast.To, err)
	}
}
