// Ipam measures how fast addresses are given out of one subnet to many clients
// at once: beside itself, as the subnet fills, and beside bare inserts of one row
// each into the same PostgreSQL, by turns in one run. It ends with 1 if a line is
// outside of its limit. It is no part of the product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"sprout/bench"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each thing is measured")
	count := flag.Int("count", 5000, "how many addresses a round gives out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *count); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the subnet as it fills.
func run(ctx context.Context, rounds, count int) (err error) {
	g, err := newGround(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	var rates, shares []float64
	for _, percent := range []int{0, 50, 99} {
		if err := g.fill(ctx, percent); err != nil {
			return err
		}
		rate, bare, first, err := g.measure(ctx, rounds, count)
		if err != nil {
			return fmt.Errorf("cannot measure at %d %%: %w", percent, err)
		}
		fmt.Printf("at %d %% full: %.0f allocations/s (%.0f the first time), %.0f bare inserts/s\n", percent, rate, first, bare)
		rates, shares = append(rates, rate), append(shares, rate/bare)
	}
	slowest, fastest := slices.Min(rates), slices.Max(rates)
	worst := slices.Index(shares, slices.Min(shares))
	flat := bench.Line{Name: "ipam-flat", Sprout: slowest, Peer: "fastest", Other: fastest}
	insert := bench.Line{Name: "ipam-vs-insert", Sprout: rates[worst], Peer: "insert", Other: rates[worst] / shares[worst]}
	return errors.Join(flat.Print(os.Stdout), insert.Print(os.Stdout))
}
