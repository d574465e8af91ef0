package builtin6

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
)

// An Answer is what to do about a request, and why.
type Answer struct {
	// Reply is the message to send, in the relays' messages that it came
	// through; nil: silence.
	Reply dhcpv6.DHCPv6
	// To is where to send it, From the address to send it from: zero where the
	// interface's own serves.
	To   netip.AddrPort
	From netip.Addr
	// Holds are addresses to be claimed before anything else is done. If
	// another client has one by then, decide again.
	Holds []Hold
	// Leases are to be saved before Reply is sent.
	Leases []sprout.Lease
	// Forget are addresses that the client gives up.
	Forget []Hold
	// MAC and Key say who the client is.
	MAC, Key string
	// IP and BootFile are the first address given and what it boots, if any.
	IP       netip.Addr
	BootFile string
	// What is the name of the boot event that this is; empty: none, as for a
	// renewal.
	What string
	// Settings are the options of the reply that operators set, by number.
	Settings map[int]sprout.SiteDHCPOption
	// Other is the DUID of another server that the client names as its own.
	Other []byte
	// Reason says why, in words.
	Reason string
}

// A Hold is an address for a client.
type Hold struct {
	Subnet sprout.SubnetID
	IP     netip.Addr
	Key    string
}

// declineHold is how long an address that a client found in use is left alone.
const declineHold = time.Hour

// Decide says what to answer to r, and why. It is pure: it reads the site and
// changes nothing.
func Decide(r Request, s Site) Answer {
	d := &decision{r: r, s: &s}
	place := r.selected()
	if !place.IsValid() {
		place = s.Address
	}
	link := s.link(r.vss(), place)
	d.link = sprout.WithDHCP(link)
	d.id = d.identify()
	if wrong := d.misplaced(); wrong != "" {
		return d.silence("%s", wrong)
	}
	switch {
	case len(link) == 0:
		return d.silence("no IPv6 subnet of the site contains %s", place)
	case link[0].DHCP == sprout.DHCPOff:
		return d.off(link[0])
	}
	return d.answer()
}

// off answers nothing where the operator wants no DHCP of the agent's, and has it
// seen who asked.
func (d *decision) off(sub sprout.Subnet) Answer {
	a := d.silence("Sprout's DHCP is off in %s", sub.CIDR)
	if d.r.Message.MessageType == dhcpv6.MessageTypeSolicit {
		a.What = sprout.SawDHCPOff
	}
	return a
}

// A decision is one call of Decide: the request, taken apart.
type decision struct {
	r    Request
	s    *Site
	id   identity
	link []sprout.Subnet
	answering
}

// answering is what becomes the Answer.
type answering struct {
	options []dhcpv6.Option
	holds   []Hold
	leases  []sprout.Lease
	forget  []Hold
	given   choice // the first
	full    bool
	reasons []string
	// settings are those of the options that operators set, by number.
	settings map[int]sprout.SiteDHCPOption
}

// A duty says what a message has to carry (RFC 8415 section 16) and who answers.
type duty struct {
	server    presence // of the server identifier
	client    presence // of the client's
	multicast bool     // to one server alone it is to be dropped
	answer    func(d *decision) Answer
}

// presence is what a message must have.
type presence int

const (
	may presence = iota
	must
	mustNot
)

// duties are the messages of clients.
func duties(kind dhcpv6.MessageType) (duty, bool) {
	d, ok := map[dhcpv6.MessageType]duty{
		dhcpv6.MessageTypeSolicit:            {mustNot, must, true, (*decision).solicit},
		dhcpv6.MessageTypeRequest:            {must, must, false, (*decision).request},
		dhcpv6.MessageTypeConfirm:            {mustNot, must, true, (*decision).confirm},
		dhcpv6.MessageTypeRenew:              {must, must, false, (*decision).renew},
		dhcpv6.MessageTypeRebind:             {mustNot, must, true, (*decision).renew},
		dhcpv6.MessageTypeRelease:            {must, must, false, (*decision).release},
		dhcpv6.MessageTypeDecline:            {must, must, false, (*decision).decline},
		dhcpv6.MessageTypeInformationRequest: {may, may, true, (*decision).inform},
	}[kind]
	return d, ok
}

// misplaced says why the message is to be dropped; empty: it is not.
func (d *decision) misplaced() string {
	m := d.r.Message
	duty, ok := duties(m.MessageType)
	server := m.Options.ServerID()
	switch {
	case !ok:
		return fmt.Sprintf("a %s is not for a server", m.MessageType)
	case duty.client == must && len(d.id.duid) == 0:
		return fmt.Sprintf("a %s without a client identifier", m.MessageType)
	case duty.server == must && server == nil:
		return fmt.Sprintf("a %s without a server identifier", m.MessageType)
	case duty.server == mustNot && server != nil:
		return fmt.Sprintf("a %s with a server identifier", m.MessageType)
	case duty.multicast && d.unicast():
		return fmt.Sprintf("a %s to one server alone", m.MessageType)
	case m.MessageType == dhcpv6.MessageTypeInformationRequest && len(m.Options.IANA())+len(m.Options.IATA())+len(m.Options.IAPD()) > 0:
		return "an INFORMATION-REQUEST that wants an address"
	}
	return ""
}

// unicast tells whether the client sent to us alone, which nobody allowed it.
// A relay may.
func (d *decision) unicast() bool {
	return len(d.r.Relays) == 0 && d.r.To.IsValid() && !d.r.To.IsMulticast()
}

// foreign tells whether the message is for another server.
func (d *decision) foreign() bool {
	server := d.r.Message.Options.ServerID()
	return server != nil && !bytes.Equal(server.ToBytes(), d.s.DUID)
}

func (d *decision) answer() Answer {
	duty, _ := duties(d.r.Message.MessageType)
	if d.foreign() {
		return d.others()
	}
	if d.unicast() { // RFC 8415 section 16, and 18.4.1
		d.options = []dhcpv6.Option{status(useMulticast, "send to all servers, ff02::1:2")}
		return d.reply(dhcpv6.MessageTypeReply, "refuses: it sent to this server alone, which it was not told to")
	}
	return duty.answer(d)
}

// others: it has business with another server. An offer that it does not take
// is free again.
func (d *decision) others() Answer {
	a := d.silence("it talks to another server")
	a.Other = d.r.Message.Options.ServerID().ToBytes()
	if d.r.Message.MessageType != dhcpv6.MessageTypeRequest {
		return a
	}
	a.What = sprout.SawOtherServer
	for _, as := range d.associations() {
		if c := as.choose(); c.ip.IsValid() {
			a.Forget = append(a.Forget, Hold{c.subnet.ID, c.ip, as.key})
		}
	}
	return a
}

// silence answers nothing.
func (d *decision) silence(format string, args ...any) Answer {
	return Answer{MAC: d.id.mac, Key: d.id.show(), Reason: "no answer: " + fmt.Sprintf(format, args...)}
}

// say adds to the reasons.
func (d *decision) say(format string, args ...any) {
	d.reasons = append(d.reasons, fmt.Sprintf(format, args...))
}

// because are the reasons, the way the client was known at the end.
func (d *decision) because() string {
	if d.id.how != "" {
		d.say("known by %s", d.id.how)
	}
	return strings.Join(d.reasons, "; ")
}

// hostname is the machine's name, where it has one.
func (d *decision) hostname() string {
	if d.id.mac == "" {
		return ""
	}
	if res, ok := d.s.Ledger.Reservation(d.id.mac); ok && res.Hostname != "" {
		return res.Hostname
	}
	m, _ := d.s.Ledger.Known(d.id.mac)
	return m.Name
}
