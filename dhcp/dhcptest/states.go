package dhcptest

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp"
)

func (w *Wire) renewed(t *testing.T) {
	mac := w.mac()
	first := w.acquire(t, mac, "10.0.0.2")
	renew := []dhcpv4.Modifier{dhcpv4.WithClientIP(first.YourIPAddr)}
	again := w.ask(t, mac, "10.0.0.2", dhcpv4.MessageTypeRequest, renew...)
	if again == nil || again.MessageType() != dhcpv4.MessageTypeAck || !again.YourIPAddr.Equal(first.YourIPAddr) {
		t.Errorf("renewing %s it got %v", first.YourIPAddr, again)
	}
	// INIT-REBOOT on another network: RFC 2131 section 4.3.2.
	wrong := w.ask(t, mac, "10.0.0.2", dhcpv4.MessageTypeRequest, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 168, 7, 7))))
	if wrong == nil || wrong.MessageType() != dhcpv4.MessageTypeNak {
		t.Errorf("an address of another network was not refused: %v", wrong)
	}
	theft := w.ask(t, w.mac(), "10.0.0.2", dhcpv4.MessageTypeRequest, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(first.YourIPAddr)))
	if theft != nil && theft.MessageType() == dhcpv4.MessageTypeAck && theft.YourIPAddr.Equal(first.YourIPAddr) {
		t.Errorf("another client was given %s", first.YourIPAddr)
	}
}

func (w *Wire) released(t *testing.T) {
	mac := w.mac()
	ack := w.acquire(t, mac, "10.0.0.2")
	w.AwaitLease(t, mac, "bound")
	w.send(t, mac, "10.0.0.2", dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(ack.YourIPAddr), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(w.Address.AsSlice())))
	if l := w.AwaitLease(t, mac, "released"); l.IP != addr(ack.YourIPAddr) {
		t.Errorf("%s was released, %s was leased", l.IP, ack.YourIPAddr)
	}
}

func (w *Wire) declined(t *testing.T) {
	mac := w.mac()
	ack := w.acquire(t, mac, "10.0.0.2")
	w.AwaitLease(t, mac, "bound")
	w.send(t, mac, "10.0.0.2", dhcpv4.MessageTypeDecline, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ack.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(w.Address.AsSlice())))
	if l := w.AwaitLease(t, mac, "declined"); l.IP != addr(ack.YourIPAddr) || time.Until(l.ExpiresAt) < 50*time.Minute {
		t.Errorf("declined %s, the lease is %+v", ack.YourIPAddr, l)
	}
	if again := w.acquire(t, mac, "10.0.0.2"); again.YourIPAddr.Equal(ack.YourIPAddr) {
		t.Errorf("%s is given again after it was declined", ack.YourIPAddr)
	}
}

func (w *Wire) inform(t *testing.T) {
	relay := w.relays["10.0.0.2"]
	w.relays["10.0.0.2"] = w.client // it speaks for itself: RFC 2131 section 4.3.5
	defer func() { w.relays["10.0.0.2"] = relay }()
	ack := w.ask(t, w.mac(), "10.0.0.2", dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(net.IPv4(10, 0, 0, 2)), dhcpv4.WithGatewayIP(net.IPv4zero))
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.IsUnspecified() || ack.IPAddressLeaseTime(0) != 0 || join(ack.Router()) != "10.0.0.254" {
		t.Errorf("INFORM is answered by %v", ack)
	}
}

