// Package dnstest is the contract of dns.Provider: what each implementation
// must pass.
package dnstest

import (
	"net/netip"
	"testing"

	"sprout"
	"sprout/dns"
)

// Fresh makes a provider without records, and two sites that it knows: both
// may use the same names and addresses.
type Fresh func(t *testing.T) (p dns.Provider, one, other sprout.SiteID)

// Run checks the provider.
func Run(t *testing.T, fresh Fresh) {
	t.Run("set, look up, delete", func(t *testing.T) { setLookupDelete(t, fresh) })
	t.Run("set again replaces", func(t *testing.T) { replaces(t, fresh) })
	t.Run("everything may be repeated", func(t *testing.T) { repeats(t, fresh) })
	t.Run("sites are apart", func(t *testing.T) { apart(t, fresh) })
	t.Run("names have no case", func(t *testing.T) { noCase(t, fresh) })
	t.Run("IPv6", func(t *testing.T) { six(t, fresh) })
	t.Run("bad records are refused", func(t *testing.T) { refused(t, fresh) })
}

func record(site sprout.SiteID, name, ip string) sprout.Record {
	return sprout.Record{Site: site, Name: name, IP: netip.MustParseAddr(ip), TTL: 60}
}

func setLookupDelete(t *testing.T, fresh Fresh) {
	p, site, _ := fresh(t)
	want(t, p, site, "web-01.lon1.example", "")
	set(t, p, record(site, "web-01.lon1.example", "10.0.0.5"))
	want(t, p, site, "web-01.lon1.example", "10.0.0.5")
	want(t, p, site, "web-02.lon1.example", "")
	remove(t, p, site, "web-01.lon1.example")
	want(t, p, site, "web-01.lon1.example", "")
}

func replaces(t *testing.T, fresh Fresh) {
	p, site, _ := fresh(t)
	set(t, p, record(site, "web-01.lon1.example", "10.0.0.5"))
	set(t, p, record(site, "web-01.lon1.example", "10.0.0.6"))
	want(t, p, site, "web-01.lon1.example", "10.0.0.6")
	remove(t, p, site, "web-01.lon1.example")
	want(t, p, site, "web-01.lon1.example", "")
}

func repeats(t *testing.T, fresh Fresh) {
	p, site, _ := fresh(t)
	for range 2 {
		set(t, p, record(site, "web-01.lon1.example", "10.0.0.5"))
	}
	want(t, p, site, "web-01.lon1.example", "10.0.0.5")
	for range 2 {
		remove(t, p, site, "web-01.lon1.example")
	}
	want(t, p, site, "web-01.lon1.example", "")
}

func apart(t *testing.T, fresh Fresh) {
	p, one, other := fresh(t)
	set(t, p, record(one, "web-01.x.example", "10.0.0.5"))
	want(t, p, other, "web-01.x.example", "")
	set(t, p, record(other, "web-01.x.example", "10.0.0.9"))
	want(t, p, one, "web-01.x.example", "10.0.0.5")
	remove(t, p, one, "web-01.x.example")
	want(t, p, other, "web-01.x.example", "10.0.0.9")
}

func noCase(t *testing.T, fresh Fresh) {
	p, site, _ := fresh(t)
	set(t, p, record(site, "Web-01.LON1.example.", "10.0.0.5"))
	want(t, p, site, "web-01.lon1.example", "10.0.0.5")
	want(t, p, site, "WEB-01.lon1.example.", "10.0.0.5")
	remove(t, p, site, "wEb-01.lon1.example")
	want(t, p, site, "web-01.lon1.example", "")
}

func six(t *testing.T, fresh Fresh) {
	p, site, _ := fresh(t)
	set(t, p, record(site, "web-01.lon1.example", "2001:db8::5"))
	want(t, p, site, "web-01.lon1.example", "2001:db8::5")
}

func refused(t *testing.T, fresh Fresh) {
	p, site, _ := fresh(t)
	good := record(site, "web-01.lon1.example", "10.0.0.5")
	for field, r := range map[string]sprout.Record{
		"no name":            {Site: site, IP: good.IP},
		"an underscore":      {Site: site, Name: "web_01.lon1.example", IP: good.IP},
		"an empty label":     {Site: site, Name: "web-01..example", IP: good.IP},
		"a leading hyphen":   {Site: site, Name: "-web.lon1.example", IP: good.IP},
		"no address":         {Site: site, Name: good.Name},
		"a TTL of the past":  {Site: site, Name: good.Name, IP: good.IP, TTL: -1},
		"a space in a label": {Site: site, Name: "web 01.lon1.example", IP: good.IP},
	} {
		if err := p.Set(t.Context(), r); sprout.KindOf(err) != sprout.Invalid || err == nil {
			t.Errorf("Set with %s: %v, want an invalid error", field, err)
		}
	}
	want(t, p, site, good.Name, "")
}

func set(t *testing.T, p dns.Provider, r sprout.Record) {
	t.Helper()
	if err := p.Set(t.Context(), r); err != nil {
		t.Fatalf("Set(%s): %v", r.Name, err)
	}
}

func remove(t *testing.T, p dns.Provider, site sprout.SiteID, name string) {
	t.Helper()
	if err := p.Delete(t.Context(), site, name); err != nil {
		t.Fatalf("Delete(%s): %v", name, err)
	}
}

// want checks that name is set to ip; "": to nothing.
func want(t *testing.T, p dns.Provider, site sprout.SiteID, name, ip string) {
	t.Helper()
	r, ok, err := p.Lookup(t.Context(), site, name)
	switch {
	case err != nil:
		t.Fatalf("Lookup(%s): %v", name, err)
	case !ok && ip != "" || ok && r.IP.String() != ip:
		t.Fatalf("Lookup(%s) = %v, %v; want %q", name, r.IP, ok, ip)
	}
}
