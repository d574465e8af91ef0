package dhcptest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp"
)

// subnetSays: its own domain and search list, and routes with that of its gateway,
// as who takes option 121 looks at no other router (RFC 3442).
func (w *Wire) subnetSays(t *testing.T) {
	wants := dhcpv4.WithRequestedOptions(dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionClasslessStaticRoute)
	ack := w.acquire(t, w.mac(), "10.8.0.1", wants)
	if got := ack.DomainName(); got != "rack.example" {
		t.Errorf("domain %q", got)
	}
	if got := ack.DomainSearch(); got == nil || fmt.Sprint(got.Labels) != "[rack.example lon1.example]" {
		t.Errorf("search list %v", got)
	}
	if got := join(ack.Router()); got != "10.8.0.1" {
		t.Errorf("router %s", got)
	}
	if got := fmt.Sprint(ack.ClasslessStaticRoute()); got != "[route to 10.30.0.0/16 via 10.8.0.9 route to 10.31.7.0/24 via 10.8.0.8 route to 0.0.0.0/0 via 10.8.0.1]" {
		t.Errorf("routes: %s", got)
	}
}

// set are options that an operator set, the least of classes first.
func set(t *testing.T) (all []sprout.SiteDHCPOption) {
	t.Helper()
	for i, s := range []sprout.DHCPSetting{
		{Name: "ntp-servers", Value: "10.0.0.3"}, {Name: "224", Value: "51", Always: true},
		{Name: "classless-static-route", Value: "10.40.0.0/16=10.0.0.9"},
		{Subnet: "sub_a", Name: "ntp-servers", Value: "10.0.0.4"}, {Subnet: "sub_a", Name: "boot-file-name", Value: "other.efi"},
		{Class: "mac=52:54:00:00:0b", Name: "225", Value: "52"}, {Class: "user=blue", Name: "226", Value: "53"},
		{Class: "vendor=Cisco", Name: "43", Value: "0104c0a80001", Always: true},
		{Class: "arch=7", Name: "ntp-servers", Value: "10.0.0.5"}, {Class: "arch=7,vendor=PXEClient", Name: "ntp-servers", Value: "10.0.0.6"},
		{Machine: "mch_2", Name: "ntp-servers", Value: "10.0.0.7"}, {Machine: "mch_2", Name: "boot-file-name", Value: "mine.efi"},
	} {
		o, err := dhcp.CheckSetting(s)
		if err != nil {
			t.Fatal(err)
		}
		o.ID, o.Site = sprout.OptionID(fmt.Sprintf("opt_%02d", i)), "sit_1"
		all = append(all, o)
	}
	return all
}

// settings: what is set for fewer clients counts, machine before class before
// subnet before site; who does not ask for an option gets those that are always
// sent; what Sprout boots comes before all.
func (w *Wire) settings(t *testing.T) {
	const mark, byMAC, byUser = 224, 225, 226
	before := w.Ledger.told()
	w.Ledger.Change(func(s *Seed) { s.Options = slices.Clone(set(t)) })
	w.Until(t, "options are sent", func() bool {
		offer := w.try(t, db01, "10.0.0.2", dhcpv4.MessageTypeDiscover, time.Second)
		return offer != nil && offer.Options.Has(dhcpv4.GenericOptionCode(mark))
	})
	asks := func(codes ...uint8) dhcpv4.Modifier {
		return func(p *dhcpv4.DHCPv4) { p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionParameterRequestList, codes)) }
	}
	ntp := func(last byte) []byte { return []byte{10, 0, 0, last} }
	for name, c := range map[string]struct {
		mac, relay string
		says       []dhcpv4.Modifier
		code       uint8
		want       []byte
	}{
		"of the subnet":           {web01, "10.0.0.2", []dhcpv4.Modifier{asks(42)}, 42, ntp(4)},
		"of the site":             {w.mac(), "10.8.0.1", []dhcpv4.Modifier{asks(42)}, 42, ntp(3)},
		"of the site, over ours":  {w.mac(), "10.8.0.1", []dhcpv4.Modifier{asks(121)}, 121, []byte{16, 10, 40, 10, 0, 0, 9}},
		"of a class":              {web01, "10.0.0.2", []dhcpv4.Modifier{pxe(7, "HTTPClient"), asks(42)}, 42, ntp(5)},
		"of the narrower class":   {web01, "10.0.0.2", []dhcpv4.Modifier{pxe(7, "PXEClient"), asks(42)}, 42, ntp(6)},
		"of the machine":          {db01, "10.0.0.2", []dhcpv4.Modifier{pxe(7, "PXEClient"), asks(42)}, 42, ntp(7)},
		"not asked for":           {web01, "10.0.0.2", []dhcpv4.Modifier{asks(6)}, 42, nil},
		"not asked for, always":   {web01, "10.0.0.2", []dhcpv4.Modifier{asks(6)}, mark, []byte{0x51}},
		"of a class, always":      {web01, "10.0.0.2", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier("Cisco AP")), asks(6)}, 43, []byte{1, 4, 192, 168, 0, 1}},
		"of another class":        {web01, "10.0.0.2", []dhcpv4.Modifier{asks(43)}, 43, nil},
		"of a maker's MACs":       {w.mac(), "10.0.0.2", []dhcpv4.Modifier{asks(byMAC)}, byMAC, []byte{0x52}},
		"of a bare user class":    {web01, "10.0.0.2", []dhcpv4.Modifier{dhcpv4.WithUserClass("blue", false), asks(byUser)}, byUser, []byte{0x53}},
		"of a user class":         {web01, "10.0.0.2", []dhcpv4.Modifier{dhcpv4.WithUserClass("blue", true), asks(byUser)}, byUser, []byte{0x53}},
		"file of the subnet":      {web01, "10.0.0.2", []dhcpv4.Modifier{asks(67)}, 67, []byte("other.efi")},
		"file of the machine":     {db01, "10.0.0.2", []dhcpv4.Modifier{asks(67)}, 67, []byte("mine.efi")},
		"firmware boots Sprout's": {db01, "10.0.0.2", []dhcpv4.Modifier{pxe(7, "PXEClient"), asks(67)}, 67, []byte("snponly.efi")},
		"iPXE boots Sprout's":     {db01, "10.0.0.2", []dhcpv4.Modifier{dhcpv4.WithUserClass("iPXE", false), asks(67)}, 67, []byte("http://10.0.0.1/boot/52-54-00-00-00-02.ipxe")},
	} {
		t.Run(name, func(t *testing.T) {
			offer := w.ask(t, c.mac, c.relay, dhcpv4.MessageTypeDiscover, c.says...)
			if offer == nil {
				t.Fatal("no offer")
			}
			if got := offer.Options.Get(dhcpv4.GenericOptionCode(c.code)); !bytes.Equal(got, c.want) {
				t.Errorf("option %d is %q, want %q", c.code, got, c.want)
			}
		})
	}
	w.Ledger.Change(func(s *Seed) { *s = before })
	w.Until(t, "options that are gone are not sent", func() bool {
		offer := w.try(t, db01, "10.0.0.2", dhcpv4.MessageTypeDiscover, time.Second)
		return offer != nil && !offer.Options.Has(dhcpv4.GenericOptionCode(mark))
	})
}
