package hwtest

import (
	"math"
	"slices"

	"sprout"
)

const (
	// LeastSisters is how many devices of a model it takes to say what is usual.
	LeastSisters = 8
	// leastShare is how much worse than the median a figure is at least, as a part of
	// it: sisters that are all but equal do not make a problem of a trifle.
	leastShare = 0.2
	// farOff is how many standard deviations it is off at least. The modified z-score
	// of Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993), which
	// outliers among the sisters do not spoil, as they would a mean.
	farOff = 3.5
	// sigma is the standard deviation of a normal distribution whose median absolute
	// deviation is 1.
	sigma = 1.4826
	// worseAgain is by how much a figure that was accepted may get worse.
	worseAgain = 0.1
)

// A Spread is how the values of a figure are spread. Deviation is the median
// absolute deviation.
type Spread struct{ Least, Median, Deviation, Most float64 }

// SpreadOf measures values, of which there is one at least.
func SpreadOf(values []float64) Spread {
	values = slices.Sorted(slices.Values(values))
	s := Spread{Least: values[0], Median: median(values), Most: values[len(values)-1]}
	off := make([]float64, len(values))
	for i, v := range values {
		off[i] = math.Abs(v - s.Median)
	}
	slices.Sort(off)
	s.Deviation = median(off)
	return s
}

// median is that of sorted values.
func median(values []float64) float64 {
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

// Stray tells whether a value is far worse than those of its sisters, by how many
// percent of their median, and what is usual for them. One that is far better is
// none, and so is one of a figure of which neither more nor less is better.
func Stray(m sprout.TestMetric, value float64, sisters []float64) (usual Spread, percent float64, stray bool) {
	if m.Better == "" || len(sisters) < LeastSisters {
		return Spread{}, 0, false
	}
	usual = SpreadOf(sisters)
	worse := worseBy(m.Better, value, usual.Median)
	if usual.Median == 0 {
		return usual, 0, false
	}
	share := worse / math.Abs(usual.Median)
	return usual, 100 * share, share >= leastShare && worse > farOff*sigma*usual.Deviation
}

// StillAccepted tells whether a value is no worse than the one that was accepted.
func StillAccepted(better string, value, accepted float64) bool {
	return worseBy(better, value, accepted) <= worseAgain*math.Abs(accepted)
}

// worseBy is by how much a value is worse than another; less than 0: it is better.
func worseBy(better string, value, than float64) float64 {
	if better == "less" {
		return value - than
	}
	return than - value
}
