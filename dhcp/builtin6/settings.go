package builtin6

import (
	"bytes"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
)

// putSettings puts what operators set for the client in place of what was
// computed, but for what it boots, as far as it asks for it or it is always sent
// (RFC 8415 section 18.3.9).
func (d *decision) putSettings() {
	sub := d.given.subnet
	if sub == nil {
		return
	}
	known, _ := d.s.Ledger.Known(d.id.mac)
	all := d.s.Ledger.DHCPOptions(sub.ID, known.ID)
	if all.None() {
		return
	}
	all.For(6, d.who, func(o sprout.SiteDHCPOption) {
		code := dhcpv6.OptionCode(o.Code)
		if !o.Always && !d.wants(code) {
			return
		}
		d.remove(code)
		d.options = append(d.options, &dhcpv6.OptionGeneric{OptionCode: code, OptionData: o.Data})
		if d.settings == nil {
			d.settings = map[int]sprout.SiteDHCPOption{}
		}
		d.settings[o.Code] = o
	})
}

// remove takes an option back.
func (d *decision) remove(code dhcpv6.OptionCode) {
	delete(d.settings, int(code))
	d.options = slices.DeleteFunc(d.options, func(o dhcpv6.Option) bool { return o.Code() == code })
}

// who is what the client says of itself.
func (d *decision) who() sprout.DHCPClient {
	m := d.r.Message
	c := sprout.DHCPClient{Arches: firmwareOf(m).arches, MAC: d.id.mac}
	for _, class := range m.Options.UserClasses() {
		c.Users = append(c.Users, string(class))
	}
	for _, class := range m.Options.VendorClasses() {
		c.Vendors = append(c.Vendors, string(bytes.Join(class.Data, nil)))
	}
	return c
}
