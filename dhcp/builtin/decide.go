package builtin

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// An Answer is what to do about a request, and why.
type Answer struct {
	// Reply is the packet to send; nil: silence.
	Reply *dhcpv4.DHCPv4
	// To is where to send it.
	To Delivery
	// Hold is an address to be claimed for Holder before anything else is done.
	// If another has it by then, decide again.
	Hold netip.Addr
	// Holder is the client's key, or its MAC where the address is reserved for
	// that: the programs of one machine share it, whatever they call themselves.
	Holder string
	// Forget is an address that the client gives up.
	Forget netip.Addr
	// Subnet is that of Hold or Forget.
	Subnet sprout.SubnetID
	// Key is what the client's leases are found by.
	Key string
	// Lease is to be saved before Reply is sent.
	Lease *sprout.Lease
	// What is the name of the boot event that this is; empty: none, as for a
	// renewal.
	What string
	// Other is the server whose offer the client takes instead of ours.
	Other netip.Addr
	// Settings are the options of the reply that operators set.
	Settings Settings
	// Reason says why, in words.
	Reason string
}

// declineHold is how long an address that a client found in use is left alone.
const declineHold = time.Hour

// Decide says what to answer to r, and why. It is pure: it reads the site and
// changes nothing.
func Decide(r Request, s Site) Answer {
	d := &decision{r: r, s: &s, mac: r.MAC()}
	d.key, d.clientID = r.key()
	d.client = field(r.Packet.ClientIPAddr)
	d.requested = r.address(dhcpv4.OptionRequestedIPAddress)
	d.server = r.address(dhcpv4.OptionServerIdentifier)
	link := s.link(r.vss(), d.place())
	d.link = sprout.WithDHCP(link)
	switch {
	case d.key == "":
		return d.silence("it has neither an Ethernet address nor a client identifier")
	case link == nil:
		return d.silence("no subnet of the site contains %s", d.place())
	case link[0].DHCP == sprout.DHCPOff:
		return d.off(link[0])
	case d.link[0].DHCP == sprout.DHCPProxy:
		return d.proxied()
	case r.Boot:
		return d.silence("%s has no other DHCP server: what to boot is said with the address", d.link[0].CIDR)
	}
	switch r.Packet.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return d.discover()
	case dhcpv4.MessageTypeRequest:
		return d.request()
	case dhcpv4.MessageTypeDecline:
		return d.decline()
	case dhcpv4.MessageTypeRelease:
		return d.release()
	case dhcpv4.MessageTypeInform:
		return d.inform()
	default:
		return d.silence("a %s is not for a server of DHCP", r.Packet.MessageType())
	}
}

// A decision is one call of Decide: the request, taken apart.
type decision struct {
	r             Request
	s             *Site
	mac           string // empty: not Ethernet
	key, clientID string
	client        netip.Addr // ciaddr
	requested     netip.Addr // option 50
	server        netip.Addr // option 54
	link          []sprout.Subnet
}

// off answers nothing where the operator wants no DHCP of the agent's, and has it
// seen who asked.
func (d *decision) off(sub sprout.Subnet) Answer {
	a := d.silence("Sprout's DHCP is off in %s", sub.CIDR)
	if d.r.Packet.MessageType() == dhcpv4.MessageTypeDiscover {
		a.What = sprout.SawDHCPOff
	}
	return a
}

// place is an address of the link that the client is on: what the relay
// selects (RFC 3527), the relay's own (RFC 2131 section 4.3.1), the client's
// where it speaks for itself from beyond a router, else the agent's.
func (d *decision) place() netip.Addr {
	if raw, ok := d.r.relay(linkSelection); ok && addressOf(raw).IsValid() {
		return addressOf(raw)
	}
	if relay := field(d.r.Packet.GatewayIPAddr); relay.IsValid() {
		return relay
	}
	if d.client.IsValid() && d.client == d.r.From.Addr().Unmap() && d.r.To != limitedBroadcast {
		return d.client
	}
	return d.s.Address
}

