// Api measures Sprout against the bare thing beside it, in the same run and
// by turns, because a figure alone says as much of the machine as of Sprout. Each
// bench prints one line: BENCH <name> sprout=<n> <peer>=<n> ratio=<r>, or
// bound=<n> where there is no peer. It is no part of the product.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"
)

// A bench is one row: what it measures on the ground that all share.
type bench struct {
	name string
	run  func(ctx context.Context, g *ground) (result, error)
}

// api lists the benches of `make bench-api`. A new one is a file with its run
// and a row here.
func api() []bench {
	return []bench{
		{"list-last-page", listLastPage},
		{"list-vs-sql", listVersusSQL},
		{"get-vs-sql", getVersusSQL},
		{"server-rss-mb", serverRSS}, // after lists and gets: it is what they leave
		{"cli-start-ms", cliStart},
	}
}

// A result is what a bench found.
type result struct {
	sprout float64
	peer   string  // what it is compared with; "": a bound
	other  float64 // the peer's figure, or the bound
}

func (r result) line(name string) string {
	if r.peer == "" {
		return fmt.Sprintf("BENCH %s sprout=%.4g bound=%.4g", name, r.sprout, r.other)
	}
	return fmt.Sprintf("BENCH %s sprout=%.4g %s=%.4g ratio=%.3f", name, r.sprout, r.peer, r.other, r.sprout/r.other)
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
		if stopped := g.close(); err == nil {
			err = stopped
		}
	}()
	for _, b := range api() {
		if len(names) > 0 && !slices.Contains(names, b.name) {
			continue
		}
		r, err := b.run(ctx, g)
		if err != nil {
			return fmt.Errorf("cannot measure %s: %w", b.name, err)
		}
		fmt.Println(r.line(b.name))
	}
	return nil
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
