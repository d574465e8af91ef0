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
	samples []sample
}

type sample struct {
	at   time.Time
	done int64
}

const rateOver = 2 * time.Second

func (p *progress) set(done, total int64, unit string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if unit != p.now.Unit || done < p.now.Done {
		p.samples = nil
	}
	p.now.Done, p.now.Total, p.now.Unit = done, total, unit
	p.changed = true
}

// news returns the progress if it changed since the last call.
func (p *progress) news(now time.Time) (sprout.Progress, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.changed {
		return sprout.Progress{}, false
	}
	p.changed = false
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
