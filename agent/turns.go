package agent

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"sprout"
)

const (
	// turnGrace is how long a machine may take no byte, or not ask, before it
	// loses its turn or its place: longer than a ramdisk needs to notice that its
	// link was cut and to come back.
	turnGrace = time.Minute
	// usualAtOnce is how many download at once where nothing is configured: on a
	// link of 10 Gb/s each has 20 MB/s.
	usualAtOnce = 64
	// usualShare is the part of a configured bandwidth that one download should
	// have, in bytes/s: what the limit of write-image counts on.
	usualShare = 10e6
	// slowTurn is how long the queue may stand still, beyond what the images that
	// are downloaded take at usualShare.
	slowTurn = 15 * time.Minute
)

// turns says which machines download an image now, and which wait: first come,
// first served. They are in memory only: after a restart the machines ask again.
// All methods may be called at once.
type turns struct {
	atOnce int
	limit  *rate.Limiter // of all downloads together; nil: none
	piece  int64         // bytes that are sent between two looks
	slow   time.Duration // slowTurn
	now    func() time.Time
	news   chan *turn // whose run is to look again: it waits, or has its turn

	mu    sync.Mutex
	all   map[sprout.AttemptID]*turn
	last  int64     // place that was given last
	moved time.Time // when a turn was given or ended last
}

// A turn is one boot attempt among those that download. It stays until the attempt ends.
type turn struct {
	attempt sprout.AttemptID
	machine sprout.MachineID
	place   int64 // in the queue; the one that asked first has the least
	begun   bool  // it has bytes already: it goes before those that have none
	state   turnState
	wake    chan struct{} // closed when its turn comes
	at      time.Time     // when it last asked or took bytes
	since   time.Time     // when it came into this state
	size    int64         // bytes of its image
}

type turnState int

const (
	waits turnState = iota
	loads           // it is its turn
	rests           // its download ended, or was broken off
)

// newTurns is for at most atOnce downloads (0: as many as the bandwidth allows,
// -1: any number) that share so many bytes/s (0: any).
func newTurns(atOnce int, bandwidth int64, now func() time.Time) *turns {
	t := &turns{atOnce: atOnce, piece: 1 << 20, slow: slowTurn, now: now, news: make(chan *turn, 1024), all: map[sprout.AttemptID]*turn{}, moved: now()}
	if bandwidth > 0 {
		t.piece = min(max(bandwidth/100, 16<<10), t.piece)
		t.limit = rate.NewLimiter(rate.Limit(bandwidth), int(t.piece))
	}
	switch {
	case atOnce < 0:
		t.atOnce = math.MaxInt
	case atOnce == 0 && bandwidth > 0:
		t.atOnce = int(max(1, bandwidth/usualShare))
	case atOnce == 0:
		t.atOnce = usualAtOnce
	}
	return t
}

// ask gives the attempt its turn, or its place in the queue, and tells whether it
// had none before; the channel closes when its turn comes. begun says that it has
// bytes already.
func (t *turns) ask(attempt sprout.AttemptID, machine sprout.MachineID, size int64, begun bool) (sprout.Turn, bool, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.all[attempt]
	if one == nil {
		t.last++
		one = &turn{attempt: attempt, machine: machine, place: t.last, state: rests}
		t.all[attempt] = one
	}
	one.size, one.begun = size, one.begun || begun
	joins := t.queue(one)
	return t.word(one), joins, one.wake
}

// again is ask for a download under way that has lost its turn: it has kept its
// place. False: its attempt has ended.
func (t *turns) again(attempt sprout.AttemptID) (<-chan struct{}, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.all[attempt]
	if one == nil {
		return nil, false
	}
	t.queue(one)
	return one.wake, true
}

// queue has one wait for its turn, unless it has it or waits already, and tells
// whether it now has to.
func (t *turns) queue(one *turn) (joins bool) {
	one.at = t.now()
	joins = one.state == rests
	if joins {
		one.enter(waits, one.at)
		one.wake = make(chan struct{})
	}
	t.give()
	if joins = joins && one.state == waits; joins {
		t.tell(one)
	}
	return joins
}

