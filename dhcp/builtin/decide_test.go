package builtin_test

import (
	"encoding/hex"
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

// The clients of these tests.
const (
	web01    = "52:54:00:00:00:01" // known, 10.0.0.5 is reserved for it
	db01     = "52:54:00:00:00:02" // known, nothing is reserved
	stranger = "52:54:00:00:00:09" // unknown
	other    = "52:54:00:00:00:0a" // unknown
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// seed is a site with a provisioning network that allows discovery (sub_a,
// four dynamic addresses, and sub_c beside it), and one that does not (sub_b).
func seed() dhcptest.Seed {
	return dhcptest.Seed{
		Subnets: []sprout.Subnet{
			{
				ID: "sub_a", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Gateway: ip("10.0.0.254"),
				NTP: []netip.Addr{ip("10.0.0.3")}, Discover: true, MTU: 1500,
				Ranges: []sprout.Range{{Kind: sprout.ReservedRange, First: ip("10.0.0.2"), Last: ip("10.0.0.4")}, {Kind: sprout.Dynamic, First: ip("10.0.0.100"), Last: ip("10.0.0.103")}},
			},
			{
				ID: "sub_b", Site: "sit_1", Network: "net_2", CIDR: netip.MustParsePrefix("10.9.0.0/24"),
				DNS: []netip.Addr{ip("9.9.9.9"), ip("2001:db8::9")}, Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: ip("10.9.0.100"), Last: ip("10.9.0.199")}},
			},
			{ID: "sub_c", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix("10.0.7.0/24")},
		},
		Reservations: []sprout.Reservation{{MAC: web01, IP: ip("10.0.0.5"), Machine: "mch_1", Hostname: "web-01"}},
		Machines:     []sprout.SiteMachine{{ID: "mch_1", Name: "web-01", MACs: []string{web01}}, {ID: "mch_2", Name: "db-01", MACs: []string{db01}}},
	}
}

