package alloc

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sprout"
)

// A Shortage is a zone that has fewer machines that fit than an even spread takes
// of it.
type Shortage struct {
	Zone  string
	Has   int
	Needs int
}

// Spread takes n of the machines that fit, in their order, evenly over the zones:
// no zone gives more than one more than another. Machines of no zone, or of another,
// are not taken. Where that cannot be it takes none, and says what each zone lacks:
// of several that could give the one more, those that have most are asked for it.
func Spread(n int, zones []string, fit []sprout.Machine) (taken []sprout.Machine, short []Shortage) {
	if len(zones) == 0 {
		return nil, nil
	}
	in := map[string][]sprout.Machine{}
	for _, m := range fit {
		in[m.Zone] = append(in[m.Zone], m)
	}
	order := slices.Clone(zones)
	slices.SortFunc(order, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(in[b]), len(in[a])), cmp.Compare(a, b))
	})
	for i, zone := range order {
		needs := n / len(zones)
		if i < n%len(zones) {
			needs++
		}
		if has := len(in[zone]); has < needs {
			short = append(short, Shortage{zone, has, needs})
			continue
		}
		taken = append(taken, in[zone][:needs]...)
	}
	if len(short) > 0 {
		return nil, short
	}
	return taken, nil
}

// Zones are the zones of machines, each once, in their order.
func Zones(machines []sprout.Machine) []string {
	var zones []string
	for _, m := range machines {
		if m.Zone != "" {
			zones = append(zones, m.Zone)
		}
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

// Explain says why machines cannot be spread.
func Explain(zones []string, short []Shortage) string {
	if len(zones) == 0 {
		return "no machine that could fit is in a failure zone"
	}
	var lacks []string
	for _, s := range short {
		lacks = append(lacks, fmt.Sprintf("zone %s has %d that fit, and would need %d", s.Zone, s.Has, s.Needs))
	}
	return fmt.Sprintf("of the zones %s, %s", strings.Join(zones, ", "), strings.Join(lacks, "; "))
}
