package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A pacer tells how slow the processors are during a trial: a virtual one, whose
// core others share, takes up to a half more time for the same work from one
// trial to the next, and counts all of it as its own. Once a second it does a
// piece of work that never changes, and takes the time of its thread for it. That
// is for who reads the figures: no line is corrected by it, as a piece suffers more
// from what runs beside it than a trial does.
type pacer struct {
	stop   chan struct{}
	loop   sync.WaitGroup
	pieces []float64 // milliseconds
	err    error
}

// paceEvery spaces the pieces of work, each of about 10 ms: one part in a hundred
// of a processor.
const paceEvery = time.Second

func startPacer() *pacer {
	p := &pacer{stop: make(chan struct{})}
	p.loop.Go(p.run)
	return p
}

func (p *pacer) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	work := newPiece()
	tick := time.NewTicker(paceEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		began, err := threadTime()
		work.do()
		ended, err2 := threadTime()
		if p.err = errors.Join(err, err2); p.err != nil {
			return
		}
		p.pieces = append(p.pieces, float64((ended-began).Microseconds())/1000)
	}
}

// end returns what a piece took on average, in milliseconds: a trial pays for the
// slow minutes as well as for the quick ones.
func (p *pacer) end() (float64, error) {
	close(p.stop)
	p.loop.Wait()
	if p.err != nil || len(p.pieces) == 0 {
		return 0, errors.Join(p.err, fmt.Errorf("cannot tell how quick the processors were: %d samples", len(p.pieces)))
	}
	sum := 0.0
	for _, took := range p.pieces {
		sum += took
	}
	return sum / float64(len(p.pieces)), nil
}

// threadTime is the processor time of the calling thread.
func threadTime() (time.Duration, error) {
	var at unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at)
	return time.Duration(at.Nano()), err
}

// A piece of work is of the kinds that servers do: to write and read JSON, to
// hash, to sort, and to follow pointers through more memory than a cache has.
type piece struct {
	rows []pieceRow
	next []int32
}

type pieceRow struct {
	ID   int      `json:"id"`
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

func newPiece() *piece {
	p := &piece{next: make([]int32, 1<<22)}
	for i := range 200 {
		p.rows = append(p.rows, pieceRow{i * 7919 % 200, strings.Repeat("m", i%40), []string{"rack-1", "gpu"}})
	}
	const stride = 1_000_003 // odd: every place is visited
	for i := range p.next {
		p.next[i] = int32((i + stride) & (len(p.next) - 1))
	}
	return p
}

func (p *piece) do() {
	var sum [sha256.Size]byte
	for range 8 {
		raw, err := json.Marshal(p.rows)
		var back []pieceRow
		if err = errors.Join(err, json.Unmarshal(raw, &back)); err != nil {
			panic(err) // what it wrote itself
		}
		slices.SortFunc(back, func(a, b pieceRow) int { return a.ID - b.ID })
		sum = sha256.Sum256(append(raw, sum[:]...))
	}
	at := int32(sum[0])
	for range 1 << 16 {
		at = p.next[at]
	}
	runtime.KeepAlive(at)
}
