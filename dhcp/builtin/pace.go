package builtin

import "time"

// Where many packets come they are left to gather: what they share, as waking up,
// system calls and a sync of the disk, then costs each less. Few are answered at
// once.
const (
	napAbove   = 80 // packets of a paceWindow
	paceWindow = 20 * time.Millisecond
	gathers    = 48                    // packets, about
	longestNap = 10 * time.Millisecond // firmware waits for seconds
)

// A pace is how quickly packets come.
type pace struct {
	began   time.Time
	n, last int // packets of this window, and of the one before
}

// nap counts n packets, and returns for how long others are to gather.
func (p *pace) nap(n int, now time.Time) time.Duration {
	if since := now.Sub(p.began); since >= paceWindow {
		if p.last = p.n; since >= 2*paceWindow {
			p.last = 0
		}
		p.began, p.n = now, 0
	}
	p.n += n
	come := max(p.n, p.last)
	if come <= napAbove {
		return 0
	}
	return min(paceWindow*gathers/time.Duration(come), longestNap)
}