// site is the seed's, with leases.
func site(t *testing.T, leases ...sprout.Lease) builtin.Site {
	t.Helper()
	l := dhcptest.NewMemory(seed())
	for _, one := range leases {
		if err := l.SaveLeases(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	return builtin.Site{
		Ledger: l, Offers: &builtin.Offers{}, Address: ip("10.0.0.1"), BootURL: "http://10.0.0.1:8080",
		Loaders: builtin.DefaultLoaders, Domain: "lon1.example", LeaseTime: 10 * time.Minute, Now: now,
	}
}

func bound(addr, mac string) sprout.Lease { return leaseOf(addr, mac, "bound", 5*time.Minute) }

func leaseOf(addr, mac, state string, left time.Duration) sprout.Lease {
	return sprout.Lease{Site: "sit_1", Subnet: "sub_a", IP: ip(addr), MAC: mac, State: state, ExpiresAt: now.Add(left)}
}

// A packet is what a test's client says.
type say struct {
	kind              dhcpv4.MessageType
	mac               string
	ciaddr, asks, srv string // ciaddr, options 50 and 54
	giaddr            string
	broadcast         bool
	to                string // destination; empty: the broadcast
	options           dhcpv4.Options
}

func (s say) request(t *testing.T) builtin.Request {
	t.Helper()
	mac, err := net.ParseMAC(s.mac)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dhcpv4.New(dhcpv4.WithMessageType(s.kind), dhcpv4.WithHwAddr(mac), dhcpv4.WithBroadcast(s.broadcast))
	if err != nil {
		t.Fatal(err)
	}
	for code, v := range s.options {
		p.Options[code] = v
	}
	r := builtin.Request{From: netip.MustParseAddrPort("0.0.0.0:68"), To: ip("255.255.255.255")}
	if s.ciaddr != "" {
		p.ClientIPAddr = net.ParseIP(s.ciaddr).To4()
		r.From = netip.AddrPortFrom(ip(s.ciaddr), 68)
	}
	if s.giaddr != "" {
		p.GatewayIPAddr = net.ParseIP(s.giaddr).To4()
		r.From = netip.AddrPortFrom(ip(s.giaddr), 1067)
	}
	if s.to != "" {
		r.To = ip(s.to)
	}
	if s.asks != "" {
		p.Options[50] = net.ParseIP(s.asks).To4()
	}
	if s.srv != "" {
		p.Options[54] = net.ParseIP(s.srv).To4()
	}
	r.Packet = p
	// What is decided on is what the wire carries.
	parsed, err := builtin.Parse(p.ToBytes(), r.From, r.To)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
)

// TestDecide is the table of RFC 2131 section 4.3, state by state. Want is
// "OFFER ip", "ACK ip", "NAK" or "" for silence; why is in the reason.
func TestDecide(t *testing.T) {
	full := []sprout.Lease{bound("10.0.0.100", other), bound("10.0.0.101", other), bound("10.0.0.102", other), bound("10.0.0.103", other)}
	for _, c := range []struct {
		name   string
		leases []sprout.Lease
		say    say
		want   string
		why    string
	}{
		{"reserved", nil, say{kind: discover, mac: web01}, "OFFER 10.0.0.5", "reserved"},
		{"reserved, though leased elsewhere", []sprout.Lease{bound("10.0.0.101", web01)}, say{kind: discover, mac: web01}, "OFFER 10.0.0.5", "reserved"},
		{"reserved, but used by a stranger", []sprout.Lease{bound("10.0.0.5", stranger)}, say{kind: discover, mac: web01, asks: "10.0.0.102"}, "OFFER 10.0.0.102", "10.0.0.5 is bound by " + stranger},
		{"reserved, but declined", []sprout.Lease{leaseOf("10.0.0.5", web01, "declined", time.Hour)}, say{kind: discover, mac: web01, asks: "10.0.0.102"}, "OFFER 10.0.0.102", "declined"},
		{"reserved on another network", nil, say{kind: discover, mac: web01, giaddr: "10.9.0.1", asks: "10.9.0.150"}, "OFFER 10.9.0.150", "not on this network"},
		{"its lease", []sprout.Lease{bound("10.0.0.102", stranger)}, say{kind: discover, mac: stranger}, "OFFER 10.0.0.102", "its lease until 12:05:00"},
		{"its lease, though it asks for another", []sprout.Lease{bound("10.0.0.102", stranger)}, say{kind: discover, mac: stranger, asks: "10.0.0.103"}, "OFFER 10.0.0.102", "its lease"},
		{"its expired lease", []sprout.Lease{leaseOf("10.0.0.102", stranger, "bound", -time.Hour)}, say{kind: discover, mac: stranger}, "OFFER 10.0.0.102", "the address it had"},
		{"its released lease", []sprout.Lease{leaseOf("10.0.0.102", stranger, "released", 0)}, say{kind: discover, mac: stranger}, "OFFER 10.0.0.102", "the address it had"},
		{"its lease outside of today's range", []sprout.Lease{bound("10.0.0.77", stranger)}, say{kind: discover, mac: stranger, asks: "10.0.0.103"}, "OFFER 10.0.0.103", "asks for"},
		{"what it asks for", nil, say{kind: discover, mac: stranger, asks: "10.0.0.103"}, "OFFER 10.0.0.103", "asks for"},
		{"what it asks for is another's", full[1:], say{kind: discover, mac: stranger, asks: "10.0.0.103"}, "OFFER 10.0.0.100", "a free address"},
		{"what it asks for is in no range", full[:3], say{kind: discover, mac: stranger, asks: "10.0.0.50"}, "OFFER 10.0.0.103", "a free address"},
		{"an expired lease of another", []sprout.Lease{full[0], full[1], full[2], leaseOf("10.0.0.103", other, "bound", -time.Second)}, say{kind: discover, mac: stranger}, "OFFER 10.0.0.103", "a free address"},
		{"full", full, say{kind: discover, mac: stranger}, "", "full"},
		{"full of a declined one", []sprout.Lease{full[0], full[1], full[2], leaseOf("10.0.0.103", stranger, "declined", time.Hour)}, say{kind: discover, mac: stranger}, "", "full"},
		{"a relay of nowhere", nil, say{kind: discover, mac: stranger, giaddr: "10.77.0.1"}, "", "no subnet of the site contains 10.77.0.1"},
		{"a relay without a range", nil, say{kind: discover, mac: stranger, giaddr: "10.0.7.1", asks: "10.0.0.101"}, "OFFER 10.0.0.101", "asks for"},
		{"a relay that selects another link", nil, say{kind: discover, mac: stranger, giaddr: "10.77.0.1", asks: "10.9.0.101", options: relay(5, "10.9.0.0")}, "OFFER 10.9.0.101", "asks for"},

		{"SELECTING, reserved", nil, say{kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.5"}, "ACK 10.0.0.5", "reserved"},
		{"SELECTING, dynamic", nil, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.101"}, "ACK 10.0.0.101", "free address"},
		{"SELECTING, another server's offer", nil, say{kind: request, mac: stranger, srv: "10.0.0.66", asks: "10.0.0.101"}, "", "takes the offer of 10.0.0.66"},
		{"SELECTING, another's address", []sprout.Lease{bound("10.0.0.101", other)}, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.101"}, "NAK", "not free"},
		{"SELECTING, another's reservation", nil, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.5"}, "NAK", "not in a dynamic range"},
		{"SELECTING, the agent's address", nil, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.1"}, "NAK", "not free"},
		{"SELECTING, elsewhere", nil, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.9.0.101"}, "NAK", "not on this network"},
		{"SELECTING by override", nil, say{kind: request, mac: stranger, giaddr: "10.9.0.1", srv: "10.9.0.1", asks: "10.9.0.101", options: relay(11, "10.9.0.1")}, "ACK 10.9.0.101", "free address"},

		{"INIT-REBOOT, its lease", []sprout.Lease{bound("10.0.0.101", stranger)}, say{kind: request, mac: stranger, asks: "10.0.0.101"}, "ACK 10.0.0.101", "its lease"},
		{"INIT-REBOOT, its expired lease", []sprout.Lease{leaseOf("10.0.0.101", stranger, "bound", -time.Hour)}, say{kind: request, mac: stranger, asks: "10.0.0.101"}, "ACK 10.0.0.101", "it had"},
		{"INIT-REBOOT, no record", nil, say{kind: request, mac: stranger, asks: "10.0.0.101"}, "", "no record"},
		{"INIT-REBOOT, wrong network", nil, say{kind: request, mac: stranger, asks: "192.168.1.5"}, "NAK", "not on this network"},
		{"INIT-REBOOT, another's", []sprout.Lease{bound("10.0.0.101", other)}, say{kind: request, mac: stranger, asks: "10.0.0.101"}, "NAK", "not free"},
		{"INIT-REBOOT, reserved by now", []sprout.Lease{bound("10.0.0.101", web01)}, say{kind: request, mac: web01, asks: "10.0.0.101"}, "NAK", "10.0.0.5 is reserved"},
		{"INIT-REBOOT, reserved", nil, say{kind: request, mac: web01, asks: "10.0.0.5"}, "ACK 10.0.0.5", "reserved"},

		{"RENEWING", []sprout.Lease{bound("10.0.0.101", stranger)}, say{kind: request, mac: stranger, ciaddr: "10.0.0.101", to: "10.0.0.1"}, "ACK 10.0.0.101", "its lease"},
		{"RENEWING, reserved by now", []sprout.Lease{bound("10.0.0.101", web01)}, say{kind: request, mac: web01, ciaddr: "10.0.0.101", to: "10.0.0.1"}, "ACK 10.0.0.101", "its lease"},
		{"RENEWING, another's", []sprout.Lease{bound("10.0.0.101", other)}, say{kind: request, mac: stranger, ciaddr: "10.0.0.101", to: "10.0.0.1"}, "NAK", "not free"},
		{"RENEWING from beyond a router", []sprout.Lease{{Subnet: "sub_b", IP: ip("10.9.0.120"), MAC: stranger, State: "bound", ExpiresAt: now.Add(time.Minute)}}, say{kind: request, mac: stranger, ciaddr: "10.9.0.120", to: "10.0.0.1"}, "ACK 10.9.0.120", "its lease"},
		{"RENEWING, not ours", nil, say{kind: request, mac: stranger, ciaddr: "192.168.1.5", to: "10.0.0.1"}, "", "no subnet"},
		{"REBINDING", []sprout.Lease{bound("10.0.0.101", stranger)}, say{kind: request, mac: stranger, ciaddr: "10.0.0.101"}, "ACK 10.0.0.101", "its lease"},
		{"REBINDING after a move", []sprout.Lease{bound("10.0.0.101", stranger)}, say{kind: request, mac: stranger, ciaddr: "10.9.0.120"}, "NAK", "not on this network"},
		{"REQUEST of nothing", nil, say{kind: request, mac: stranger}, "", "requests no address"},

		{"INFORM", nil, say{kind: dhcpv4.MessageTypeInform, mac: stranger, ciaddr: "10.0.0.50"}, "ACK 0.0.0.0", "asks for options"},
		{"INFORM from elsewhere", nil, say{kind: dhcpv4.MessageTypeInform, mac: stranger, ciaddr: "192.168.1.5"}, "", "not on its network"},
		{"an ACK is not for us", nil, say{kind: dhcpv4.MessageTypeAck, mac: stranger}, "", "not for a server"},
		{"BOOTP", nil, say{kind: dhcpv4.MessageTypeNone, mac: stranger}, "", "not for a server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := builtin.Decide(c.say.request(t), site(t, c.leases...))
			if got := outcome(a); got != c.want {
				t.Errorf("got %q, want %q: %s", got, c.want, a.Reason)
			}
			if !strings.Contains(a.Reason, c.why) {
				t.Errorf("the reason %q does not say %q", a.Reason, c.why)
			}
			sound(t, a)
		})
	}
}

// outcome is an answer in two words.
func outcome(a builtin.Answer) string {
	switch {
	case a.Reply == nil:
		return ""
	case a.Reply.MessageType() == dhcpv4.MessageTypeNak:
		return "NAK"
	}
	return a.Reply.MessageType().String() + " " + a.Reply.YourIPAddr.String()
}

// sound checks what holds of every answer.
func sound(t *testing.T, a builtin.Answer) {
	t.Helper()
	if a.Reply == nil {
		return
	}
	gives := !a.Reply.YourIPAddr.IsUnspecified()
	if gives && (!a.Hold.IsValid() || a.Holder == "") {
		t.Error("an address is given that is not kept for the client")
	}
	if ack := a.Reply.MessageType() == dhcpv4.MessageTypeAck; ack && gives != (a.Lease != nil) {
		t.Errorf("an ACK and its lease do not agree: %v", a.Lease)
	}
	if _, ok := a.Reply.Options[51]; ok != gives {
		t.Errorf("the lease time is there: %v; an address is given: %v", ok, gives)
	}
	if a.Reply.OpCode != dhcpv4.OpcodeBootReply || len(a.Reply.Options[54]) != 4 {
		t.Errorf("no reply of a server: %s", a.Reply.Summary())
	}
	if n := len(a.Reply.ToBytes()); n > 576 {
		t.Errorf("the reply has %d bytes; a client need not take more than 576", n)
	}
}

// relay is option 82 with one sub-option that holds an address.
func relay(code byte, addr string) dhcpv4.Options {
	return dhcpv4.Options{82: append([]byte{code, 4}, net.ParseIP(addr).To4()...)}
}

func TestLeaseOfAnAck(t *testing.T) {
	a := builtin.Decide(say{kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.5"}.request(t), site(t))
	want := sprout.Lease{Site: "sit_1", Subnet: "sub_a", IP: ip("10.0.0.5"), MAC: web01, Hostname: "web-01", State: "bound", ExpiresAt: now.Add(10 * time.Minute)}
	if a.Lease == nil || *a.Lease != want {
		t.Errorf("lease %v, want %v", a.Lease, want)
	}
}

func TestOptionsOfAnAck(t *testing.T) {
	everything := []byte{1, 3, 6, 12, 15, 26, 28, 42, 51, 54, 58, 59}
	for name, c := range map[string]struct {
		say  say
		want map[uint8]string // hexadecimal
		not  []uint8
	}{
		"all asked for": {
			say{kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.5", options: dhcpv4.Options{55: everything}},
			map[uint8]string{1: "ffffff00", 3: "0a0000fe", 6: "0a000001", 12: hex.EncodeToString([]byte("web-01")), 15: hex.EncodeToString([]byte("lon1.example")), 26: "05dc", 28: "0a0000ff", 42: "0a000003", 51: "00000258", 54: "0a000001", 58: "0000012c", 59: "0000020d"},
			[]uint8{60, 66, 67, 175},
		},
		"few asked for": {
			say{kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.5", options: dhcpv4.Options{55: {3}}},
			map[uint8]string{1: "ffffff00", 3: "0a0000fe", 51: "00000258"}, []uint8{6, 12, 15, 26, 28, 42},
		},
		"the subnet's name servers": {
			say{kind: request, mac: stranger, giaddr: "10.9.0.1", srv: "10.0.0.1", asks: "10.9.0.120"},
			map[uint8]string{6: "09090909"}, []uint8{3, 12, 42},
		},
		"a shorter lease": {
			say{kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.5", options: dhcpv4.Options{51: {0, 0, 0, 120}}},
			map[uint8]string{51: "00000078"}, nil,
		},
		"no longer lease": {
			say{kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.5", options: dhcpv4.Options{51: {0, 1, 0, 0}}},
			map[uint8]string{51: "00000258"}, nil,
		},
		"the client identifier comes back": {
			say{kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.5", options: dhcpv4.Options{61: {0xff, 1, 2, 3}}},
			map[uint8]string{61: "ff010203"}, nil,
		},
		"a refusal says why": {
			say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.5", options: dhcpv4.Options{61: {0xff, 1, 2, 3}}},
			map[uint8]string{56: hex.EncodeToString([]byte("10.0.0.5 is not in a dynamic range, and not reserved for it")), 61: "ff010203"}, []uint8{1, 3, 6, 51},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := builtin.Decide(c.say.request(t), site(t))
			if a.Reply == nil {
				t.Fatal(a.Reason)
			}
			for code, want := range c.want {
				if got := hex.EncodeToString(a.Reply.Options[code]); got != want {
					t.Errorf("option %d is %s, want %s", code, got, want)
				}
			}
			for _, code := range c.not {
				if v, ok := a.Reply.Options[code]; ok {
					t.Errorf("option %d is there: %x", code, v)
				}
			}
		})
	}
}

func TestWhereAnswersGo(t *testing.T) {
	for name, c := range map[string]struct {
		say      say
		to       string
		hardware bool
	}{
		"no address yet":          {say{kind: discover, mac: stranger, asks: "10.0.0.101"}, "10.0.0.101:68", true},
		"wants a broadcast":       {say{kind: discover, mac: stranger, broadcast: true}, "255.255.255.255:68", false},
		"has an address":          {say{kind: request, mac: web01, ciaddr: "10.0.0.5", to: "10.0.0.1"}, "10.0.0.5:68", false},
		"a refusal":               {say{kind: request, mac: stranger, asks: "192.168.1.1"}, "255.255.255.255:68", false},
		"by a relay":              {say{kind: discover, mac: stranger, giaddr: "10.9.0.1"}, "10.9.0.1:67", false},
		"a refusal by a relay":    {say{kind: request, mac: stranger, asks: "192.168.1.1", giaddr: "10.9.0.1"}, "10.9.0.1:67", false},
		"a relay's own port":      {say{kind: discover, mac: stranger, giaddr: "10.9.0.1", options: dhcpv4.Options{82: {19, 0}}}, "10.9.0.1:1067", false},
		"an INFORM has its own":   {say{kind: dhcpv4.MessageTypeInform, mac: stranger, ciaddr: "10.0.0.9"}, "10.0.0.9:68", false},
		"an INFORM has no giaddr": {say{kind: dhcpv4.MessageTypeInform, mac: stranger, ciaddr: "10.0.0.9", to: "10.0.0.1"}, "10.0.0.9:68", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.say.request(t)
			a := builtin.Decide(r, site(t))
			if a.Reply == nil || a.To.To.String() != c.to || (a.To.Hardware != nil) != c.hardware {
				t.Errorf("to %v, hardware %v: %s", a.To.To, a.To.Hardware, a.Reason)
			}
			if v := r.Packet.Options[82]; string(a.Reply.Options[82]) != string(v) {
				t.Errorf("option 82 came back as %x, not %x", a.Reply.Options[82], v)
			}
			if a.Reply.GatewayIPAddr.String() != r.Packet.GatewayIPAddr.String() {
				t.Errorf("giaddr %s", a.Reply.GatewayIPAddr)
			}
			if nak := a.Reply.MessageType() == dhcpv4.MessageTypeNak; nak && c.say.giaddr != "" && !a.Reply.IsBroadcast() {
				t.Error("a relay must broadcast a refusal")
			}
		})
	}
}
