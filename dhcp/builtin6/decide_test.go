package builtin6_test

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// The clients of these tests.
const (
	web01    = "52:54:00:00:00:01" // known, fd00:20::5 is reserved for it
	db01     = "52:54:00:00:00:02" // known by its UUID too, nothing is reserved
	stranger = "52:54:00:00:00:09" // unknown
	other    = "52:54:00:00:00:0a" // unknown
	dbUUID   = "00112233-4455-6677-8899-aabbccddeeff"
)

var (
	now    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	server = []byte{0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// seed is a site with a provisioning network that allows discovery (sub_a, four
// dynamic addresses, and sub_c beside it), and one behind a relay that does not
// (sub_b).
func seed() dhcptest.Seed {
	return dhcptest.Seed{
		Subnets: []sprout.Subnet{
			{ID: "sub_4", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix("10.0.0.0/24")},
			{
				ID: "sub_a", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix("fd00:20::/64"), Gateway: ip("fd00:20::ffff"),
				NTP: []netip.Addr{ip("fd00:20::3"), ip("10.0.0.3")}, Discover: true,
				Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: ip("fd00:20::100"), Last: ip("fd00:20::103")}},
			},
			{
				ID: "sub_b", Site: "sit_1", Network: "net_2", CIDR: netip.MustParsePrefix("fd00:21::/64"),
				DNS:    []netip.Addr{ip("9.9.9.9"), ip("2001:db8::9")},
				Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: ip("fd00:21::1:0"), Last: ip("fd00:21::ffff:ffff:ffff:ffff")}},
			},
			{ID: "sub_c", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix("fd00:2f::/64")},
		},
		Reservations: []sprout.Reservation{{MAC: web01, IP: ip("fd00:20::5"), Machine: "mch_1", Hostname: "web-01.lon1.example"}},
		Machines:     []sprout.SiteMachine{{ID: "mch_1", Name: "web-01", MACs: []string{web01}}, {ID: "mch_2", Name: "db-01", MACs: []string{db01}, UUID: dbUUID}},
	}
}

// site is the seed's, with leases.
func site(t testing.TB, leases ...sprout.Lease) builtin6.Site {
	t.Helper()
	l := dhcptest.NewMemory(seed())
	for _, one := range leases {
		if err := l.SaveLease(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	return builtin6.Site{
		Ledger: l, Offers: &builtin.Offers{}, Address: ip("fd00:20::1"), DUID: server, BootURL: "http://[fd00:20::1]:8080",
		Loaders: builtin.DefaultLoaders, Domain: "lon1.example", LeaseTime: 10 * time.Minute, Now: now,
	}
}

func bound(addr, mac string) sprout.Lease { return leaseOf(addr, mac, "bound", 5*time.Minute) }

func leaseOf(addr, mac, state string, left time.Duration) sprout.Lease {
	return sprout.Lease{Site: "sit_1", Subnet: "sub_a", IP: ip(addr), MAC: mac, State: state, ExpiresAt: now.Add(left)}
}

// A say is what a test's client says.
type say struct {
	kind    dhcpv6.MessageType
	mac     string // that it sends from, and in its DUID
	duid    dhcpv6.DUID
	from    string // its address; empty: the link-local one of its MAC
	server  []byte
	no      bool       // no client identifier
	ias     [][]string // addresses of each IA_NA; nil: one without
	options []dhcpv6.Option
	to      string   // destination; empty: the group
	relays  []string // link-addresses, the nearest to the client first
	seen    bool     // the relay saw the MAC (RFC 6939)
}

// ours is the identifier of the tests' server, theirs that of another.
var ours, theirs = server, []byte{0, 3, 0, 1, 2, 2, 2, 2, 2, 2}

func (s say) request(t testing.TB) builtin6.Request {
	t.Helper()
	mac, err := net.ParseMAC(s.mac)
	if err != nil {
		t.Fatal(err)
	}
	m := &dhcpv6.Message{MessageType: s.kind, TransactionID: dhcpv6.TransactionID{1, 2, 3}}
	if s.duid == nil {
		s.duid = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac}
	}
	if !s.no {
		m.AddOption(dhcpv6.OptClientID(s.duid))
	}
	if s.server != nil {
		m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: s.server})
	}
	if s.ias == nil && s.kind != dhcpv6.MessageTypeInformationRequest {
		s.ias = [][]string{nil}
	}
	for i, ia := range s.ias {
		one := &dhcpv6.OptIANA{IaId: [4]byte{9, 9, 9, byte(i)}}
		for _, addr := range ia {
			one.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(addr)})
		}
		m.AddOption(one)
	}
	for _, o := range s.options {
		m.AddOption(o)
	}
	return s.carried(t, m, mac)
}

