package builtin6

import (
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"sprout"
)

// The status codes of RFC 8415 section 21.13.
const (
	success       = iana.StatusSuccess
	noAddresses   = iana.StatusNoAddrsAvail
	noBinding     = iana.StatusNoBinding
	notOnLink     = iana.StatusNotOnLink
	useMulticast  = iana.StatusUseMulticast
	noPrefixAvail = iana.StatusNoPrefixAvail
)

func status(code iana.StatusCode, words string) dhcpv6.Option {
	return &dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: words}
}

// An association is one IA_NA of a message (RFC 8415 section 12.1): one address.
type association struct {
	*decision
	n             int // the lowest IAID has 0
	iaid          [4]byte
	key, clientID string
	wishes        []netip.Addr // that the client names
}

// mostAssociations is how many of a message are answered.
const mostAssociations = 8

// associations are those of the message, by IAID: a client that repeats itself
// in another order means the same.
func (d *decision) associations() []*association {
	var all []*association
	for _, ia := range d.r.Message.Options.IANA() {
		a := &association{decision: d, iaid: ia.IaId}
		for _, one := range ia.Options.Addresses() {
			a.wishes = append(a.wishes, address(one.IPv6Addr))
		}
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b *association) int { return slices.Compare(a.iaid[:], b.iaid[:]) })
	all = all[:min(len(all), mostAssociations)]
	for n, a := range all {
		a.n = n
		a.key, a.clientID = d.id.key(n, a.iaid)
	}
	return all
}

// give promises or, with commit, leases the address of a choice.
func (a *association) give(c choice, commit bool) {
	a.add(a.lifetimes(c.ip, a.s.LeaseTime))
	a.holds = append(a.holds, Hold{c.subnet.ID, c.ip, a.key})
	if commit {
		a.leases = append(a.leases, a.lease(c.subnet, c.ip, stateBound, a.s.LeaseTime))
	}
	if !a.given.ip.IsValid() {
		a.given = c
	}
	a.say("%s: %s", c.ip, c.reason)
}

// refuse answers the association with a status.
func (a *association) refuse(code iana.StatusCode, words string) {
	a.add(status(code, words))
	a.say("%s: %s", code, words)
}

// withdraw tells the client not to use the addresses that it names.
func (a *association) withdraw(why string) {
	var options []dhcpv6.Option
	for _, ip := range a.wishes {
		options = append(options, a.lifetimes(ip, 0))
	}
	a.add(options...)
	a.say("it is to leave %v: %s", a.wishes, why)
}

// add puts the association into the answer. T1 and T2 are those that RFC 8415
// section 21.4 recommends: 0.5 and 0.8 of the preferred lifetime.
func (a *association) add(options ...dhcpv6.Option) {
	ia := &dhcpv6.OptIANA{IaId: a.iaid, Options: dhcpv6.IdentityOptions{Options: options}}
	if one := ia.Options.OneAddress(); one != nil {
		ia.T1, ia.T2 = one.PreferredLifetime/2, one.PreferredLifetime*4/5
	}
	a.options = append(a.options, ia)
}

// lifetimes is an address with how long it is good: preferred for three quarters
// of the time that it is valid.
func (a *association) lifetimes(ip netip.Addr, valid time.Duration) *dhcpv6.OptIAAddress {
	return &dhcpv6.OptIAAddress{IPv6Addr: ip.AsSlice(), PreferredLifetime: valid * 3 / 4, ValidLifetime: valid}
}

// lease is the record of ip being in the state for the client.
func (a *association) lease(sub *sprout.Subnet, ip netip.Addr, state string, lasts time.Duration) sprout.Lease {
	return sprout.Lease{
		Site: sub.Site, Subnet: sub.ID, IP: ip, MAC: a.id.mac, ClientID: a.clientID,
		Hostname: a.hostname(), State: state, ExpiresAt: a.s.Now.Add(lasts),
	}
}

// mine tells whether ip of the subnet is leased to the association.
func (a *association) mine(sub *sprout.Subnet, ip netip.Addr) bool {
	l, ok := a.s.Ledger.LeaseAt(sub.ID, ip)
	return ok && keyOf(l) == a.key && l.State == stateBound
}

// assign chooses an address for each association; offered only, unless commit.
func (d *decision) assign(commit bool) {
	for _, a := range d.associations() {
		c := a.choose()
		if !c.ip.IsValid() {
			d.full = true
			a.refuse(noAddresses, c.reason)
			continue
		}
		a.give(c, commit)
	}
	d.notHere(noAddresses, noPrefixAvail)
}

// notHere answers what is not to be had here: temporary addresses and prefixes.
func (d *decision) notHere(temporary, prefix iana.StatusCode) {
	for _, ia := range d.r.Message.Options.IATA() {
		none := dhcpv6.IdentityOptions{Options: dhcpv6.Options{status(temporary, "no temporary addresses are given here")}}
		d.options = append(d.options, &dhcpv6.OptIATA{IaId: ia.IaId, Options: none})
	}
	for _, ia := range d.r.Message.Options.IAPD() {
		none := dhcpv6.PDOptions{Options: dhcpv6.Options{status(prefix, "no prefixes are delegated here")}}
		d.options = append(d.options, &dhcpv6.OptIAPD{IaId: ia.IaId, Options: none})
	}
}
