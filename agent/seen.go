package agent

import (
	"sync"
	"time"

	"sprout"
)

// lastSeen is when the ramdisk of each attempt said something last.
type lastSeen struct {
	mu sync.Mutex
	at map[sprout.AttemptID]time.Time
}

func (l *lastSeen) note(attempt sprout.AttemptID, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[sprout.AttemptID]time.Time{}
	}
	l.at[attempt] = now
}

// of is when the attempt's ramdisk said something last; false: never, or it is
// forgotten.
func (l *lastSeen) of(attempt sprout.AttemptID) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.at[attempt]
	return at, ok
}

// forget drops those that were silent since then.
func (l *lastSeen) forget(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for attempt, at := range l.at {
		if at.Before(since) {
			delete(l.at, attempt)
		}
	}
}