// carried is the message as it arrives, by the wire: that is what is decided on.
func (s say) carried(t testing.TB, m *dhcpv6.Message, mac net.HardwareAddr) builtin6.Request {
	t.Helper()
	from := s.from
	if from == "" {
		from = net.IP{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}.String()
	}
	at, to, frame := netip.AddrPortFrom(ip(from), 546), "ff02::1:2", s.mac
	var wire dhcpv6.DHCPv6 = m
	for i, link := range s.relays {
		relay := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward, HopCount: uint8(i), LinkAddr: net.ParseIP(link), PeerAddr: at.Addr().AsSlice()}
		relay.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionInterfaceID, OptionData: []byte{'p', byte(i)}})
		if i == 0 && s.seen {
			relay.AddOption(dhcpv6.OptClientLinkLayerAddress(iana.HWTypeEthernet, mac))
		}
		relay.AddOption(dhcpv6.OptRelayMessage(wire))
		wire, to, frame = relay, "fd00:20::1", ""
		at = netip.AddrPortFrom(ip("fd00:99::1").Next(), 547)
	}
	if s.to != "" {
		to = s.to
	}
	r, err := builtin6.Parse(wire.ToBytes(), at, ip(to))
	if err != nil {
		t.Fatal(err)
	}
	if s.from == "" {
		r.Frame = frame
	}
	return r
}

