// Dns measures the site's name server beside NSD and CoreDNS: the same 50,000
// names, the same queries, the same host, turn by turn. It ends with 1 if a line
// is outside of its limit. It is no part of the product.
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

func main() {
	var b trial
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		exit(serve(os.Args[2]))
	}
	flag.StringVar(&b.coredns, "coredns", "bin/coredns", "CoreDNS, as built from bench/dns/testdata/coredns")
	flag.IntVar(&b.turns, "turns", 7, "how often each server is measured")
	flag.DurationVar(&b.each, "each", 4*time.Second, "how long one measurement takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(b.run(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A trial is all of the measurement.
type trial struct {
	coredns string
	turns   int
	each    time.Duration
	dir     string
}

// run measures the servers in turns and prints the lines.
func (b *trial) run(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "bench-dns-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // what is left is in the temporary directory
	if err := b.write(); err != nil {
		return err
	}
	servers := []*server{b.sprout(), b.nsd(), b.peer()}
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	for _, s := range servers {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	for range b.turns {
		for _, s := range servers {
			if err := b.measure(ctx, s); err != nil {
				return err
			}
		}
	}
	return report(servers[0], servers[1], servers[2])
}

// report prints the lines; one outside of its limit does not keep others back.
func report(sprout, nsd, coredns *server) (err error) {
	for _, l := range []bench.Line{
		{Name: "dns-vs-coredns", Sprout: median(sprout.rates), Peer: "coredns", Other: median(coredns.rates)},
		{Name: "dns-vs-nsd", Sprout: median(sprout.rates), Peer: "nsd", Other: median(nsd.rates)},
		{Name: "dns-cpu-vs-coredns", Sprout: median(sprout.costs), Peer: "coredns", Other: median(coredns.costs)},
		{Name: "dns-cpu-vs-nsd", Sprout: median(sprout.costs), Peer: "nsd", Other: median(nsd.costs)},
	} {
		err = errors.Join(err, l.Print(os.Stdout))
	}
	return err
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
