package builtin6

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
)

// solicit offers addresses, or gives them where the client wants no more than
// two messages (RFC 8415 section 18.3.1).
func (d *decision) solicit() Answer {
	rapid := d.r.Message.GetOneOption(dhcpv6.OptionRapidCommit) != nil
	d.assign(rapid)
	if rapid && d.given.ip.IsValid() {
		d.options = append(d.options, &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
		return d.with(dhcpv6.MessageTypeReply, sprout.SawAck, "gives at once ")
	}
	d.leases = nil
	if d.given.ip.IsValid() {
		// Nobody else is expected to answer here: 255 ends the client's wait for
		// other servers, a second (RFC 8415 section 18.2.9).
		d.options = append(d.options, dhcpv6.OptPreference(255))
	}
	return d.with(dhcpv6.MessageTypeAdvertise, sprout.SawOffer, "offers ")
}

// request gives what was offered (RFC 8415 section 18.3.2).
func (d *decision) request() Answer {
	for _, a := range d.associations() {
		for _, ip := range a.wishes {
			if within(d.link, ip) == nil {
				a.refuse(notOnLink, ip.String()+" is not on this network")
				return d.with(dhcpv6.MessageTypeReply, sprout.SawNak, "refuses ")
			}
		}
	}
	d.assign(true)
	return d.with(dhcpv6.MessageTypeReply, sprout.SawAck, "gives ")
}

// with finishes an answer that may hold addresses; what is the boot event where
// it does.
func (d *decision) with(kind dhcpv6.MessageType, what, verb string) Answer {
	if !d.given.ip.IsValid() {
		if verb = "refuses: "; d.full {
			what = sprout.SawFull
		}
	}
	d.network()
	boot := d.boot()
	d.putBoot(boot)
	if boot.reason != "" {
		d.say("%s", boot.reason)
	}
	a := d.reply(kind, verb+d.because())
	a.What, a.IP, a.BootFile = what, d.given.ip, boot.url
	return a
}

// confirm says whether addresses belong on the link that the client is on by
// now (RFC 8415 section 18.3.3).
func (d *decision) confirm() Answer {
	named := 0
	for _, a := range d.associations() {
		for _, ip := range a.wishes {
			named++
			if within(d.link, ip) == nil {
				d.options = []dhcpv6.Option{status(notOnLink, ip.String()+" is not on this network")}
				return d.reply(dhcpv6.MessageTypeReply, "refuses: "+ip.String()+" is not on this network")
			}
		}
	}
	if named == 0 {
		return d.silence("it has no address to confirm")
	}
	d.options = []dhcpv6.Option{status(success, "all addresses are on this network")}
	return d.reply(dhcpv6.MessageTypeReply, "confirms: all its addresses are on this network")
}

// renew prolongs what the client uses (RFC 8415 sections 18.3.4 and 18.3.5). It
// may keep its address also where another is reserved for it by now: to take an
// address from a machine at work would break its work.
func (d *decision) renew() Answer {
	for _, a := range d.associations() {
		a.prolong()
	}
	d.notHere(noBinding, noBinding)
	d.network()
	a := d.reply(dhcpv6.MessageTypeReply, "")
	a.Reason, a.IP = "renews "+d.because(), d.given.ip
	return a
}

// prolong answers one association of a renewal.
func (a *association) prolong() {
	if len(a.wishes) == 0 {
		if c := a.choose(); c.ip.IsValid() {
			a.give(c, true)
			return
		}
		a.refuse(noBinding, "no address is leased to it")
		return
	}
	for _, ip := range a.wishes {
		if c, wrong := a.judge(ip); wrong == "" {
			a.give(c, true)
			return
		}
	}
	_, wrong := a.judge(a.wishes[0])
	if sub := within(a.link, a.wishes[0]); sub == nil || a.mine(sub, a.wishes[0]) {
		a.withdraw(wrong)
		return
	}
	a.refuse(noBinding, wrong)
}

// judge says whether the association may go on with ip, or what is wrong with
// that.
func (a *association) judge(ip netip.Addr) (c choice, wrong string) {
	sub := within(a.link, ip)
	if sub == nil {
		return c, ip.String() + " is not on this network"
	}
	if c, _ := a.reserved(); c.ip == ip {
		return c, ""
	}
	c = choice{ip: ip, subnet: sub, reason: "its lease"}
	switch l, had := a.s.Ledger.LeaseAt(sub.ID, ip); {
	case !a.s.free(sub, ip, a.key):
		return c, ip.String() + " is not free"
	case had && keyOf(l) == a.key && a.s.active(l):
	case !dynamic(sub, ip):
		return c, ip.String() + " is not in a dynamic range, and not reserved for it"
	case had && keyOf(l) == a.key:
		c.reason = "the address it had"
	default:
		c.reason = "a free address of the dynamic range, of which there is no record"
	}
	return c, ""
}

// sharedFor is how long an address that a machine gives back is kept for it.
const sharedFor = 2 * time.Minute

// release ends leases (RFC 8415 section 18.3.7). All programs of a machine share
// its address, and OVMF's own configuration of IPv6 gives it back while its PXE
// goes on with it: so it is kept for a while.
func (d *decision) release() Answer {
	return d.giveUp("gives back", func(a *association, sub *sprout.Subnet, ip netip.Addr) sprout.Lease {
		l, _ := d.s.Ledger.LeaseAt(sub.ID, ip)
		if left := l.ExpiresAt.Sub(d.s.Now); a.clientID == "" && left > 0 {
			return a.lease(sub, ip, stateBound, min(left, sharedFor))
		}
		return a.lease(sub, ip, stateReleased, 0)
	})
}

// decline leaves addresses alone for an hour that the client found in use (RFC
// 8415 section 18.3.8).
func (d *decision) decline() Answer {
	a := d.giveUp("finds in use by somebody else", func(a *association, sub *sprout.Subnet, ip netip.Addr) sprout.Lease {
		return a.lease(sub, ip, stateDeclined, declineHold)
	})
	if len(a.Leases) > 0 {
		a.What = sprout.SawDecline
	}
	return a
}

// giveUp ends what the client names, by the lease that becomes of it.
func (d *decision) giveUp(does string, becomes func(*association, *sprout.Subnet, netip.Addr) sprout.Lease) Answer {
	for _, a := range d.associations() {
		known := false
		for _, ip := range a.wishes {
			sub := within(d.link, ip)
			if sub == nil {
				continue
			}
			if holder, held := d.s.Offers.Holder(sub.ID, ip, d.s.Now); !a.mine(sub, ip) && (!held || holder != a.key) {
				continue
			}
			known = true
			d.leases = append(d.leases, becomes(a, sub, ip))
			d.forget = append(d.forget, Hold{sub.ID, ip, a.key})
			d.say("it %s %s", does, ip)
		}
		if !known {
			a.refuse(noBinding, "it was not given this")
		}
	}
	d.options = append(d.options, status(success, ""))
	return d.reply(dhcpv6.MessageTypeReply, "agrees: "+d.because())
}

// inform gives options to a client that has its address from elsewhere (RFC 8415
// section 18.3.6).
func (d *decision) inform() Answer {
	d.given.subnet = &d.link[0]
	d.network()
	boot := d.boot()
	d.putBoot(boot)
	if d.say("it has an address and asks for options"); boot.reason != "" {
		d.say("%s", boot.reason)
	}
	a := d.reply(dhcpv6.MessageTypeReply, "gives options: "+d.because())
	a.BootFile = boot.url
	return a
}