// inner is the message of an answer, out of its relays.
func inner(t testing.TB, a builtin6.Answer) *dhcpv6.Message {
	t.Helper()
	if a.Reply == nil {
		t.Fatalf("no reply: %s", a.Reason)
	}
	d, err := dhcpv6.FromBytes(a.Reply.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.GetInnerMessage()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shown writes an answer in short: its kind, then each IA's addresses (one that
// is withdrawn with a minus) or status, then the message's own status.
func shown(t testing.TB, a builtin6.Answer) string {
	t.Helper()
	if a.Reply == nil {
		return "silence"
	}
	m := inner(t, a)
	words := []string{m.MessageType.String()}
	for _, ia := range m.Options.IANA() {
		for _, one := range ia.Options.Addresses() {
			sign := ""
			if one.ValidLifetime == 0 {
				sign = "-"
			}
			words = append(words, sign+one.IPv6Addr.String())
		}
		if s := ia.Options.Status(); s != nil {
			words = append(words, s.StatusCode.String())
		}
	}
	if s := m.Options.Status(); s != nil {
		words = append(words, "= "+s.StatusCode.String())
	}
	return strings.Join(words, " ")
}

const (
	solicit = dhcpv6.MessageTypeSolicit
	request = dhcpv6.MessageTypeRequest
	confirm = dhcpv6.MessageTypeConfirm
	renew   = dhcpv6.MessageTypeRenew
	rebind  = dhcpv6.MessageTypeRebind
	release = dhcpv6.MessageTypeRelease
	decline = dhcpv6.MessageTypeDecline
	inform  = dhcpv6.MessageTypeInformationRequest
)

// rapid is the option of a client that wants two messages only.
var rapid = &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit}

// TestMatrix is RFC 8415 section 18.3, message by situation.
func TestMatrix(t *testing.T) {
	one := [][]string{{"fd00:20::102"}}
	mine := bound("fd00:20::102", stranger)
	for _, c := range []struct {
		name   string
		say    say
		leases []sprout.Lease
		want   string
		why    string
		saves  string // state of the lease that is saved
	}{
		{"solicit: reserved", say{kind: solicit, mac: web01}, nil, "ADVERTISE fd00:20::5", "reserved for its MAC", ""},
		{"solicit: its lease", say{kind: solicit, mac: stranger}, []sprout.Lease{mine}, "ADVERTISE fd00:20::102", "its lease", ""},
		{"solicit: what it had", say{kind: solicit, mac: stranger}, []sprout.Lease{leaseOf("fd00:20::101", stranger, "released", 0)}, "ADVERTISE fd00:20::101", "the address it had", ""},
		{"solicit: its wish", say{kind: solicit, mac: stranger, ias: one}, nil, "ADVERTISE fd00:20::102", "the address it asks for", ""},
		{"solicit: rapid", say{kind: solicit, mac: stranger, ias: one, options: []dhcpv6.Option{rapid}}, nil, "REPLY fd00:20::102", "gives at once", "bound"},
		{"solicit: full", say{kind: solicit, mac: stranger}, []sprout.Lease{bound("fd00:20::100", other), bound("fd00:20::101", "52:54:00:00:00:0b"), bound("fd00:20::102", "52:54:00:00:00:0c"), leaseOf("fd00:20::103", "52:54:00:00:00:0d", "declined", time.Minute)}, "ADVERTISE NoAddrsAvail", "is full", ""},
		{"solicit: a server named", say{kind: solicit, mac: stranger, server: ours}, nil, "silence", "with a server identifier", ""},
		{"solicit: nobody", say{kind: solicit, mac: stranger, no: true}, nil, "silence", "without a client identifier", ""},
		{"solicit: to us alone", say{kind: solicit, mac: stranger, to: "fd00:20::1"}, nil, "silence", "to one server alone", ""},
		{"solicit: a relay of nowhere", say{kind: solicit, mac: stranger, relays: []string{"fd00:77::1"}}, nil, "silence", "no IPv6 subnet of the site contains fd00:77::1", ""},
		{"solicit: a relay of another network, without a reservation there", say{kind: solicit, mac: web01, relays: []string{"fd00:21::1"}, ias: [][]string{{"fd00:21::1:7"}}}, nil, "ADVERTISE fd00:21::1:7", "its reservation fd00:20::5 is not on this network; the address it asks for", ""},

		{"request", say{kind: request, mac: stranger, server: ours, ias: one}, nil, "REPLY fd00:20::102", "the address it asks for", "bound"},
		{"request: another's server", say{kind: request, mac: stranger, server: theirs, ias: one}, nil, "silence", "talks to another server", ""},
		{"request: no server", say{kind: request, mac: stranger, ias: one}, nil, "silence", "without a server identifier", ""},
		{"request: to us alone", say{kind: request, mac: stranger, server: ours, ias: one, to: "fd00:20::1"}, nil, "REPLY = UseMulticast", "this server alone", ""},
		{"request: off the link", say{kind: request, mac: stranger, server: ours, ias: [][]string{{"fd00:77::1"}}}, nil, "REPLY NotOnLink", "fd00:77::1 is not on this network", ""},
		{"request: taken meanwhile", say{kind: request, mac: stranger, server: ours, ias: one}, []sprout.Lease{bound("fd00:20::102", other), bound("fd00:20::100", web01), bound("fd00:20::101", db01)}, "REPLY fd00:20::103", "a free address", "bound"},
		{"request: two", say{kind: request, mac: web01, server: ours, ias: [][]string{{"fd00:20::5"}, {"fd00:20::101"}}}, nil, "REPLY fd00:20::5 fd00:20::101", "reserved for its MAC", "bound"},

		{"confirm", say{kind: confirm, mac: stranger, ias: one}, nil, "REPLY = Success", "all its addresses", ""},
		{"confirm: the subnet beside it", say{kind: confirm, mac: stranger, ias: [][]string{{"fd00:2f::8"}}}, nil, "REPLY = Success", "all its addresses", ""},
		{"confirm: moved", say{kind: confirm, mac: stranger, ias: [][]string{{"fd00:77::1"}}}, nil, "REPLY = NotOnLink", "not on this network", ""},
		{"confirm: nothing", say{kind: confirm, mac: stranger}, nil, "silence", "no address to confirm", ""},

		{"renew", say{kind: renew, mac: stranger, server: ours, ias: one}, []sprout.Lease{mine}, "REPLY fd00:20::102", "its lease", "bound"},
		{"renew: forgotten, but free", say{kind: renew, mac: stranger, server: ours, ias: one}, nil, "REPLY fd00:20::102", "of which there is no record", "bound"},
		{"renew: another's", say{kind: renew, mac: stranger, server: ours, ias: one}, []sprout.Lease{bound("fd00:20::102", other)}, "REPLY NoBinding", "is not free", ""},
		{"renew: not dynamic", say{kind: renew, mac: stranger, server: ours, ias: [][]string{{"fd00:20::900"}}}, nil, "REPLY NoBinding", "not in a dynamic range", ""},
		{"renew: off the link", say{kind: renew, mac: stranger, server: ours, ias: [][]string{{"fd00:77::1"}}}, nil, "REPLY -fd00:77::1", "it is to leave", ""},
		{"renew: declined since", say{kind: renew, mac: stranger, server: ours, ias: one}, []sprout.Lease{leaseOf("fd00:20::102", stranger, "declined", time.Minute)}, "REPLY NoBinding", "is not free", ""},
		{"renew: with nothing", say{kind: renew, mac: web01, server: ours}, nil, "REPLY fd00:20::5", "reserved for its MAC", "bound"},
		{"renew: another is reserved by now", say{kind: renew, mac: web01, server: ours, ias: one}, []sprout.Lease{bound("fd00:20::102", web01)}, "REPLY fd00:20::102", "its lease", "bound"},
		{"renew: another's server", say{kind: renew, mac: stranger, server: theirs, ias: one}, []sprout.Lease{mine}, "silence", "another server", ""},
		{"rebind", say{kind: rebind, mac: stranger, ias: one}, []sprout.Lease{mine}, "REPLY fd00:20::102", "its lease", "bound"},
		{"rebind: off the link", say{kind: rebind, mac: stranger, ias: [][]string{{"fd00:77::1"}}}, nil, "REPLY -fd00:77::1", "it is to leave", ""},
		{"rebind: a server named", say{kind: rebind, mac: stranger, server: ours, ias: one}, []sprout.Lease{mine}, "silence", "with a server identifier", ""},

		{"release", say{kind: release, mac: stranger, server: ours, ias: one}, []sprout.Lease{mine}, "REPLY = Success", "it gives back fd00:20::102", "bound"},
		{"release: not its own", say{kind: release, mac: stranger, server: ours, ias: one}, []sprout.Lease{bound("fd00:20::102", other)}, "REPLY NoBinding = Success", "it was not given this", ""},
		{"release: another's server", say{kind: release, mac: stranger, server: theirs, ias: one}, []sprout.Lease{mine}, "silence", "another server", ""},
		{"decline", say{kind: decline, mac: stranger, server: ours, ias: one}, []sprout.Lease{mine}, "REPLY = Success", "finds in use by somebody else fd00:20::102", "declined"},
		{"decline: not its own", say{kind: decline, mac: stranger, server: ours, ias: one}, nil, "REPLY NoBinding = Success", "it was not given this", ""},

		{"inform", say{kind: inform, mac: stranger}, nil, "REPLY", "asks for options", ""},
		{"inform: anonymous", say{kind: inform, mac: stranger, no: true}, nil, "REPLY", "asks for options", ""},
		{"inform: of another server", say{kind: inform, mac: stranger, server: theirs}, nil, "silence", "another server", ""},
		{"inform: with an association", say{kind: inform, mac: stranger, ias: one}, nil, "silence", "wants an address", ""},
		{"advertise", say{kind: dhcpv6.MessageTypeAdvertise, mac: stranger}, nil, "silence", "is not for a server", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := builtin6.Decide(c.say.request(t), site(t, c.leases...))
			if got := shown(t, a); got != c.want {
				t.Errorf("got %q, want %q (%s)", got, c.want, a.Reason)
			}
			if !strings.Contains(a.Reason, c.why) {
				t.Errorf("because %q, want %q", a.Reason, c.why)
			}
			if named := strings.Contains(c.why, "another server"); named != (len(a.Other) > 0) {
				t.Errorf("another server is %x (%s)", a.Other, a.Reason)
			}
			state := ""
			for _, l := range a.Leases {
				state = l.State
			}
			if state != c.saves {
				t.Errorf("saves a lease %q, want %q", state, c.saves)
			}
		})
	}
}

