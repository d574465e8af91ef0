// Api measures Sprout against the bare thing beside it, in the same run and
// by turns, because a figure alone says as much of the machine as of Sprout. It
// ends with 1 if a line is outside of its limit. It is no part of the product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"sprout/bench"
)

// A row is one benchmark: what it measures on the ground that all share.
type row struct {
	name string
	run  func(ctx context.Context, g *ground) (bench.Line, error)
}

// api lists the benches of `make bench-api`. A new one is a file with its run
// and a row here.
func api() []row {
	return []row{
		{"list-last-page", listLastPage},
		{"list-vs-sql", listVersusSQL},
		{"get-vs-sql", getVersusSQL},
		{"server-rss-mb", serverRSS}, // after lists and gets: it is what they leave
		{"cli-start-ms", cliStart},
	}
}

func main() {
	binary := flag.String("sprout", "bin/sprout", "the program to measure")
	machines := flag.Int("machines", 100_000, "how many machines the control plane holds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *binary, *machines, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what is named, or everything.
func run(ctx context.Context, binary string, machines int, names []string) (err error) {
	g, err := newGround(ctx, binary, machines)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, g.close())
	}()
	for _, b := range api() {
		if len(names) > 0 && !slices.Contains(names, b.name) {
			continue
		}
		line, failed := b.run(ctx, g)
		if failed != nil {
			return fmt.Errorf("cannot measure %s: %w", b.name, failed)
		}
		line.Name = b.name
		err = errors.Join(err, line.Print(os.Stdout)) // the others are measured all the same
	}
	return err
}

// pairs measures two things n times by turns, so that whatever else the machine
// does falls on both, and returns the median of each.
func pairs(n int, sprout, peer func() (float64, error)) (float64, float64, error) {
	var a, b []float64
	for i := range n + 1 {
		first, second, one, other := sprout, peer, &a, &b
		if i%2 == 1 {
			first, second, one, other = peer, sprout, &b, &a
		}
		x, err := first()
		if err != nil {
			return 0, 0, err
		}
		y, err := second()
		if err != nil {
			return 0, 0, err
		}
		if i > 0 { // the first is to warm up
			*one, *other = append(*one, x), append(*other, y)
		}
	}
	return median(a), median(b), nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// milliseconds times do.
func milliseconds(do func() error) func() (float64, error) {
	return func() (float64, error) {
		began := time.Now()
		err := do()
		return float64(time.Since(began).Microseconds()) / 1000, err
	}
}
