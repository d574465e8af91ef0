// Alloc measures how fast machines are allocated by many clients at once, in a
// control plane that runs whole in this process, beside bare guarded updates of the same rows in
// the same PostgreSQL, by turns in one run. It ends with 1 if the line is outside
// of its limit. It is no part of the product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"sprout/bench"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each thing is measured")
	machines := flag.Int("machines", 5000, "how many machines there are, all of which a round gives out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *machines); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures by turns; the first time warms both up.
func run(ctx context.Context, rounds, machines int) (err error) {
	g, err := newGround(ctx, machines)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	var ours, theirs []float64
	for i := range rounds + 1 {
		rate, bare, err := g.measure(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("round %d: %.0f allocations/s, %.0f bare updates/s\n", i, rate, bare)
		if i > 0 {
			ours, theirs = append(ours, rate), append(theirs, bare)
		}
	}
	whole, err := g.all(ctx, g.request)
	if err != nil {
		return err
	}
	fmt.Printf("as requests with a token and an Idempotency-Key: %.0f allocations/s\n", whole)
	return bench.Line{Name: "alloc-vs-update", Sprout: bench.Median(ours), Peer: "update", Other: bench.Median(theirs)}.Print(os.Stdout)
}