// TestIdentity holds the ways to know a machine to their order.
func TestIdentity(t *testing.T) {
	uuid := func(text string) dhcpv6.DUID {
		raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil {
			t.Fatal(err)
		}
		return &dhcpv6.DUIDUUID{UUID: [16]byte(raw)}
	}
	odd := &dhcpv6.DUIDEN{EnterpriseNumber: 9, EnterpriseIdentifier: []byte{7}}
	hidden := "fe80::1234:5678:9abc:def0"
	relays := []string{"fd00:20::9"}
	for _, c := range []struct {
		name string
		say  say
		mac  string
		how  string
	}{
		{"its frame, not the other port's DUID", say{mac: web01, duid: &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 2, 2, 2, 2, 2}}}, web01, "the MAC that it sent from"},
		{"its relay", say{mac: web01, duid: odd, from: hidden, relays: relays, seen: true}, web01, "the MAC that its relay saw"},
		{"its link-local address", say{mac: web01, duid: odd, relays: relays}, web01, "the MAC in its link-local address"},
		{"its DUID", say{mac: web01, from: hidden, relays: relays}, web01, "the MAC in its DUID"},
		{"its UUID", say{mac: db01, duid: uuid(dbUUID), from: hidden, relays: relays}, db01, "the UUID in its DUID"},
		{"its UUID of EDK2", say{mac: db01, duid: uuid("33221100-5544-7766-8899-aabbccddeeff"), from: hidden, relays: relays}, db01, "as EDK2 writes it"},
		{"a strange UUID", say{mac: db01, duid: uuid("99999999-5544-7766-8899-aabbccddeeff"), from: hidden, relays: relays}, "", "its DUID alone"},
		{"a strange DUID", say{mac: db01, duid: odd, from: hidden, relays: relays}, "", "its DUID alone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.say.kind = solicit
			a := builtin6.Decide(c.say.request(t), site(t))
			if a.MAC != c.mac || !strings.Contains(a.Reason, c.how) {
				t.Errorf("known as %q: %s; want %q by %s", a.MAC, a.Reason, c.mac, c.how)
			}
		})
	}
}

