// Package builtin is the allocation that Sprout brings: the smallest machine
// that fits, and for every constraint how many machines it removed and which
// came nearest. It is pure: it knows no store and changes nothing.
package builtin

import (
	"cmp"
	"math"
	"slices"

	"sprout"
	"sprout/alloc"
)

var _ alloc.Provider = Provider{}

// A Provider chooses the tightest fit.
type Provider struct{}

// nearest is how many near misses a removal names.
const nearest = 3

// Choose implements alloc.Provider. A machine counts for the first constraint
// that removes it; it is a near miss of a constraint if it fails that only.
func (Provider) Choose(r alloc.Request, machines []sprout.Machine) (fit []sprout.Machine, removed []alloc.Removal) {
	rules := constraints(r)
	counts := make([]int, len(rules))
	misses := make([][]sprout.Machine, len(rules))
	for at := range machines {
		m := &machines[at] // there may be thousands, and a machine is large
		first, failed := -1, 0
		for i, c := range rules {
			if c.meets(m) {
				continue
			}
			if failed++; first < 0 {
				first = i
			}
		}
		if failed == 0 {
			fit = append(fit, *m)
			continue
		}
		counts[first]++
		if failed == 1 {
			misses[first] = append(misses[first], *m)
		}
	}
	for i, c := range rules {
		if counts[i] > 0 {
			removed = append(removed, alloc.Removal{Constraint: c.name, Removed: counts[i], Nearest: c.nearest(misses[i])})
		}
	}
	return inOrder(r, fit), removed
}

// Lacks implements alloc.Provider.
func (Provider) Lacks(r alloc.Request, m *sprout.Machine) (lacks []alloc.Lack) {
	for _, c := range constraints(r) {
		if !c.meets(m) {
			lacks = append(lacks, alloc.Lack{Constraint: c.name, Has: c.has(m)})
		}
	}
	return lacks
}

// inOrder sorts machines that fit. There may be thousands: what each counts for is
// worked out once.
func inOrder(r alloc.Request, fit []sprout.Machine) []sprout.Machine {
	type counted struct {
		size  float64
		spare int
		at    int
	}
	all := make([]counted, len(fit))
	for i := range fit {
		all[i] = counted{size(&fit[i]), spareTags(r, &fit[i]), i}
	}
	slices.SortFunc(all, func(a, b counted) int {
		if n := cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.spare, b.spare)); n != 0 {
			return n
		}
		return tighter(&fit[a.at], &fit[b.at])
	})
	var sorted []sprout.Machine
	for _, c := range all {
		sorted = append(sorted, fit[c.at])
	}
	return sorted
}

// nearest names the machines that miss c by least.
func (c constraint) nearest(misses []sprout.Machine) []string {
	slices.SortStableFunc(misses, func(a, b sprout.Machine) int {
		if c.size != nil {
			if n := cmp.Compare(c.size(&b), c.size(&a)); n != 0 {
				return n
			}
		}
		return cmp.Compare(a.Name, b.Name)
	})
	out := []string{}
	for _, m := range misses[:min(nearest, len(misses))] {
		out = append(out, m.Name+" ("+c.has(&m)+")")
	}
	return out
}

// tighter orders machines of one size, of which the one with the fewest tags that
// nobody asked for went first (a special machine is kept for who asks): those with
// fewer warnings, then by name.
func tighter(a, b *sprout.Machine) int {
	return cmp.Or(
		cmp.Compare(len(a.Problems), len(b.Problems)),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.ID, b.ID),
	)
}

// size is the product of what a machine has, as a logarithm: twice the memory
// weighs as much as twice the cores. What was asked for divides all alike, so
// the order is that of the waste.
func size(m *sprout.Machine) float64 {
	sum := 0.0
	for _, have := range []float64{float64(cores(m)), float64(memory(m)), float64(largestDisk(m)), float64(disks(m)), float64(nics(m))} {
		sum += math.Log2(1 + have)
	}
	return sum
}

func spareTags(r alloc.Request, m *sprout.Machine) int {
	n := 0
	for _, t := range m.Tags {
		if !slices.Contains(r.Tags, t) {
			n++
		}
	}
	return n
}
