package bench

import (
	"fmt"
	"io"
)

// A Line is what one benchmark found: Sprout's figure beside its peer's, or
// beside a bound.
type Line struct {
	Name   string
	Sprout float64
	Peer   string  // what it is compared with; "": a bound
	Other  float64 // the peer's figure, or the bound
}

// Ratio is Sprout's figure against the other; 0 where a bound of nothing is kept.
func (l Line) Ratio() float64 {
	if l.Sprout == 0 && l.Other == 0 && l.Peer == "" {
		return 0
	}
	return l.Sprout / l.Other
}

// String is the line as it is printed.
func (l Line) String() string {
	peer := l.Peer
	if peer == "" {
		peer = "bound"
	}
	return fmt.Sprintf("BENCH %s sprout=%.4g %s=%.4g ratio=%.3f", l.Name, l.Sprout, peer, l.Other, l.Ratio())
}

// A limit is what a ratio must keep to; zero fields do not hold it.
type limit struct{ least, most float64 }

// limits are what was promised, by the names of lines.
var limits = map[string]limit{
	"list-last-page":  {most: 1.3},
	"list-vs-sql":     {most: 2.5},
	"get-vs-sql":      {least: 0.4},
	"watch-vs-notify": {most: 5},
	"steps-vs-river":  {least: 0.4},
	"cli-start-ms":    {most: 1},
	"server-rss-mb":   {most: 1},

	"dhcp-vs-kea":            {least: 1.5},
	"dhcp-cpu-vs-kea":        {most: 0.5},
	"dhcp-p99-vs-kea":        {most: 1},
	"dhcp-reservations-flat": {least: 0.9},
	"dhcp-change-flat":       {most: 1.2},

	"sim-completion":       {least: 1},
	"sim-ready-per-min":    {least: 1},
	"sim-cpu-flat":         {most: 1.1},
	"sim-sql-flat":         {most: 1.1},
	"sim-bus-flat":         {most: 1.1},
	"sim-storm-lost":       {most: 1},
	"sim-rss-mb":           {most: 1},
	"agent-kb-per-machine": {most: 1},
	"site-return-s":        {most: 1},

	"ipam-flat":       {least: 0.8},
	"ipam-vs-insert":  {least: 0.5},
	"alloc-vs-update": {least: 0.3},
	"tftp-vs-hpa":     {least: 1},
	"tftp-window":     {least: 1},
	"http-vs-nginx":   {least: 0.95},
	"boot-storm-p99":  {most: 5},
	"boot-away-p99":   {most: 1.2},

	"dns-vs-coredns":     {least: 1.5},
	"dns-vs-nsd":         {least: 0.8},
	"dns-cpu-vs-coredns": {most: 0.5},
	"dns-cpu-vs-nsd":     {most: 1.5},
}

// Print prints the line. It is an error if the ratio is outside of its limit, or
// if the line has none.
func (l Line) Print(w io.Writer) error {
	if _, err := fmt.Fprintln(w, l); err != nil {
		return err
	}
	limit, ok := limits[l.Name]
	ratio := l.Ratio()
	switch {
	case !ok:
		return fmt.Errorf("%s has no limit in bench/line.go", l.Name)
	case !(limit.least == 0 || ratio >= limit.least): // not a number is outside, too
		return fmt.Errorf("%s: ratio %.3f is under %g", l.Name, ratio, limit.least)
	case !(limit.most == 0 || ratio <= limit.most):
		return fmt.Errorf("%s: ratio %.3f is over %g", l.Name, ratio, limit.most)
	}
	return nil
}