// TestBootFiles is the table from firmware to boot file, of RFC 5970.
func TestBootFiles(t *testing.T) {
	arch := func(a ...iana.Arch) dhcpv6.Option { return dhcpv6.OptClientArchType(a...) }
	ipxe := &dhcpv6.OptUserClass{UserClasses: [][]byte{[]byte("iPXE")}}
	http := &dhcpv6.OptVendorClass{EnterpriseNumber: 343, Data: [][]byte{[]byte("HTTPClient:Arch:00016:UNDI:003001")}}
	for _, c := range []struct {
		name    string
		mac     string
		options []dhcpv6.Option
		relay   string
		url     string
		why     string
	}{
		{"UEFI", web01, []dhcpv6.Option{arch(7)}, "", "tftp://[fd00:20::1]/snponly.efi", "x86-64 UEFI loads snponly.efi, for web-01"},
		{"UEFI as byte code", web01, []dhcpv6.Option{arch(9)}, "", "tftp://[fd00:20::1]/snponly.efi", ""},
		{"UEFI HTTP", stranger, []dhcpv6.Option{arch(16), http}, "", "http://[fd00:20::1]:8080/boot/snponly.efi", "to be discovered"},
		{"BIOS", web01, []dhcpv6.Option{arch(0)}, "", "tftp://[fd00:20::1]/undionly.kpxe", ""},
		{"the second architecture", web01, []dhcpv6.Option{arch(99, 7)}, "", "tftp://[fd00:20::1]/snponly.efi", ""},
		{"no loader", web01, []dhcpv6.Option{arch(99)}, "", "", "no loader for architecture [99]"},
		{"iPXE", web01, []dhcpv6.Option{arch(7), ipxe}, "", "http://[fd00:20::1]:8080/boot/52-54-00-00-00-01.ipxe", "fetches the boot script"},
		{"a system", web01, nil, "", "", ""},
		{"unknown where that is not allowed", stranger, []dhcpv6.Option{arch(7)}, "fd00:21::1", "", "does not allow discovery"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := say{kind: solicit, mac: c.mac, options: c.options}
			if c.relay != "" {
				s.relays = []string{c.relay}
			}
			a := builtin6.Decide(s.request(t), site(t))
			m := inner(t, a)
			if m.Options.BootFileURL() != c.url || a.BootFile != c.url || !strings.Contains(a.Reason, c.why) {
				t.Errorf("%q, %q: %s", m.Options.BootFileURL(), a.BootFile, a.Reason)
			}
			class := m.Options.VendorClass(343)
			if isHTTP := strings.Contains(c.name, "HTTP"); isHTTP != (len(class) == 1 && string(class[0]) == "HTTPClient") {
				t.Errorf("vendor class %q", class)
			}
		})
	}
}

