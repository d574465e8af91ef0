// Sim measures Sprout at a site's, and at a company's, size: it runs `sprout sim`
// and holds what that reports to what was promised. It ends with 1 if a line is
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
	"time"

	"sprout/bench"
)

// A row is one line: what it takes from the trials that all share. A trial runs
// when the first row asks for it.
type row struct {
	name string
	line func(t *trials) (bench.Line, error)
}

// rows lists the lines of `make bench-sim`. Those that compare come first, for
// they need the small trials on either side of the large one.
func rows() []row {
	return []row{
		{"sim-cpu-flat", flat(func(r measured) float64 { return r.Cost.CPUPerMachine })},
		{"sim-sql-flat", flat(func(r measured) float64 { return r.Cost.SQLPerMachine })},
		{"sim-bus-flat", flat(func(r measured) float64 { return r.Cost.BusPerMachine })},
		{"sim-completion", of((*trials).large, func(r measured) (float64, float64) {
			return float64(r.Reached.Deployed) / float64(r.Setup.Machines), 1
		})},
		{"sim-ready-per-min", of((*trials).large, func(r measured) (float64, float64) { return r.PerMinute.Ready, 1000 })},
		{"sim-rss-mb", of((*trials).large, func(r measured) (float64, float64) { return r.Cost.ProductMB, 1024 })},
		{"agent-kb-per-machine", of((*trials).large, func(r measured) (float64, float64) { return r.Cost.AgentPerMachine, 20 })},
		{"sim-storm-lost", of((*trials).storm, func(r measured) (float64, float64) { return float64(gaveUp(r)), 0 })},
	}
}

// of is a line whose figure and bound one trial tells.
func of(run func(*trials) (measured, error), figures func(measured) (sprout, bound float64)) func(*trials) (bench.Line, error) {
	return func(t *trials) (line bench.Line, err error) {
		r, err := run(t)
		if err != nil {
			return line, err
		}
		line.Sprout, line.Other = figures(r)
		return line, nil
	}
}

// flat is a line of what a machine costs among many, against among few: as those
// cost on average that were tried before the many and after them, since a host
// that others share is not as quick in one quarter of an hour as in the next.
func flat(cost func(measured) float64) func(*trials) (bench.Line, error) {
	return func(t *trials) (bench.Line, error) {
		before, err1 := t.before()
		large, err2 := t.large()
		after, err3 := t.after()
		return bench.Line{
			Sprout: cost(large),
			Peer:   fmt.Sprintf("at-%d", t.few),
			Other:  (cost(before) + cost(after)) / 2,
		}, errors.Join(err1, err2, err3)
	}
}

// gaveUp counts the times that a firmware ran out of its retries, and the machines
// that were never heard of.
func gaveUp(r measured) int {
	return r.BootRetries + r.Setup.Machines - r.Reached.Discovered
}

func main() {
	t := &trials{}
	flag.StringVar(&t.binary, "sprout", "bin/sprout", "the program to measure")
	flag.IntVar(&t.sites, "sites", 20, "how many sites")
	flag.IntVar(&t.many, "machines", 10_000, "how many machines the large trial and the storm have")
	flag.IntVar(&t.few, "few", 1_000, "how many each small trial has, before and after the large one")
	flag.DurationVar(&t.limit, "limit", 35*time.Minute, "how long all trials may take together")
	flag.StringVar(&t.keep, "keep", "", "directory to keep the trials' reports in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, t, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run prints the lines that are named, or every one.
func run(ctx context.Context, t *trials, names []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	t.begin(ctx)
	for _, r := range rows() {
		if len(names) > 0 && !slices.Contains(names, r.name) {
			continue
		}
		line, failed := r.line(t)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("cannot measure %s: %w", r.name, failed))
			continue
		}
		line.Name = r.name
		err = errors.Join(err, line.Print(os.Stdout)) // the others are measured all the same
	}
	return err
}
