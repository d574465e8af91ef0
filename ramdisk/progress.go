package ramdisk

import (
	"sync"
	"time"

	"sprout"
)

// A progress is what an order has done so far; its reader sees rates over
// about the last two seconds.
type progress struct {
	mu      sync.Mutex
	now     sprout.Progress
	changed bool
	said    time.Time // when news was last returned
	samples []sample
}

type sample struct {
	at   time.Time
	done int64
}

const rateOver = 2 * time.Second

// aliveEvery is how often progress is said although there is none: work that
// stalls on a slow disk is not a ramdisk that died.
const aliveEvery = 10 * time.Second

func (p *progress) set(done, total int64, unit string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if unit != p.now.Unit || done < p.now.Done {
		p.samples = nil
	}
	p.now.Done, p.now.Total, p.now.Unit = done, total, unit
	p.changed = true
}

// about says what the order is at.
func (p *progress) about(words string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.About, p.changed = words, true
}

// wait says what the order waits for; empty: it goes on.
func (p *progress) wait(waitsFor string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Waits, p.changed = waitsFor, true
}

// news returns the progress if it changed since the last call, or if that was
// aliveEvery ago.
func (p *progress) news(now time.Time) (sprout.Progress, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.changed && now.Sub(p.said) < aliveEvery {
		return sprout.Progress{}, false
	}
	p.changed, p.said = false, now
	p.samples = append(p.samples, sample{now, p.now.Done})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= rateOver {
		p.samples = p.samples[1:]
	}
	first := p.samples[0]
	if d := now.Sub(first.at).Seconds(); d > 0 {
		p.now.PerSec = float64(p.now.Done-first.done) / d
	}
	return p.now, true
}