// identifier is the server identifier for this client: the agent's address,
// or what its relay wants to be taken for the server (RFC 5107).
func (d *decision) identifier() netip.Addr {
	if raw, ok := d.r.relay(serverIDOverride); ok && addressOf(raw).IsValid() {
		return addressOf(raw)
	}
	return d.s.Address
}

// foreign tells whether the packet names another server.
func (d *decision) foreign() bool {
	return d.server.IsValid() && d.server != d.identifier() && d.server != d.s.Address
}

func (d *decision) discover() Answer {
	c := d.choose()
	if !c.ip.IsValid() {
		a := d.silence("%s", c.reason)
		a.What = sprout.SawFull
		return a
	}
	a := d.give(dhcpv4.MessageTypeOffer, c)
	a.What = sprout.SawOffer
	a.Hold, a.Holder, a.Subnet = c.ip, d.holder(c), c.subnet.ID
	return a
}

// holder is whom an address is kept for.
func (d *decision) holder(c choice) string {
	if c.reserved {
		return d.mac
	}
	return d.key
}

// decline leaves the address alone for an hour (RFC 2131 section 4.3.3).
func (d *decision) decline() Answer {
	sub := within(d.link, d.requested)
	switch {
	case d.foreign():
		return d.silence("it declines another server's offer")
	case sub == nil:
		return d.silence("it declines %s, which is not on its network", show(d.requested))
	case !d.holds(sub, d.requested):
		return d.silence("it declines %s, which it was not given", d.requested)
	}
	a := d.silence("%s is in use by somebody else: left alone for %s", d.requested, declineHold)
	a.What, a.Forget, a.Subnet = sprout.SawDecline, d.requested, sub.ID
	a.Lease = d.lease(sub, d.requested, stateDeclined, declineHold)
	return a
}

// release ends a lease at once (RFC 2131 section 4.3.4).
func (d *decision) release() Answer {
	sub := within(d.link, d.client)
	var l sprout.Lease
	if sub != nil {
		l, _ = d.s.Ledger.LeaseAt(sub.ID, d.client)
	}
	switch {
	case d.foreign():
		return d.silence("it releases another server's lease")
	case l.State == "" || keyOf(l) != d.key || l.State != stateBound:
		return d.silence("it releases %s, which it does not hold", show(d.client))
	}
	a := d.silence("%s is given back", d.client)
	a.Forget, a.Subnet = d.client, sub.ID
	a.Lease = d.lease(sub, d.client, stateReleased, 0)
	return a
}

// inform answers a client that has its address from elsewhere: options, but
// neither an address nor a lease (RFC 2131 section 4.3.5).
func (d *decision) inform() Answer {
	sub := within(d.link, d.client)
	if sub == nil {
		return d.silence("it asks for options at %s, which is not on its network", show(d.client))
	}
	return d.give(dhcpv4.MessageTypeInform, choice{subnet: sub, hostname: d.hostname(""), reason: "it has an address and asks for options"})
}

// holds tells whether the client was offered or given ip.
func (d *decision) holds(sub *sprout.Subnet, ip netip.Addr) bool {
	if holder, ok := d.s.Offers.Holder(sub.ID, ip, d.s.Now); ok {
		return holder == d.key || holder == d.mac
	}
	l, ok := d.s.Ledger.LeaseAt(sub.ID, ip)
	return ok && keyOf(l) == d.key && l.State == stateBound
}

// lease is the record of ip being in the state for the client.
func (d *decision) lease(sub *sprout.Subnet, ip netip.Addr, state string, lasts time.Duration) *sprout.Lease {
	return &sprout.Lease{
		Site: sub.Site, Subnet: sub.ID, IP: ip, MAC: d.mac, ClientID: d.clientID,
		Hostname: d.hostname(""), State: state, ExpiresAt: d.s.Now.Add(lasts),
	}
}

func (d *decision) silence(format string, args ...any) Answer {
	return Answer{Key: d.key, Reason: "no answer: " + fmt.Sprintf(format, args...)}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// show writes an address that may be missing.
func show(ip netip.Addr) string {
	if !ip.IsValid() {
		return "no address"
	}
	return ip.String()
}