// programs: firmware names itself by its UUID, the system by a DUID.
func (w *Wire) programs(t *testing.T) {
	mac := w.mac()
	firmware := w.acquire(t, mac, "10.0.0.2", pxe(0, "PXEClient"), dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, append([]byte{0}, make([]byte, 16)...)))
	ipxe := w.acquire(t, mac, "10.0.0.2", dhcpv4.WithUserClass("iPXE", false))
	if !firmware.YourIPAddr.Equal(ipxe.YourIPAddr) {
		t.Errorf("its firmware has %s and its iPXE %s", firmware.YourIPAddr, ipxe.YourIPAddr)
	}
	// The reserved address is the machine's, whoever of it asks.
	w.acquire(t, web01, "10.0.0.2", pxe(7, "PXEClient"), dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, append([]byte{0}, make([]byte, 16)...)))
	if system := w.acquire(t, web01, "10.0.0.2", dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, []byte("\xff\x01\x02\x03\x04"))); system.YourIPAddr.String() != "10.0.0.5" {
		t.Errorf("the system of a machine with a reservation got %s", system.YourIPAddr)
	}
}

// full: of 10.9.0.1 to .4 the first is the gateway's; two are leased already.
func (w *Wire) full(t *testing.T) {
	var given []string
	for range 4 {
		mac := w.mac()
		offer := w.try(t, mac, "10.9.0.1", dhcpv4.MessageTypeDiscover, time.Second)
		if offer == nil {
			break
		}
		given = append(given, w.acquire(t, mac, "10.9.0.1").YourIPAddr.String())
	}
	slices.Sort(given)
	if len(given) != 1 || given[0] == "10.9.0.1" {
		t.Errorf("of the one address that was free there were given %v", given)
	}
	for _, l := range w.Ledger.Leases() {
		if l.IP.String() == "10.9.0.1" {
			t.Error("the gateway's address was leased")
		}
	}
}

// changes: a machine that is made known, and one that is no longer.
func (w *Wire) changes(t *testing.T) {
	const mac, ip = "52:54:00:00:0c:01", "10.0.0.77"
	before := w.Ledger.told()
	w.Ledger.Change(func(s *Seed) {
		s.Reservations = append(slices.Clone(s.Reservations), sprout.Reservation{MAC: mac, IP: netip.MustParseAddr(ip), Subnet: "sub_a", Machine: "mch_9", Hostname: "new-01"})
		s.Machines = append(slices.Clone(s.Machines), sprout.SiteMachine{ID: "mch_9", Name: "new-01", MACs: []string{mac}})
	})
	w.Until(t, "the new reservation is offered", func() bool {
		offer := w.try(t, mac, "10.0.0.2", dhcpv4.MessageTypeDiscover, time.Second)
		return offer != nil && offer.YourIPAddr.String() == ip
	})
	w.Ledger.Change(func(s *Seed) { *s = before })
	w.Until(t, "the reservation that is gone is not offered", func() bool {
		offer := w.try(t, mac, "10.0.0.2", dhcpv4.MessageTypeDiscover, time.Second)
		return offer != nil && offer.YourIPAddr.String() != ip
	})
}