// took notes that the attempt took bytes, and tells whether it is still its turn.
func (t *turns) took(attempt sprout.AttemptID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.all[attempt]
	if one == nil {
		return false
	}
	one.at = t.now()
	return one.state == loads
}

// done ends the attempt's turn: it has the whole image.
func (t *turns) done(attempt sprout.AttemptID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one := t.all[attempt]; one != nil {
		t.rest(one)
		t.give()
	}
}

// end forgets the attempts of the machine.
func (t *turns) end(machine sprout.MachineID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, one := range t.all {
		if one.machine == machine {
			t.rest(one)
			delete(t.all, id)
		}
	}
	t.give()
}

// sweep takes the turn, or the place, of machines that were not heard of for turnGrace.
func (t *turns) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.all {
		if one.state != rests && t.now().Sub(one.at) > turnGrace {
			t.rest(one)
		}
	}
	t.give()
}

// of is where the attempt stands; false: it has not asked.
func (t *turns) of(attempt sprout.AttemptID) (sprout.Turn, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.all[attempt]
	if one == nil {
		return sprout.Turn{}, false
	}
	return t.word(one), true
}

// count is how many download and how many wait.
func (t *turns) count() (loading, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.in(loads)), len(t.in(waits))
}

// stuck says why the queue does not move, where it does not; else both are empty.
func (t *turns) stuck() (reason, evidence string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue, loading := t.in(waits), t.in(loads)
	if len(queue) == 0 || len(loading) == 0 {
		return "", ""
	}
	share := float64(usualShare)
	if t.limit != nil {
		share = min(share, float64(t.limit.Limit())/float64(len(loading)))
	}
	allowed := t.slow
	for _, one := range loading {
		allowed = max(allowed, t.slow+time.Duration(float64(one.size)/share*float64(time.Second)))
	}
	still := t.moved
	if first := eldest(queue).since; first.After(still) {
		still = first
	}
	if t.now().Sub(still) <= allowed {
		return "", ""
	}
	first := eldest(loading)
	return "no machine has come to its turn to download since " + still.UTC().Format(time.RFC3339),
		fmt.Sprintf("%d wait, %d download: machine %s does since %s", len(queue), len(loading), first.machine, first.since.UTC().Format(time.RFC3339))
}

// eldest is the one that is in its state for the longest.
func eldest(list []*turn) *turn {
	return slices.MinFunc(list, func(a, b *turn) int { return a.since.Compare(b.since) })
}

// in lists the attempts in a state, those that come first before the others.
func (t *turns) in(state turnState) (list []*turn) {
	for _, one := range t.all {
		if one.state == state {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, (*turn).compare)
	return list
}

// compare puts those first that have begun, then those that asked first.
func (one *turn) compare(other *turn) int {
	if one.begun != other.begun {
		if one.begun {
			return -1
		}
		return 1
	}
	return cmp.Compare(one.place, other.place)
}

func (t *turns) word(one *turn) sprout.Turn {
	word := sprout.Turn{Waits: one.state == waits}
	for _, other := range t.all {
		switch {
		case other.state == loads:
			word.Downloading++
		case other.state == waits && other != one && other.compare(one) < 0:
			word.Before++
		}
	}
	return word
}

// give gives turns to those who wait, as many as there are.
func (t *turns) give() {
	queue := t.in(waits)
	for _, one := range queue[:min(len(queue), max(0, t.atOnce-len(t.in(loads))))] {
		one.enter(loads, t.now())
		one.at, t.moved = one.since, one.since
		close(one.wake)
		t.tell(one)
	}
}

func (t *turns) rest(one *turn) {
	if one.state == loads {
		t.moved = t.now()
	}
	one.enter(rests, t.now())
}

func (one *turn) enter(state turnState, now time.Time) { one.state, one.since = state, now }

// tell has the attempt's run look again. It looks by itself, only later: what is
// too much is dropped.
func (t *turns) tell(one *turn) {
	select {
	case t.news <- one:
	default:
	}
}

// pace waits until so many bytes may be sent.
func (t *turns) pace(ctx context.Context, bytes int64) error {
	if t.limit == nil {
		return nil
	}
	return t.limit.WaitN(ctx, int(bytes))
}
