package server

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"sprout"
	"sprout/store"
)

const aUUID, turnedUUID = "00112233-4455-6677-8899-aabbccddeeff", "33221100-5544-7766-8899-aabbccddeeff"

// Which machine a system is: a MAC is proof, a UUID or a serial number where the other
// does not speak against it, and the BMC's address where it can be of one system only.
func TestWhichMachineASystemIs(t *testing.T) {
	found := sprout.FoundSystem{ID: "1", UUID: aUUID, Serial: "S1", SKU: "T1"}
	for name, c := range map[string]struct {
		m     store.Likeness
		alone bool
		want  string
	}{
		"one of its ports":                  {m: store.Likeness{ByMAC: true, Serial: "other"}, want: "by a MAC address"},
		"its UUID":                          {m: store.Likeness{ByUUID: true, UUID: aUUID}, want: "by its UUID"},
		"its UUID and the tag as serial":    {m: store.Likeness{ByUUID: true, UUID: turnedUUID, Serial: "T1"}, want: "by its UUID"},
		"its UUID, and another serial":      {m: store.Likeness{ByUUID: true, UUID: aUUID, Serial: "S2"}},
		"its serial":                        {m: store.Likeness{BySerial: true, Serial: "S1"}, want: "by its serial number"},
		"its chassis' serial, another UUID": {m: store.Likeness{BySerial: true, Serial: "S1", UUID: "ffeeddcc-4455-6677-8899-aabbccddeeff"}},
		"its BMC":                           {m: store.Likeness{ByHost: true}, alone: true, want: "by the address of its BMC"},
		"its BMC, one of several":           {m: store.Likeness{ByHost: true}},
		"its BMC and id":                    {m: store.Likeness{ByHost: true, System: "1"}, want: "by the address of its BMC"},
		"its BMC, another id":               {m: store.Likeness{ByHost: true, System: "2"}},
	} {
		got := ""
		if same := sameAs(found, []store.Likeness{c.m}, c.alone); len(same) == 1 {
			got = same[0].by
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestFormsOfAUUID(t *testing.T) {
	want := "[00112233-4455-6677-8899-aabbccddeeff 33221100-5544-7766-8899-aabbccddeeff ffeeddcc-bbaa-9988-7766-554433221100 ccddeeff-aabb-8899-7766-554433221100]"
	if got := fmt.Sprint(uuidForms(aUUID)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, none := range []string{"", "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "Not Settable"} {
		if got := uuidForms(none); got != nil {
			t.Errorf("%q has %v", none, got)
		}
	}
}

func TestAddressesOfACrawl(t *testing.T) {
	for _, c := range []struct {
		texts []string
		want  string // first, last and how many; or the field that is wrong
	}{
		{[]string{"10.0.5.0/24"}, "10.0.5.1 10.0.5.254 254"},
		{[]string{"10.0.5.1", "10.0.5.1-10.0.5.3", "10.0.5.4/32"}, "10.0.5.1 10.0.5.4 4"},
		{[]string{"fd00::/126"}, "fd00:: fd00::3 4"},
		{[]string{"10.0.0.0/16"}, "addresses[0]"}, {[]string{"10.0.5.1", "x"}, "addresses[1]"}, {[]string{"224.0.0.1"}, "addresses[0]"},
		{[]string{"fd00::/64"}, "addresses[0]"}, {[]string{"169.254.0.1"}, "addresses[0]"}, {[]string{"10.0.5.9-10.0.5.1"}, "addresses[0]"},
	} {
		all, err := crawled(c.texts)
		got := wrongField(err)
		if err == nil {
			got = fmt.Sprint(all[0], all[len(all)-1], len(all))
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.texts, got, c.want)
		}
	}
	all, _ := crawled([]string{"10.0.5.0/24"})
	part, err := partAfter(all, "10.0.5.32")
	if err != nil || len(part) != sprout.MostCrawledAtOnce || part[0] != netip.MustParseAddr("10.0.5.33") {
		t.Errorf("after 10.0.5.32 are %v: %v", part, err)
	}
	for _, after := range []string{"10.0.5.254", "10.0.6.1", "x"} {
		if _, err := partAfter(all, after); wrongField(err) != "after" {
			t.Errorf("after %s: %v", after, err)
		}
	}
}

func wrongField(err error) string {
	var known *sprout.Error
	if errors.As(err, &known) {
		return known.Field
	}
	return ""
}
