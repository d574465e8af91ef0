package builtin_test

import (
	"bytes"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// vrfSeed is the seed with its first prefix once more, in the VRF blue.
func vrfSeed() dhcptest.Seed {
	s := seed()
	s.Subnets = append(s.Subnets, sprout.Subnet{
		ID: "sub_blue", Site: "sit_1", Network: "net_3", VRF: "blue", CIDR: s.Subnets[0].CIDR,
		Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: ip("10.0.0.200"), Last: ip("10.0.0.203")}},
	})
	// One port has an address in each of three subnets, two of which are the same prefix.
	s.Reservations = append(s.Reservations, sprout.Reservation{MAC: db01, IP: ip("10.0.0.6"), Subnet: "sub_a", More: []sprout.Reservation{
		{MAC: db01, IP: ip("10.9.0.6"), Subnet: "sub_b"}, {MAC: db01, IP: ip("10.0.0.206"), Subnet: "sub_blue"}, {MAC: db01, IP: ip("fd00::6"), Subnet: "sub_6"}}})
	return s
}

// TestMatrix is what a server does by the client's state and the way that its
// message came: what it answers, to where, and whether by a frame to the client's
// hardware address. The section is of RFC 2131 where no other is named.
func TestMatrix(t *testing.T) {
	const (
		inform  = dhcpv4.MessageTypeInform
		decline = dhcpv4.MessageTypeDecline
		release = dhcpv4.MessageTypeRelease
	)
	mine := bound("10.0.0.101", stranger)
	theirs := bound("10.0.0.101", other)
	named := mine
	named.ClientID = "ff01020304"
	id := dhcpv4.Options{61: {0xff, 1, 2, 3, 4}}
	long := append(bytes.Repeat([]byte{7}, 259), 1)
	wordy := mine
	wordy.ClientID = hex.EncodeToString(long)
	blue := dhcpv4.Options{82: append([]byte{151, 5, 0}, "blue"...)}
	inBlue := leaseOf("10.0.0.201", stranger, "bound", time.Minute)
	inBlue.Subnet = "sub_blue"
	for _, c := range []struct {
		rfc, state, situation string
		leases                []sprout.Lease
		say                   say
		want, to              string
		frame                 bool
	}{
		{"4.1", "INIT", "on the link", nil, say{kind: discover, mac: stranger, asks: "10.0.0.101"}, "OFFER 10.0.0.101", "10.0.0.101:68", true},
		{"4.1", "INIT", "on the link, and wants a broadcast", nil, say{kind: discover, mac: stranger, asks: "10.0.0.101", broadcast: true}, "OFFER 10.0.0.101", "255.255.255.255:68", false},
		{"4.1", "INIT", "by a relay, and wants a broadcast: that is the relay's to do", nil, say{kind: discover, mac: stranger, giaddr: "10.9.0.1", asks: "10.9.0.101", broadcast: true}, "OFFER 10.9.0.101", "10.9.0.1:67", false},
		{"4.3.1", "INIT", "by a relay of a shared network's other subnet", nil, say{kind: discover, mac: stranger, giaddr: "10.0.7.1", asks: "10.0.0.101"}, "OFFER 10.0.0.101", "10.0.7.1:67", false},
		{"4.3.1", "INIT", "by a relay of nowhere", nil, say{kind: discover, mac: stranger, giaddr: "172.16.0.1"}, "", "", false},
		{"4.3.1", "INIT", "had an address", []sprout.Lease{leaseOf("10.0.0.102", stranger, "bound", -time.Hour)}, say{kind: discover, mac: stranger, asks: "10.0.0.101"}, "OFFER 10.0.0.102", "10.0.0.102:68", true},

		{"4.3.2", "SELECTING", "takes our offer", nil, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.101"}, "ACK 10.0.0.101", "10.0.0.101:68", true},
		{"4.3.2", "SELECTING", "takes our offer by a relay", nil, say{kind: request, mac: stranger, giaddr: "10.9.0.1", srv: "10.0.0.1", asks: "10.9.0.101"}, "ACK 10.9.0.101", "10.9.0.1:67", false},
		{"4.3.2", "SELECTING", "takes another server's", nil, say{kind: request, mac: stranger, srv: "10.0.0.9", asks: "10.0.0.101"}, "", "", false},
		{"4.3.2", "SELECTING", "what is another's by now", []sprout.Lease{theirs}, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.101"}, "NAK", "255.255.255.255:68", false},
		{"4.3.2", "SELECTING", "what is another's, by a relay", []sprout.Lease{{Subnet: "sub_b", IP: ip("10.9.0.101"), MAC: other, State: "bound", ExpiresAt: now.Add(time.Hour)}}, say{kind: request, mac: stranger, giaddr: "10.9.0.1", srv: "10.0.0.1", asks: "10.9.0.101"}, "NAK", "10.9.0.1:67", false},

		{"4.3.2", "INIT-REBOOT", "its address", []sprout.Lease{mine}, say{kind: request, mac: stranger, asks: "10.0.0.101"}, "ACK 10.0.0.101", "10.0.0.101:68", true},
		{"4.3.2", "INIT-REBOOT", "wants a broadcast", []sprout.Lease{mine}, say{kind: request, mac: stranger, asks: "10.0.0.101", broadcast: true}, "ACK 10.0.0.101", "255.255.255.255:68", false},
		{"4.3.2", "INIT-REBOOT", "moved to another network", []sprout.Lease{mine}, say{kind: request, mac: stranger, giaddr: "10.9.0.1", asks: "10.0.0.101"}, "NAK", "10.9.0.1:67", false},
		{"4.3.2", "INIT-REBOOT", "of which there is no record", nil, say{kind: request, mac: stranger, asks: "10.0.0.101"}, "", "", false},
		{"4.3.2", "INIT-REBOOT", "another's address", []sprout.Lease{theirs}, say{kind: request, mac: stranger, asks: "10.0.0.101"}, "NAK", "255.255.255.255:68", false},

		{"4.3.2", "RENEWING", "by unicast", []sprout.Lease{mine}, say{kind: request, mac: stranger, ciaddr: "10.0.0.101", to: "10.0.0.1"}, "ACK 10.0.0.101", "10.0.0.101:68", false},
		{"4.3.2", "RENEWING", "from beyond a router", []sprout.Lease{{Subnet: "sub_b", IP: ip("10.9.0.101"), MAC: stranger, State: "bound", ExpiresAt: now.Add(time.Hour)}}, say{kind: request, mac: stranger, ciaddr: "10.9.0.101", to: "10.0.0.1"}, "ACK 10.9.0.101", "10.9.0.101:68", false},
		{"4.3.2", "RENEWING", "another's address", []sprout.Lease{theirs}, say{kind: request, mac: stranger, ciaddr: "10.0.0.101", to: "10.0.0.1"}, "NAK", "255.255.255.255:68", false},
		{"4.3.2", "REBINDING", "by broadcast", []sprout.Lease{mine}, say{kind: request, mac: stranger, ciaddr: "10.0.0.101"}, "ACK 10.0.0.101", "10.0.0.101:68", false},
		{"4.3.2", "REBINDING", "by a relay", []sprout.Lease{{Subnet: "sub_b", IP: ip("10.9.0.101"), MAC: stranger, State: "bound", ExpiresAt: now.Add(time.Hour)}}, say{kind: request, mac: stranger, ciaddr: "10.9.0.101", giaddr: "10.9.0.1"}, "ACK 10.9.0.101", "10.9.0.1:67", false},
		{"4.3.2", "REBINDING", "on another network", []sprout.Lease{mine}, say{kind: request, mac: stranger, ciaddr: "10.0.0.101", giaddr: "10.9.0.1"}, "NAK", "10.9.0.1:67", false},

		{"4.3.5", "INFORM", "by unicast", nil, say{kind: inform, mac: stranger, ciaddr: "10.0.0.50", to: "10.0.0.1"}, "ACK 0.0.0.0", "10.0.0.50:68", false},
		{"4.3.5", "INFORM", "by broadcast, which the flag asks for", nil, say{kind: inform, mac: stranger, ciaddr: "10.0.0.50", broadcast: true}, "ACK 0.0.0.0", "10.0.0.50:68", false},
		{"4.3.5", "INFORM", "by a relay: the answer is the client's", nil, say{kind: inform, mac: stranger, ciaddr: "10.9.0.50", giaddr: "10.9.0.1"}, "ACK 0.0.0.0", "10.9.0.50:68", false},
		{"4.4.3", "INFORM", "without an address", nil, say{kind: inform, mac: stranger}, "", "", false},

		{"4.3.3", "DECLINE", "what it was given", []sprout.Lease{mine}, say{kind: decline, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.101"}, "", "", false},
		{"4.3.3", "DECLINE", "what another has", []sprout.Lease{theirs}, say{kind: decline, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.101"}, "", "", false},
		{"4.3.4", "RELEASE", "its address", []sprout.Lease{mine}, say{kind: release, mac: stranger, srv: "10.0.0.1", ciaddr: "10.0.0.101", to: "10.0.0.1"}, "", "", false},
		{"4.3.4", "RELEASE", "another's address", []sprout.Lease{theirs}, say{kind: release, mac: stranger, srv: "10.0.0.1", ciaddr: "10.0.0.101", to: "10.0.0.1"}, "", "", false},

		{"RFC 3046 2.2", "INIT", "what the relay said comes back", nil, say{kind: discover, mac: stranger, giaddr: "10.9.0.1", asks: "10.9.0.101", options: dhcpv4.Options{82: {1, 3, 'p', '0', '7', 2, 1, 9}}}, "OFFER 10.9.0.101", "10.9.0.1:67", false},
		{"RFC 3527 3", "INIT", "the relay selects another link than its own", nil, say{kind: discover, mac: stranger, giaddr: "10.0.0.254", asks: "10.9.0.101", options: relay(5, "10.9.0.0")}, "OFFER 10.9.0.101", "10.0.0.254:67", false},
		{"RFC 5107 5", "SELECTING", "the relay is the server", nil, say{kind: request, mac: stranger, giaddr: "10.9.0.1", srv: "10.9.0.1", asks: "10.9.0.101", options: relay(11, "10.9.0.1")}, "ACK 10.9.0.101", "10.9.0.1:67", false},
		{"RFC 8357 4", "INIT", "the relay's own port", nil, say{kind: discover, mac: stranger, giaddr: "10.9.0.1", asks: "10.9.0.101", options: dhcpv4.Options{82: {19, 0}}}, "OFFER 10.9.0.101", "10.9.0.1:1067", false},

		{"RFC 4361 6.1", "INIT-REBOOT", "by its identifier", []sprout.Lease{named}, say{kind: request, mac: stranger, asks: "10.0.0.101", options: id}, "ACK 10.0.0.101", "10.0.0.101:68", true},
		{"RFC 4361 6.1", "INIT-REBOOT", "by its identifier, on another interface", []sprout.Lease{named}, say{kind: request, mac: other, asks: "10.0.0.101", options: id}, "ACK 10.0.0.101", "10.0.0.101:68", true},
		{"RFC 4361 6.1", "INIT-REBOOT", "another system on the same interface", []sprout.Lease{named}, say{kind: request, mac: stranger, asks: "10.0.0.101"}, "NAK", "255.255.255.255:68", false},
		{"RFC 6842 3", "SELECTING", "the identifier comes back, also in a refusal", []sprout.Lease{theirs}, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.101", options: id}, "NAK", "255.255.255.255:68", false},

		{"RFC 3396 5", "INIT-REBOOT", "by an identifier that is longer than an option, in parts", []sprout.Lease{wordy}, say{kind: request, mac: stranger, asks: "10.0.0.101", options: dhcpv4.Options{61: long, 55: {1}}}, "ACK 10.0.0.101", "10.0.0.101:68", true},
		{"RFC 3396 5", "INIT-REBOOT", "by one that is the same but for its last byte", []sprout.Lease{wordy}, say{kind: request, mac: stranger, asks: "10.0.0.101", options: dhcpv4.Options{61: append(long[:259:259], 2), 55: {1}}}, "NAK", "255.255.255.255:68", false},
		{"RFC 4578 2", "SELECTING", "firmware that names itself by its UUID has the lease of its MAC", []sprout.Lease{mine}, say{kind: request, mac: stranger, srv: "10.0.0.1", asks: "10.0.0.101", options: dhcpv4.Options{60: []byte("PXEClient:Arch:00007:UNDI:003000"), 93: {0, 7}, 94: {1, 3, 0}, 61: append([]byte{0}, make([]byte, 16)...)}}, "ACK 10.0.0.101", "10.0.0.101:68", true},

		{"RFC 6607 3", "INIT", "the relay names a VRF", nil, say{kind: discover, mac: stranger, giaddr: "10.0.0.254", asks: "10.0.0.201", options: blue}, "OFFER 10.0.0.201", "10.0.0.254:67", false},
		{"4.3.1", "INIT", "has a reservation in each of several subnets", nil, say{kind: discover, mac: db01, giaddr: "10.9.0.1"}, "OFFER 10.9.0.6", "10.9.0.1:67", false},
		{"RFC 6607 3", "INIT", "has a reservation in each of two VRFs: the agent's", nil, say{kind: discover, mac: db01}, "OFFER 10.0.0.6", "10.0.0.6:68", true},
		{"RFC 6607 3", "INIT", "has a reservation in each of two VRFs: the one that the relay names", nil, say{kind: discover, mac: db01, giaddr: "10.0.0.254", options: blue}, "OFFER 10.0.0.206", "10.0.0.254:67", false},
		{"RFC 6607 3", "INIT", "the same relay names none: the agent's", nil, say{kind: discover, mac: stranger, giaddr: "10.0.0.254", asks: "10.0.0.101"}, "OFFER 10.0.0.101", "10.0.0.254:67", false},
		{"RFC 6607 3", "INIT", "the global VRF is the agent's", nil, say{kind: discover, mac: stranger, giaddr: "10.0.0.254", asks: "10.0.0.101", options: dhcpv4.Options{82: {151, 1, 255}}}, "OFFER 10.0.0.101", "10.0.0.254:67", false},
		{"RFC 6607 3", "INIT", "a VRF that nobody knows", nil, say{kind: discover, mac: stranger, giaddr: "10.0.0.254", options: dhcpv4.Options{82: append([]byte{151, 4, 0}, "red"...)}}, "", "", false},
		{"RFC 6607 3", "REBINDING", "in its VRF", []sprout.Lease{inBlue}, say{kind: request, mac: stranger, ciaddr: "10.0.0.201", giaddr: "10.0.0.254", options: blue}, "ACK 10.0.0.201", "10.0.0.254:67", false},
		{"RFC 6607 3", "REBINDING", "the same address in another VRF is not its", []sprout.Lease{inBlue}, say{kind: request, mac: other, ciaddr: "10.0.0.201", giaddr: "10.0.0.254", options: blue}, "NAK", "10.0.0.254:67", false},
	} {
		t.Run(c.rfc+" "+c.state+" "+c.situation, func(t *testing.T) {
			s := site(t)
			ledger := dhcptest.NewMemory(vrfSeed())
			if err := ledger.SaveLeases(t.Context(), c.leases...); err != nil {
				t.Fatal(err)
			}
			s.Ledger = ledger
			r := c.say.request(t)
			a := builtin.Decide(r, s)
			if got := outcome(a); got != c.want {
				t.Fatalf("got %q, want %q: %s", got, c.want, a.Reason)
			}
			sound(t, a)
			if a.Reply == nil {
				return
			}
			if to := a.To.To.String(); to != c.to || (a.To.Hardware != nil) != c.frame {
				t.Errorf("to %s (frame: %v), want %s (%v)", to, a.To.Hardware != nil, c.to, c.frame)
			}
			header(t, r.Packet, a.Reply)
		})
	}
}

// header checks what RFC 2131 table 3 says of the fields and options of answers.
func header(t *testing.T, q, p *dhcpv4.DHCPv4) {
	t.Helper()
	nak := p.MessageType() == dhcpv4.MessageTypeNak
	if p.TransactionID != q.TransactionID || p.HopCount != 0 || p.NumSeconds != 0 || !bytes.Equal(p.ClientHWAddr, q.ClientHWAddr) || !p.GatewayIPAddr.Equal(q.GatewayIPAddr) {
		t.Errorf("the header does not follow the question's: %s", p.Summary())
	}
	if want := map[bool]net.IP{true: net.IPv4zero, false: q.ClientIPAddr}[p.MessageType() != dhcpv4.MessageTypeAck]; !p.ClientIPAddr.Equal(want) {
		t.Errorf("ciaddr is %s, want %s", p.ClientIPAddr, want)
	}
	if relayed := !q.GatewayIPAddr.IsUnspecified(); p.IsBroadcast() != (q.IsBroadcast() || nak && relayed) {
		t.Errorf("the broadcast flag is %v", p.IsBroadcast())
	}
	for _, code := range []uint8{50, 55, 57, 93, 94} {
		if _, ok := p.Options[code]; ok {
			t.Errorf("option %d, which only clients send, is in an answer", code)
		}
	}
	if nak {
		var has []uint8
		for code := range p.Options {
			has = append(has, code)
		}
		slices.Sort(has)
		if extra := slices.DeleteFunc(has, func(c uint8) bool { return slices.Contains([]uint8{53, 54, 56, 61, 82}, c) }); len(extra) > 0 || !p.YourIPAddr.IsUnspecified() || !p.ServerIPAddr.IsUnspecified() {
			t.Errorf("a refusal has options %v, yiaddr %s and siaddr %s", extra, p.YourIPAddr, p.ServerIPAddr)
		}
	}
	for _, code := range []uint8{61, 82} {
		if !bytes.Equal(p.Options[code], q.Options[code]) {
			t.Errorf("option %d came back as %x, not %x", code, p.Options[code], q.Options[code])
		}
	}
	if p.Options[82] != nil && !strings.HasSuffix(strings.TrimRight(string(p.ToBytes()), "\x00"), string(p.Options[82])+"\xff") {
		t.Error("option 82 is not the last (RFC 3046 section 2.1)")
	}
}
