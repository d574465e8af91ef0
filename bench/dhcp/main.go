// Dhcp measures the builtin DHCP server beside Kea: both in a network namespace
// of their own, with perfdhcp at the other end of a cable. It ends with 1 if a
// line is outside of its limit. It is no part of the product. It needs root, to
// make the namespaces, and Debian's kea-dhcp4-server and kea-admin.
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

// A row is one line, and how it is found.
type row struct {
	name string
	line func(b *bed) (bench.Line, error)
}

// rows lists the lines of `make bench-dhcp`.
func rows() []row {
	return []row{
		{"dhcp-vs-kea", (*bed).highest},
		{"dhcp-cpu-vs-kea", (*bed).cost},
		{"dhcp-p99-vs-kea", (*bed).delay},
		{"dhcp-reservations-flat", (*bed).reserved},
		{"dhcp-change-flat", (*bed).change},
	}
}

func main() {
	b := &bed{}
	serve := flag.String("serve", "", "be a server under test: sprout or echo")
	flag.StringVar(&b.dir, "dir", "", "directory for what the servers store; empty: a temporary one")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each is measured: the median counts")
	flag.IntVar(&b.clients, "clients", 50_000, "how many clients perfdhcp speaks for")
	flag.IntVar(&b.reservations, "reservations", 0, "how many addresses are reserved, with --serve")
	flag.DurationVar(&b.period, "period", 5*time.Second, "how long each rate is held")
	flag.StringVar(&b.profile, "profile", "", "file for a CPU profile of Sprout's server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, b, *serve, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, b *bed, serve string, names []string) error {
	switch {
	case serve == "echo":
		return echo(ctx)
	case serve != "":
		return serveSprout(ctx, b)
	case os.Getenv(insideEnv) == "":
		return goInside(ctx)
	}
	return run(ctx, b, names)
}

// run prints the lines that are named, or every one.
func run(ctx context.Context, b *bed, names []string) (err error) {
	if err := b.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, r := range rows() {
		if len(names) > 0 && !slices.Contains(names, r.name) {
			continue
		}
		line, failed := r.line(b)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("cannot measure %s: %w", r.name, failed))
			continue
		}
		line.Name = r.name
		err = errors.Join(err, line.Print(os.Stdout)) // the others are measured all the same
	}
	return err
}
