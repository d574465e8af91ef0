package dns_test

import (
	"errors"
	"strings"
	"testing"

	"sprout"
	"sprout/dns"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct{ name, kind, data, field, kept string }{
		{"WWW.lon1.example.", "cname", "Web-01.lon1.example.", "", "web-01.lon1.example"},
		{"www.lon1.example", "CNAME", "www.lon1.example", "data", ""},
		{"www.lon1.example", "CNAME", "a b", "data", ""},
		{"a.lon1.example", "A", "10.0.0.5", "", "10.0.0.5"},
		{"a.lon1.example", "A", "2001:db8::5", "data", ""},
		{"a.lon1.example", "A", "10.0.0.256", "data", ""},
		{"_a.lon1.example", "A", "10.0.0.5", "name", ""},
		{"a.lon1.example", "AAAA", "2001:DB8:0::5", "", "2001:db8::5"},
		{"a.lon1.example", "AAAA", "::ffff:10.0.0.5", "data", ""},
		{"lon1.example", "MX", "010 Mail.lon1.example.", "", "10 mail.lon1.example"},
		{"lon1.example", "MX", "65536 mail.lon1.example", "data", ""},
		{"lon1.example", "MX", "mail.lon1.example", "data", ""},
		{"_sip._tcp.lon1.example", "SRV", "0 5 5060 sip.lon1.example", "", "0 5 5060 sip.lon1.example"},
		{"_sip._tcp.lon1.example", "SRV", "5 5060 sip.lon1.example", "data", ""},
		{"lon1.example", "TXT", "v=spf1 \"-all\"; (x)", "", "v=spf1 \"-all\"; (x)"},
		{"lon1.example", "TXT", strings.Repeat("x", 4001), "data", ""},
		{"lon1.example", "TXT", "", "data", ""},
		{"lon1.example", "TXT", "\xff", "data", ""},
		{"5.0.0.10.in-addr.arpa", "PTR", "a.lon1.example", "", "a.lon1.example"},
		{"a..lon1.example", "A", "10.0.0.5", "name", ""},
		{"*.lon1.example", "A", "10.0.0.5", "name", ""},
		{strings.Repeat("a.", 130) + "example", "A", "10.0.0.5", "name", ""},
		{"a.lon1.example", "SOA", "x", "type", ""},
	} {
		r, err := dns.Check(sprout.Record{Name: c.name, Type: c.kind, Data: c.data})
		var known *sprout.Error
		if c.field != "" && (!errors.As(err, &known) || known.Kind != sprout.Invalid || known.Field != c.field) {
			t.Errorf("%s %s %q: %v, want an error of %s", c.name, c.kind, c.data, err, c.field)
		}
		if c.field == "" && (err != nil || r.Data != c.kept || r.TTL != dns.DefaultTTL) {
			t.Errorf("%s %s %q: kept as %q for %d s, %v", c.name, c.kind, c.data, r.Data, r.TTL, err)
		}
	}
	if _, err := dns.Check(sprout.Record{Name: "a.example", Type: "A", Data: "10.0.0.1", TTL: -1}); sprout.KindOf(err) != sprout.Invalid || err == nil {
		t.Errorf("a TTL of -1: %v", err)
	}
}
