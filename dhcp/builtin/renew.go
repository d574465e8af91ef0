package builtin

import (
	"fmt"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// request answers a DHCPREQUEST by the state that the client shows to be in
// (RFC 2131 section 4.3.2): SELECTING names a server; INIT-REBOOT names an
// address only; RENEWING and REBINDING use theirs.
func (d *decision) request() Answer {
	switch {
	case d.server.IsValid():
		return d.selecting()
	case d.requested.IsValid() && !d.client.IsValid():
		return d.rebooting()
	case d.client.IsValid():
		return d.renewing()
	}
	return d.silence("it requests no address")
}

// selecting: it takes our offer, or another server's.
func (d *decision) selecting() Answer {
	ip := d.requested
	if !ip.IsValid() {
		ip = d.client // some clients renew with a server identifier
	}
	if d.foreign() {
		a := d.silence("it takes the offer of %s", d.server)
		a.What, a.Other = sprout.SawOtherServer, d.server
		if c := d.choose(); c.ip.IsValid() {
			a.Forget, a.Subnet = c.ip, c.subnet.ID
		}
		return a
	}
	c, wrong := d.judge(ip)
	if wrong != "" {
		return d.refuse(wrong)
	}
	return d.acknowledge(c, sprout.SawAck)
}

// rebooting: it comes back and remembers an address.
func (d *decision) rebooting() Answer {
	if within(d.link, d.requested) == nil {
		return d.refuse(fmt.Sprintf("%s is not on this network", d.requested))
	}
	if c, _ := d.reserved(); c.ip.IsValid() && c.ip != d.requested {
		return d.refuse(fmt.Sprintf("%s is not its address: %s is reserved for it", d.requested, c.ip))
	}
	c, wrong := d.judge(d.requested)
	switch {
	case wrong != "":
		return d.refuse(wrong)
	case !d.recorded(c):
		return d.silence("it remembers %s, of which there is no record", d.requested)
	}
	return d.acknowledge(c, sprout.SawAck)
}

// renewing: it wants to keep the address it uses. It may also where another
// one is reserved for it by now: to take an address from a machine at work
// would break its work, and it gets the other when it next starts.
func (d *decision) renewing() Answer {
	if within(d.link, d.client) == nil {
		return d.refuse(fmt.Sprintf("%s is not on this network", d.client))
	}
	c, wrong := d.judge(d.client)
	if wrong != "" {
		return d.refuse(wrong)
	}
	return d.acknowledge(c, "")
}

// judge says whether the client may have ip, or what is wrong with that.
func (d *decision) judge(ip netip.Addr) (c choice, wrong string) {
	sub := within(d.link, ip)
	if sub == nil {
		return c, fmt.Sprintf("%s is not on this network", show(ip))
	}
	if c, _ := d.reserved(); c.ip == ip {
		return c, ""
	}
	c = choice{ip: ip, subnet: sub, hostname: d.hostname("")}
	l, had := d.s.Ledger.LeaseAt(sub.ID, ip)
	switch {
	case !d.s.free(sub, ip, d.key):
		return c, fmt.Sprintf("%s is not free", ip)
	case had && keyOf(l) == d.key && d.s.active(l):
		c.reason = "its lease"
	case !dynamic(sub, ip):
		return c, fmt.Sprintf("%s is not in a dynamic range, and not reserved for it", ip)
	case had && keyOf(l) == d.key:
		c.reason = "the address it had"
	default:
		c.reason = "a free address of the dynamic range"
	}
	return c, ""
}

// recorded tells whether anything is known of the client at the address.
func (d *decision) recorded(c choice) bool {
	if r, _ := d.reserved(); r.ip == c.ip {
		return true
	}
	l, ok := d.s.Ledger.LeaseByClient(c.subnet.ID, d.key)
	return ok && l.IP == c.ip
}

// acknowledge gives the address, once the lease is saved.
func (d *decision) acknowledge(c choice, what string) Answer {
	a := d.give(dhcpv4.MessageTypeAck, c)
	a.What, a.Hold, a.Holder, a.Subnet = what, c.ip, d.holder(c), c.subnet.ID
	a.Lease = d.lease(c.subnet, c.ip, stateBound, d.leaseTime())
	a.Lease.Hostname = c.hostname
	return a
}

// refuse makes the client start over.
func (d *decision) refuse(reason string) Answer {
	a := d.nak(reason)
	a.What = sprout.SawNak
	return a
}
