package agent

import (
	"errors"
	"net/netip"
	"testing"

	"sprout"
)

// TestAddresses holds the two addresses of an agent to what each may be, and the
// URL that a machine is given to the version of IP that it asks over.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		v4, v6, field string // the field that is wrong; empty: none
		url4, url6    string
	}{
		{v4: "10.20.0.1/24", url4: "http://10.20.0.1", url6: "http://10.20.0.1"},
		{v4: "10.20.0.1/24", v6: "fd00:20::1/64", url4: "http://10.20.0.1", url6: "http://[fd00:20::1]"},
		{v6: "fd00:20::1/64", url4: "http://[fd00:20::1]", url6: "http://[fd00:20::1]"},
		{field: "address"},
		{v4: "fd00:20::1/64", field: "address"},
		{v4: "0.0.0.0/0", v6: "fd00:20::1/64", field: "address"},
		{v4: "10.20.0.1/24", v6: "10.20.0.2/24", field: "address6"},
		{v6: "fe80::1/64", field: "address6"},
		{v6: "::/64", field: "address6"},
		{v6: "::ffff:10.20.0.1/120", field: "address6"},
	} {
		var config Config
		if c.v4 != "" {
			config.Address = netip.MustParsePrefix(c.v4)
		}
		if c.v6 != "" {
			config.Address6 = netip.MustParsePrefix(c.v6)
		}
		err := config.validateAddresses()
		field := ""
		if wrong := (*sprout.Error)(nil); errors.As(err, &wrong) {
			field = wrong.Field
		}
		if (err != nil) != (c.field != "") || field != c.field {
			t.Errorf("%s and %s: %v, want a fault in %q", c.v4, c.v6, err, c.field)
			continue
		}
		if err != nil {
			continue
		}
		for from, want := range map[string]string{"10.20.0.9": c.url4, "fd00:20::9": c.url6} {
			if got := config.url(netip.MustParseAddr(from)); got != want {
				t.Errorf("%s and %s: %s gets %s, want %s", c.v4, c.v6, from, got, want)
			}
		}
	}
	config := Config{Address6: netip.MustParsePrefix("fd00:20::1/64"), Ports: Ports{HTTP: 8080}}
	if got := config.url(netip.Addr{}); got != "http://[fd00:20::1]:8080" {
		t.Errorf("with a port: %s", got)
	}
}
