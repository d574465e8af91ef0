package builtin_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// proxySeed is the seed with another DHCP server on its first network.
func proxySeed() dhcptest.Seed {
	s := seed()
	s.Subnets[0].DHCP, s.Subnets[0].DHCPServers = sprout.DHCPProxy, []string{"10.0.0.66"}
	return s
}

// TestProxy is who is answered beside another server, and with what (PXE 2.1,
// ProxyDHCP): boot information, and never an address.
func TestProxy(t *testing.T) {
	pxe := func() dhcpv4.Options {
		return dhcpv4.Options{60: []byte("PXEClient:Arch:00007:UNDI:003001"), 93: {0, 7}, 97: make([]byte, 17)}
	}
	http := dhcpv4.Options{60: []byte("HTTPClient:Arch:00016:UNDI:003001"), 93: {0, 16}}
	ipxe := dhcpv4.Options{60: []byte("PXEClient:Arch:00000:UNDI:002001"), 93: {0, 0}, 77: []byte("iPXE"), 175: []byte("\x13\x01\x01")}
	for _, c := range []struct {
		name string
		say  say
		boot bool // at port 4011
		want string
		file string
		to   string
		why  string
	}{
		{"firmware discovers", say{kind: discover, mac: web01, options: pxe()}, false, "OFFER 0.0.0.0", "snponly.efi", "255.255.255.255:68", "offers no address"},
		{"by a relay", say{kind: discover, mac: web01, giaddr: "10.0.0.254", options: pxe()}, false, "OFFER 0.0.0.0", "snponly.efi", "10.0.0.254:67", ""},
		{"UEFI HTTP", say{kind: discover, mac: web01, options: http}, false, "OFFER 0.0.0.0", "http://10.0.0.1:8080/boot/snponly.efi", "255.255.255.255:68", ""},
		{"iPXE", say{kind: discover, mac: web01, options: ipxe}, false, "OFFER 0.0.0.0", "http://10.0.0.1:8080/boot/52-54-00-00-00-01.ipxe", "255.255.255.255:68", ""},
		{"a system discovers", say{kind: discover, mac: web01}, false, "", "", "", "only firmware"},
		{"an unknown machine where it is to be discovered", say{kind: discover, mac: stranger, options: pxe()}, false, "OFFER 0.0.0.0", "snponly.efi", "255.255.255.255:68", "to be discovered"},
		{"an architecture without a loader", say{kind: discover, mac: web01, options: dhcpv4.Options{60: []byte("PXEClient"), 93: {0, 27}}}, false, "", "", "", "no loader"},
		{"asks the boot server", say{kind: request, mac: web01, ciaddr: "10.0.0.50", srv: "10.0.0.1", to: "10.0.0.1", options: pxe()}, true, "ACK 0.0.0.0", "snponly.efi", "10.0.0.50:68", "says what to boot"},
		{"informs itself at the boot server", say{kind: dhcpv4.MessageTypeInform, mac: web01, ciaddr: "10.0.0.50", to: "10.0.0.1", options: pxe()}, true, "ACK 0.0.0.0", "snponly.efi", "10.0.0.50:68", ""},
		{"a system asks the boot server", say{kind: request, mac: web01, ciaddr: "10.0.0.50", to: "10.0.0.1"}, true, "", "", "", "only firmware"},
		{"a renewal", say{kind: request, mac: web01, ciaddr: "10.0.0.50", to: "10.0.0.1"}, false, "", "", "", "another DHCP server"},
		{"a release", say{kind: dhcpv4.MessageTypeRelease, mac: web01, ciaddr: "10.0.0.50", srv: "10.0.0.66"}, false, "", "", "", "another DHCP server"},
		{"takes the other server's offer", say{kind: request, mac: web01, srv: "10.0.0.66", asks: "10.0.0.50", options: pxe()}, false, "", "", "", "10.0.0.50 from 10.0.0.66"},
		{"elsewhere the agent is the server", say{kind: discover, mac: web01, giaddr: "10.9.0.1", options: pxe()}, false, "OFFER", "snponly.efi", "10.9.0.1:67", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := site(t)
			s.Ledger = dhcptest.NewMemory(proxySeed())
			r := c.say.request(t)
			r.Boot = c.boot
			a := builtin.Decide(r, s)
			if got := outcome(a); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || !strings.Contains(a.Reason, c.why) {
				t.Fatalf("got %q, want %q: %s", got, c.want, a.Reason)
			}
			if a.Reply == nil {
				return
			}
			if a.Reply.BootFileName != c.file || a.To.To.String() != c.to || a.Reply.ServerIPAddr.String() != "10.0.0.1" {
				t.Errorf("%q from %s to %s", a.Reply.BootFileName, a.Reply.ServerIPAddr, a.To.To)
			}
			if c.want == "OFFER" {
				return
			}
			if class := string(a.Reply.Options[60]); class == "" || !strings.HasPrefix(string(c.say.options[60]), class) {
				t.Errorf("option 60 is %q", class)
			}
			for _, code := range []uint8{1, 3, 6, 51, 58, 59, 175} {
				if v, ok := a.Reply.Options[code]; ok {
					t.Errorf("option %d, which is the other server's to say, is %x", code, v)
				}
			}
			if string(a.Reply.Options[97]) != string(c.say.options[97]) {
				t.Errorf("option 97 is %x", a.Reply.Options[97])
			}
		})
	}
}

