package cli

import (
	"net/netip"
	"strings"
	"testing"

	"sprout"
)

// A subnet is drawn by what matters most in each block of its addresses, 64 blocks a
// line; of a large IPv6 prefix the part that is in use.
func TestDrawnUsage(t *testing.T) {
	cells := func(n int, size float64, at map[int]sprout.Cell) (all []sprout.Cell) {
		for i := range n {
			c := at[i]
			c.Size = size
			all = append(all, c)
		}
		return all
	}
	for _, c := range []struct {
		name  string
		usage sprout.Usage
		want  string
	}{
		{"IPv4", sprout.Usage{Drawn: netip.MustParsePrefix("10.20.0.0/24"), Block: 31, Cells: cells(128, 2, map[int]sprout.Cell{
			0: {Reserved: 1}, 1: {Reserved: 2}, 5: {Allocated: 1}, 6: {Allocated: 2}, 7: {Reserved: 2, Allocated: 1},
			50: {Dynamic: 2}, 51: {Dynamic: 2, Leased: 1}, 52: {Dynamic: 2, Leased: 2}, 53: {Dynamic: 2, Leased: 1, Allocated: 1}, 64: {Dynamic: 2}, 127: {Allocated: 1},
		})}, `
  10.20.0.0/24, 2 addresses a character: . free, r reserved, d dynamic, l leased, a allocated (L, A: all of it)
    rr...aAa..........................................dlLA..........
    d..............................................................a
`},
		{"IPv6", sprout.Usage{Drawn: netip.MustParsePrefix("fd00:20::/115"), Block: 122, Cells: cells(128, 64, map[int]sprout.Cell{
			0: {Allocated: 3}, 64: {Dynamic: 64, Leased: 9}, 65: {Dynamic: 64},
		})}, `
  fd00:20::/115, 64 addresses a character: . free, r reserved, d dynamic, l leased, a allocated (L, A: all of it)
    a...............................................................
    ld..............................................................
`},
		{"two addresses", sprout.Usage{Drawn: netip.MustParsePrefix("10.0.0.0/31"), Block: 32, Cells: cells(2, 1, map[int]sprout.Cell{1: {Leased: 1}})}, `
  10.0.0.0/31, 1 address a character: . free, r reserved, d dynamic, l leased, a allocated (L, A: all of it)
    .L
`},
		{"nothing to draw", sprout.Usage{}, "\n"},
	} {
		var out strings.Builder
		(&env{stdout: &out}).drawUsage(c.usage)
		if got := "\n" + out.String(); got != c.want {
			t.Errorf("%s is drawn%s, want%s", c.name, got, c.want)
		}
	}
}

// The numbers above the drawing: of each range, of the subnet, and what is free.
func TestShownUsage(t *testing.T) {
	span := func(kind sprout.RangeKind, first, last string, size float64, used int64, percent float64) sprout.RangeUsage {
		return sprout.RangeUsage{Range: sprout.Range{Kind: kind, First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}, Size: size, Used: used, Percent: percent}
	}
	var out strings.Builder
	(&env{stdout: &out}).showSubnet(
		sprout.Subnet{ID: "sub_1", CIDR: netip.MustParsePrefix("fd00:20::/64"), Gateway: netip.MustParseAddr("fd00:20::1"), MTU: 1500},
		sprout.Usage{Size: 1 << 64, Allocated: 3, Leased: 12, Percent: 0, Free: 1<<64 - 4096, Ranges: []sprout.RangeUsage{
			span(sprout.ReservedRange, "fd00:20::1", "fd00:20::9", 9, 0, 0), span(sprout.Dynamic, "fd00:20::1000", "fd00:20::1fff", 4096, 12, 0.3),
		}})
	const want = `Subnet fd00:20::/64
  Gateway:   fd00:20::1
  Discover:  no
  MTU:       1500
  reserved:  fd00:20::1-fd00:20::9, 0 of 9 used (0.0 %)
  dynamic:   fd00:20::1000-fd00:20::1fff, 12 of 4096 used (0.3 %)
  Used:      15 of 1.84e+19 (0.0 %): 3 allocated, 12 leased
  Free:      1.84e+19
  Id:        sub_1
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