// off: a subnet's DHCP ends while the provider serves, for who has an address of it
// too; others are served on. Once it is on again its leases are as they were.
func (w *Wire) off(t *testing.T, p dhcp.Provider) {
	mac, relay := w.mac(), "10.8.0.1"
	had := w.acquire(t, mac, relay)
	w.AwaitLease(t, mac, "bound")
	before := w.Ledger.told()
	w.Ledger.Change(func(s *Seed) {
		s.Subnets = slices.Clone(s.Subnets)
		at := slices.IndexFunc(s.Subnets, func(sub sprout.Subnet) bool { return sub.ID == "sub_d" })
		s.Subnets[at].DHCP = sprout.DHCPOff
	})
	w.Until(t, "nobody is offered an address", func() bool {
		return w.try(t, mac, relay, dhcpv4.MessageTypeDiscover, time.Second) == nil
	})
	if got := w.try(t, mac, relay, dhcpv4.MessageTypeRequest, time.Second, dhcpv4.WithClientIP(had.YourIPAddr)); got != nil {
		t.Errorf("who keeps a lease is answered by a %s where DHCP is off", got.MessageType())
	}
	if e, err := p.Explain(dhcp.Question{MAC: mac, Subnet: "sub_d"}); err != nil || e.IP.IsValid() || !strings.Contains(e.Reason, "DHCP is off in 10.8.0.0/24") {
		t.Errorf("explained is %+v, %v", e, err)
	}
	w.acquire(t, w.mac(), "10.0.0.2")
	w.Ledger.Change(func(s *Seed) { // the provider's own link
		s.Subnets = slices.Clone(before.Subnets)
		for i := range s.Subnets {
			if s.Subnets[i].Network == "net_1" {
				s.Subnets[i].DHCP = sprout.DHCPOff
			}
		}
	})
	w.Until(t, "on its own link nobody is offered an address", func() bool {
		return w.try(t, web01, "10.0.0.2", dhcpv4.MessageTypeDiscover, time.Second) == nil
	})
	own := w.relays["10.0.0.2"]
	w.relays["10.0.0.2"] = w.client // who speaks for itself
	if got := w.try(t, web01, "10.0.0.2", dhcpv4.MessageTypeRequest, time.Second, dhcpv4.WithClientIP(net.IPv4(10, 0, 0, 2)), dhcpv4.WithGatewayIP(net.IPv4zero)); got != nil {
		t.Errorf("a lease of its own link is answered by a %s where DHCP is off", got.MessageType())
	}
	w.relays["10.0.0.2"] = own
	w.acquire(t, w.mac(), relay)
	w.Ledger.Change(func(s *Seed) { *s = before })
	w.Until(t, "it is offered its address again", func() bool {
		offer := w.try(t, mac, relay, dhcpv4.MessageTypeDiscover, time.Second)
		return offer != nil && offer.YourIPAddr.Equal(had.YourIPAddr)
	})
}

func explains(t *testing.T, p dhcp.Provider) {
	for _, c := range []struct {
		q        dhcp.Question
		ip, file string
	}{
		{dhcp.Question{MAC: web01, Firmware: dhcp.BIOS}, "10.0.0.5", "undionly.kpxe"},
		{dhcp.Question{MAC: web01, Firmware: dhcp.UEFIHTTP}, "10.0.0.5", "http://10.0.0.1/boot/snponly.efi"},
		{dhcp.Question{MAC: web01, Firmware: dhcp.IPXE}, "10.0.0.5", "http://10.0.0.1/boot/52-54-00-00-00-01.ipxe"},
		{dhcp.Question{MAC: web01}, "10.0.0.5", ""},
		{dhcp.Question{MAC: key02, Firmware: dhcp.UEFI}, "10.0.0.6", "shimx64.efi"},
		{dhcp.Question{MAC: key02, Firmware: dhcp.UEFIHTTP}, "10.0.0.6", ""},
	} {
		e, err := p.Explain(c.q)
		if err != nil || e.IP.String() != c.ip || e.BootFile != c.file || e.Reason == "" || e.Subnet.String() != "10.0.0.0/24" {
			t.Errorf("Explain(%+v) = %+v, %v", c.q, e, err)
		}
		router := slices.IndexFunc(e.Options, func(o sprout.DHCPOption) bool { return o.Code == 3 })
		if router < 0 || e.Options[router] != (sprout.DHCPOption{Code: 3, Name: "routers", Value: "10.0.0.254", From: "subnet"}) {
			t.Errorf("Explain(%+v) has the options %+v", c.q, e.Options)
		}
	}
	if e, err := p.Explain(dhcp.Question{MAC: "52:54:00:00:0d:01", Subnet: "sub_b", Firmware: dhcp.BIOS}); err != nil || e.BootFile != "" {
		t.Errorf("a stranger where none may boot: %+v, %v", e, err)
	}
	for _, q := range []dhcp.Question{{MAC: "nonsense"}, {MAC: web01, Firmware: "toaster"}} {
		if _, err := p.Explain(q); sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("Explain(%+v): %v", q, err)
		}
	}
	if _, err := p.Explain(dhcp.Question{MAC: web01, Subnet: "sub_none"}); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("an unknown subnet: %v", err)
	}
}