// TestOptions holds the answer to what was asked for, and no more.
func TestOptions(t *testing.T) {
	ask := dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionSNTPServerList, dhcpv6.OptionNTPServer, dhcpv6.OptionFQDN)
	m := inner(t, builtin6.Decide(say{kind: solicit, mac: web01, options: []dhcpv6.Option{ask}}.request(t), site(t)))
	if dns := m.Options.DNS(); len(dns) != 1 || dns[0].String() != "fd00:20::1" {
		t.Errorf("DNS %v", dns)
	}
	if search := m.Options.DomainSearchList(); search == nil || search.Labels[0] != "lon1.example" {
		t.Errorf("search %v", search)
	}
	ntp, ok := m.GetOneOption(dhcpv6.OptionNTPServer).(*dhcpv6.OptNTPServer)
	if sntp := m.GetOneOption(dhcpv6.OptionSNTPServerList); sntp == nil || !ok || len(ntp.Suboptions) != 1 || !strings.Contains(sntp.String(), "fd00:20::3") {
		t.Errorf("time servers %v, %v", ntp, sntp)
	}
	if name, ok := m.GetOneOption(dhcpv6.OptionFQDN).(*dhcpv6.OptFQDN); !ok || name.DomainName.Labels[0] != "web-01.lon1.example" || name.Flags != 3 {
		t.Errorf("name %v", name)
	}
	if ia := m.Options.OneIANA(); ia.T1 != 225*time.Second || ia.T2 != 360*time.Second || ia.Options.OneAddress().ValidLifetime != 10*time.Minute {
		t.Errorf("times %v", ia)
	}
	if m.Options.Preference() != 255 || string(m.Options.ServerID().ToBytes()) != string(server) {
		t.Errorf("preference %d, server %v", m.Options.Preference(), m.Options.ServerID())
	}
	m = inner(t, builtin6.Decide(say{kind: solicit, mac: web01, options: []dhcpv6.Option{&dhcpv6.OptIAPD{}, &dhcpv6.OptIATA{}}}.request(t), site(t)))
	if m.Options.DNS() != nil || m.GetOneOption(dhcpv6.OptionNTPServer) != nil {
		t.Error("options that nobody asked for")
	}
	if pd := m.Options.OneIAPD(); pd == nil || pd.Options.Status().StatusCode != iana.StatusNoPrefixAvail {
		t.Errorf("prefix %v", pd)
	}
	if ta := m.Options.OneIATA(); ta == nil || ta.Options.Status().StatusCode != iana.StatusNoAddrsAvail {
		t.Errorf("temporary %v", ta)
	}
	m = inner(t, builtin6.Decide(say{kind: inform, mac: stranger, relays: []string{"fd00:21::1"}, options: []dhcpv6.Option{ask}}.request(t), site(t)))
	if dns := m.Options.DNS(); len(dns) != 1 || dns[0].String() != "2001:db8::9" {
		t.Errorf("DNS of the subnet %v", dns)
	}
}

