package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"sprout/bench"
)

// mayLose is the share of packets that may stay without an answer.
const mayLose = 0.01

// highest is the rate that each reaches with next to nothing lost.
func (b *bed) highest() (line bench.Line, err error) {
	ceiling, err := b.top(echoServer, 0)
	if err != nil {
		return line, err
	}
	fmt.Printf("perfdhcp's own ceiling, against a responder that only answers: %.0f exchanges/s\n", ceiling)
	sprouts, keas, err := b.alternate(func(kind string) (float64, error) { return b.top(kind, 0) })
	return bench.Line{Sprout: sprouts, Peer: kea, Other: keas}, err
}

// alternate measures ours and Kea in turn, and returns the medians.
func (b *bed) alternate(measure func(kind string) (float64, error)) (sprouts, keas float64, err error) {
	return b.inTurn(func() (float64, error) { return measure(ours) }, func() (float64, error) { return measure(kea) })
}

func (b *bed) inTurn(one, other func() (float64, error)) (float64, float64, error) {
	found := [2][]float64{}
	for range b.rounds {
		for i, measure := range []func() (float64, error){one, other} {
			v, err := measure()
			if err != nil {
				return 0, 0, err
			}
			found[i] = append(found[i], v)
		}
	}
	return median(found[0]), median(found[1]), nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// top finds the highest rate of a fresh server: it asks quicker by a fifth until
// too much is lost, then in the middle between.
func (b *bed) top(kind string, reservations int) (best float64, err error) {
	err = b.during(kind, reservations, func(*bench.Process) error {
		good, bad := 0.0, 0.0
		for bad == 0 || bad-good > bad/30 {
			rate := between(good, bad)
			t, err := b.generate(int(rate), false)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s: %.0f/s asked, %.0f/s completed, %.2f %% lost\n", kind, rate, t.rate, 100*t.lost)
			if t.lost >= mayLose {
				bad = rate
				continue
			}
			good, best = rate, max(best, t.rate)
			if t.rate < rate/2 {
				return nil // the generator is at its end
			}
		}
		return nil
	})
	return best, err
}

func between(good, bad float64) float64 {
	switch {
	case bad > 0:
		return (good + bad) / 2
	case good > 0:
		return good * 1.2
	}
	return 3000
}

// cost is the server's CPU time of an exchange, in microseconds.
func (b *bed) cost() (line bench.Line, err error) {
	sprouts, keas, err := b.alternate(func(kind string) (us float64, err error) {
		err = b.during(kind, 0, func(s *bench.Process) error {
			before, err := s.CPU()
			if err != nil {
				return err
			}
			t, err := b.generate(3000, false)
			if err != nil {
				return err
			}
			if err := t.sound(); err != nil {
				return fmt.Errorf("what an exchange costs %s cannot be told at 3,000 a second: %w", kind, err)
			}
			after, err := s.CPU()
			us = float64((after - before).Microseconds()) / float64(t.exchanges)
			fmt.Fprintf(os.Stderr, "%s: %.1f µs of CPU an exchange at %.0f/s, %.2f %% lost\n", kind, us, t.rate, 100*t.lost)
			return err
		})
		return us, err
	})
	return bench.Line{Sprout: sprouts, Peer: kea, Other: keas}, err
}

// delay is the 99th percentile of the time to an answer at 1,000 exchanges a
// second, in milliseconds, over both kinds of answers.
func (b *bed) delay() (line bench.Line, err error) {
	if err := b.tellDisk(); err != nil {
		return line, err
	}
	sprouts, keas, err := b.alternate(func(kind string) (ms float64, err error) {
		err = b.during(kind, 0, func(*bench.Process) error {
			t, err := b.generate(1000, true)
			if err != nil {
				return err
			}
			if err := t.sound(); err != nil {
				return fmt.Errorf("the delay of %s cannot be told at 1,000 a second: %w", kind, err)
			}
			if len(t.delays) == 0 {
				return errors.New("cannot find delays in what perfdhcp says")
			}
			at := func(share float64) float64 { return t.delays[int(share*float64(len(t.delays)-1))] }
			ms = at(0.99)
			fmt.Fprintf(os.Stderr, "%s: of %d answers half within %.3f ms, 99 %% within %.3f, the last %.3f\n", kind, len(t.delays), at(0.5), ms, at(1))
			return nil
		})
		return ms, err
	})
	return bench.Line{Sprout: sprouts, Peer: kea, Other: keas}, err
}

// reserved is the highest rate with many reservations beside that with few.
func (b *bed) reserved() (line bench.Line, err error) {
	const many, few = 100_000, 100
	with, without, err := b.inTurn(
		func() (float64, error) { return b.top(ours, many) },
		func() (float64, error) { return b.top(ours, few) },
	)
	return bench.Line{Sprout: with, Peer: "at-100", Other: without}, err
}
