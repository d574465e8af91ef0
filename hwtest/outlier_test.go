package hwtest

import (
	"math"
	"testing"

	"sprout"
)

// around makes n values from m-d to m+d.
func around(n int, m, d float64) (all []float64) {
	for i := range n {
		all = append(all, m+d*(2*float64(i)/float64(n-1)-1))
	}
	return all
}

func TestStray(t *testing.T) {
	alike := around(50, 500, 10)
	for _, c := range []struct {
		name    string
		better  string
		value   float64
		sisters []float64
		stray   bool
		percent float64
	}{
		{"a disk 40 % slower than 50 sisters", "more", 300, alike, true, 40},
		{"40 % faster", "more", 700, alike, false, -40},
		{"latency 40 % higher", "less", 700, alike, true, 40},
		{"a trifle slower than equal ones", "more", 499, around(50, 500, 0), false, 0.2},
		{"equal ones, and far slower", "more", 300, around(50, 500, 0), true, 40},
		{"sisters that are spread wide themselves", "more", 300, around(50, 500, 250), false, 40},
		{"too few sisters", "more", 300, around(LeastSisters-1, 500, 10), false, 0},
		{"just enough", "more", 300, around(LeastSisters, 500, 10), true, 40},
		{"dead sisters do not hide it", "more", 300, append(around(30, 500, 10), 1, 2, 3, 4, 5, 1e9, 1e9), true, 40},
		{"neither is better", "", 300, alike, false, 0},
		{"a count that is 0 with all others", "less", 1, around(50, 0, 0), false, 0},
	} {
		_, percent, stray := Stray(sprout.TestMetric{Better: c.better}, c.value, c.sisters)
		if stray != c.stray || math.Abs(percent-c.percent) > 1.5 {
			t.Errorf("%s: stray %v by %.1f %%, want %v by %.1f %%", c.name, stray, percent, c.stray, c.percent)
		}
	}
	for _, c := range []struct {
		better          string
		value, accepted float64
		still           bool
	}{{"more", 300, 300, true}, {"more", 275, 300, true}, {"more", 260, 300, false}, {"less", 325, 300, true}, {"less", 340, 300, false}, {"less", 1, 300, true}} {
		if got := StillAccepted(c.better, c.value, c.accepted); got != c.still {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
