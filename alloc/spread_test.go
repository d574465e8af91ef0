package alloc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/alloc"
)

// in makes machines in zones: "aab" is two in a and one in b; a dot is in none.
func in(zones string) (list []sprout.Machine) {
	for i, z := range zones {
		m := sprout.Machine{ID: sprout.MachineID(fmt.Sprint("mch_", i)), Zone: string(z)}
		if z == '.' {
			m.Zone = ""
		}
		list = append(list, m)
	}
	return list
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		n          int
		zones, fit string
		want       string // zones of what is taken, sorted; "": none
		short      []alloc.Shortage
	}{
		{3, "abc", "aaabbbccc", "abc", nil},
		{4, "abc", "abbbc", "abbc", nil},
		{2, "abc", "ccb", "bc", nil},
		{1, "abc", "b", "b", nil},
		{6, "ab", "aaabbb.", "aaabbb", nil},
		{5, "ab", "aabbb", "aabbb", nil},
		{4, "abc", "aabb", "", []alloc.Shortage{{"c", 0, 1}}},
		{6, "abc", "aaaab.", "", []alloc.Shortage{{"b", 1, 2}, {"c", 0, 2}}},
		{3, "ab", "ab", "", []alloc.Shortage{{"a", 1, 2}}},
		{2, "", "..", "", nil},
		{2, "ab", "aac", "", []alloc.Shortage{{"b", 0, 1}}},
	} {
		taken, short := alloc.Spread(c.n, strings.Split(c.zones, "")[:len(c.zones)], in(c.fit))
		var got []string
		for _, m := range taken {
			got = append(got, m.Zone)
		}
		slices.Sort(got)
		if strings.Join(got, "") != c.want || !slices.Equal(short, c.short) {
			t.Errorf("%d of %q over %q: took %q, short of %+v", c.n, c.fit, c.zones, got, short)
		}
	}
	if zones := alloc.Zones(in("cab.a")); !slices.Equal(zones, []string{"a", "b", "c"}) {
		t.Errorf("zones are %q", zones)
	}
	if said := alloc.Explain([]string{"a", "b"}, []alloc.Shortage{{"b", 0, 2}}); said != "of the zones a, b, zone b has 0 that fit, and would need 2" {
		t.Error(said)
	}
}