// TestRelays holds the answer to the way back: each relay's message with its
// interface, to the relay that sent, from the address that it sent to.
func TestRelays(t *testing.T) {
	s := say{kind: solicit, mac: stranger, relays: []string{"::", "fd00:21::1", "fd00:77::1"}, seen: true}
	a := builtin6.Decide(s.request(t), site(t))
	if a.To != netip.MustParseAddrPort("[fd00:99::2]:547") || a.From != ip("fd00:20::1") {
		t.Errorf("to %s from %s", a.To, a.From)
	}
	if !a.IP.IsValid() || !netip.MustParsePrefix("fd00:21::/64").Contains(a.IP) {
		t.Errorf("%s: the link is what the nearest relay says that says any", a.IP)
	}
	var d dhcpv6.DHCPv6 = a.Reply
	for i := 2; i >= 0; i-- {
		relay, ok := d.(*dhcpv6.RelayMessage)
		if !ok || relay.MessageType != dhcpv6.MessageTypeRelayReply || string(relay.Options.InterfaceID()) != string([]byte{'p', byte(i)}) ||
			!relay.LinkAddr.Equal(net.ParseIP(s.relays[i])) || relay.HopCount != uint8(i) {
			t.Fatalf("relay %d: %v", i, d)
		}
		d = relay.Options.RelayMessage()
	}
	if d.Type() != dhcpv6.MessageTypeAdvertise {
		t.Errorf("inside is %v", d)
	}
}

// TestTooManyRelays holds the parser to the hop limit.
func TestTooManyRelays(t *testing.T) {
	var d dhcpv6.DHCPv6 = &dhcpv6.Message{MessageType: solicit}
	for range 9 {
		relay := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward, LinkAddr: net.IPv6zero, PeerAddr: net.IPv6zero}
		relay.AddOption(dhcpv6.OptRelayMessage(d))
		d = relay
	}
	if _, err := builtin6.Parse(d.ToBytes(), netip.AddrPort{}, netip.Addr{}); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("nine relays: %v", err)
	}
}

// TestWideRange finds addresses where there are more than a number can count.
func TestWideRange(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for i := range 200 {
		s := say{kind: solicit, mac: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}.String(), relays: []string{"fd00:21::1"}}
		a := builtin6.Decide(s.request(t), site(t))
		if !a.IP.IsValid() || a.IP.Less(ip("fd00:21::1:0")) || !netip.MustParsePrefix("fd00:21::/64").Contains(a.IP) || seen[a.IP] {
			t.Fatalf("%s: %s", a.IP, a.Reason)
		}
		seen[a.IP] = true
	}
}
