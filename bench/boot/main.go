// Boot measures how fast the site's agent serves boot files, beside the servers
// that people use for that: the same file, the same client, the same host, turn by
// turn. It ends with 1 if a line is outside of its limit. It is no part of the
// product. It needs root, for a peer that insists on it, and Debian's tftpd-hpa,
// nginx-light and the program of its atftpd.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"sprout/bench"
)

// A row is one line: what Sprout is compared with, and in what.
type row struct {
	name    string
	peer    server
	measure func(b *bed, s server) (float64, error) // MB/s
	whole   func(b *bed) (bench.Line, error)        // in place of both
}

// rows lists the lines of `make bench-boot`.
func rows() []row {
	return []row{
		{name: "tftp-vs-hpa", peer: hpa, measure: func(b *bed, s server) (float64, error) { return b.tftp(s, 1) }},
		{name: "tftp-window", peer: atftpd, measure: func(b *bed, s server) (float64, error) { return b.tftp(s, 16) }},
		{name: "http-vs-nginx", peer: nginx, measure: (*bed).http},
		{name: "boot-storm-p99", whole: (*bed).storm},
		{name: "boot-away-p99", whole: (*bed).away},
	}
}

// fileName and fileSize are of what is fetched: an initrd's size.
const (
	fileName = "initrd"
	fileSize = 20_000_000
)

// A bed is what the measurements share.
type bed struct {
	dir    string // with the file; world readable
	turns  int
	atftpd string
	within time.Duration // of the storm
}

func main() {
	b := &bed{}
	site := flag.String("site", "", "be a site's agent, as this file configures it")
	serve := flag.String("serve", "", "be the server under test, of this directory")
	flag.IntVar(&b.turns, "turns", 9, "how often each server is measured: the median counts")
	flag.DurationVar(&b.within, "within", time.Second, "in which time the machines of the storm ask")
	flag.StringVar(&b.atftpd, "atftpd", "/usr/sbin/atftpd", "the program of Debian's atftpd")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := b.run
	if *site != "" {
		run = func(ctx context.Context, _ []string) error { return serveSite(ctx, *site) }
	}
	if *serve != "" {
		run = func(ctx context.Context, _ []string) error { return serveSprout(ctx, *serve) }
	}
	if err := run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run prints the lines that are named, or every one.
func (b *bed) run(ctx context.Context, names []string) (err error) {
	if err := b.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	for _, r := range rows() {
		if ctx.Err() != nil || len(names) > 0 && !slices.Contains(names, r.name) {
			continue
		}
		line, failed := b.line(ctx, r)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("cannot measure %s: %w", r.name, failed))
			continue
		}
		err = errors.Join(err, line.Print(os.Stdout)) // the others are measured all the same
	}
	return errors.Join(err, ctx.Err())
}

// open makes the directory with the file.
func (b *bed) open() (err error) {
	if b.dir, err = os.MkdirTemp("", "bench-boot-"); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil { // the peers run as others
		return err
	}
	f, err := os.OpenFile(filepath.Join(b.dir, fileName), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, fileSize)
	return errors.Join(err, f.Close())
}

// line measures Sprout and the peer in turns. The first turn only warms up.
func (b *bed) line(ctx context.Context, r row) (line bench.Line, err error) {
	if r.whole != nil {
		return r.whole(b)
	}
	servers := []server{sprouts, r.peer}
	rates := make([][]float64, len(servers))
	for i := range servers {
		p, err := b.start(servers[i])
		if err != nil {
			return line, err
		}
		defer p.Stop()
	}
	for turn := range b.turns + 1 {
		for i, s := range servers {
			rate, err := r.measure(b, s)
			if err != nil || ctx.Err() != nil {
				return line, errors.Join(err, ctx.Err())
			}
			if turn > 0 {
				rates[i] = append(rates[i], rate)
			}
		}
	}
	for i := range rates {
		slices.Sort(rates[i])
		fmt.Fprintf(os.Stderr, "%s: %s %.0f MB/s, from %.0f to %.0f\n", r.name, servers[i].name, rates[i][b.turns/2], rates[i][0], rates[i][b.turns-1])
	}
	return bench.Line{Name: r.name, Sprout: rates[0][b.turns/2], Peer: r.peer.name, Other: rates[1][b.turns/2]}, nil
}