// TestProxyKnowsWhoHasWhat keeps a record of the address that a machine takes
// from the other server, by which its boot script is given to it and nobody else.
func TestProxyKnowsWhoHasWhat(t *testing.T) {
	s := site(t)
	s.Ledger = dhcptest.NewMemory(proxySeed())
	a := builtin.Decide(say{kind: request, mac: web01, srv: "10.0.0.66", asks: "10.0.0.50"}.request(t), s)
	want := sprout.Lease{Site: "sit_1", Subnet: "sub_a", IP: ip("10.0.0.50"), MAC: web01, Hostname: "web-01", State: "bound", ExpiresAt: s.Now.Add(s.LeaseTime)}
	if a.Lease == nil || *a.Lease != want || a.Reply != nil || a.What != sprout.SawAck {
		t.Errorf("%+v, want %+v: %s", a.Lease, want, a.Reason)
	}
	if a := builtin.Decide(say{kind: request, mac: web01, srv: "10.0.0.66", asks: "192.168.0.9"}.request(t), s); a.Lease != nil {
		t.Errorf("of another network: %+v", a.Lease)
	}
}

// TestBootServerWhereTheAgentIsTheServer is silent: nobody was sent there.
func TestBootServerWhereTheAgentIsTheServer(t *testing.T) {
	r := say{kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.5", to: "10.0.0.1", options: dhcpv4.Options{60: []byte("PXEClient"), 93: {0, 7}}}.request(t)
	r.Boot, r.From = true, netip.MustParseAddrPort("10.0.0.5:4011")
	if a := builtin.Decide(r, site(t)); a.Reply != nil || a.Lease != nil {
		t.Errorf("answers %s", a.Reason)
	}
}

// TestBootServer answers at its own port, from that port and to the port that was
// asked from.
func TestBootServer(t *testing.T) {
	s := seed()
	s.Subnets = append(s.Subnets, sprout.Subnet{ID: "sub_lo", CIDR: netip.MustParsePrefix("127.0.0.0/8"), DHCP: sprout.DHCPProxy})
	port := freePort(t)
	serve(t, builtin.Config{Address: ip("127.0.0.1"), Port: freePort(t), BootPort: port, Ledger: dhcptest.NewMemory(s)})
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 7)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := &relayAgent{conn: conn}
	p := say{kind: request, mac: web01, ciaddr: "127.0.0.7", options: dhcpv4.Options{60: []byte("PXEClient:Arch:00007"), 93: {0, 7}}}.request(t).Packet
	if _, err := conn.Write(p.ToBytes()); err != nil {
		t.Fatal(err)
	}
	a := client.read(t, 10*time.Second)
	if a == nil || a.MessageType() != dhcpv4.MessageTypeAck || a.BootFileName != "snponly.efi" || a.TransactionID != p.TransactionID {
		t.Errorf("answers %v", a)
	}
}
