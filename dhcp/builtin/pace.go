package builtin

import "time"

// napTime is how long packets are left to gather where many come: what many
// share, as a system call or a sync of the disk, then costs each less.
const napTime = 5 * time.Millisecond

// napAbove is how many packets must have come in a paceWindow for that.
const (
	napAbove   = 80
	paceWindow = 20 * time.Millisecond
)

// A pace is how quickly packets come. Few are answered at once.
type pace struct {
	began   time.Time
	n, last int // packets of this window, and of the one before
}

// busy counts n packets, and tells whether they come quickly.
func (p *pace) busy(n int, now time.Time) bool {
	if since := now.Sub(p.began); since >= paceWindow {
		if p.last = p.n; since >= 2*paceWindow {
			p.last = 0
		}
		p.began, p.n = now, 0
	}
	p.n += n
	return max(p.n, p.last) > napAbove
}
