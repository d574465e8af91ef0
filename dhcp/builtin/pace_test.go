package builtin

import (
	"testing"
	"time"
)

// TestPace: at 1,000 exchanges a second nothing waits; at more packets gather,
// for less time the more come; and when they stop nothing waits again.
func TestPace(t *testing.T) {
	now := time.Unix(0, 0)
	var p pace
	for _, c := range []struct {
		perSecond   int
		least, most time.Duration
	}{
		{2000, 0, 0},
		{6000, 5 * time.Millisecond, 10 * time.Millisecond},
		{20000, time.Millisecond, 4 * time.Millisecond},
		{2000, 0, 0},
	} {
		var nap time.Duration
		for range 100 { // a tenth of a second
			now = now.Add(time.Millisecond)
			nap = p.nap(c.perSecond/1000, now)
		}
		if nap < c.least || nap > c.most {
			t.Errorf("at %d packets/s they gather for %s, want %s to %s", c.perSecond, nap, c.least, c.most)
		}
	}
}
