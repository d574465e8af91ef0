package wan

import (
	"net"
	"sync"
	"time"
)

// A parcel is bytes on the line, and when they arrive.
type parcel struct {
	bytes []byte
	due   time.Time
}

// inFlight is how many parcels may be on their way in one direction.
const inFlight = 256

// carry copies one direction, late by the weather, and passes the end of the
// stream on; a line that breaks is torn at both ends.
func (r *Relay) carry(to, from net.Conn, lossy bool) {
	line := make(chan parcel, inFlight)
	var lands sync.WaitGroup
	lands.Go(func() {
		if !r.deliver(to, line) {
			reset(to)
			reset(from)
			for range line { // lets the reader end
			}
		}
	})
	defer lands.Wait()
	defer close(line)
	var last time.Time
	for {
		buf := make([]byte, 16<<10)
		n, err := from.Read(buf)
		delay, lost := r.draw()
		if lost && lossy && err == nil {
			r.torn.Add(1)
			reset(from)
			reset(to)
			return
		}
		if due := time.Now().Add(delay); due.After(last) { // bytes keep their order
			last = due
		}
		if n > 0 {
			line <- parcel{buf[:n], last}
		}
		if err != nil {
			return
		}
	}
}

// deliver writes what arrives, and tells whether all of it went out.
func (r *Relay) deliver(to net.Conn, line <-chan parcel) bool {
	for p := range line {
		if wait := time.Until(p.due); wait > 0 {
			<-time.After(wait)
		}
		r.bytes.Add(int64(len(p.bytes))) // before whoever gets them can ask for the sum
		if _, err := to.Write(p.bytes); err != nil {
			return false
		}
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails only where the other side has left
	}
	return true
}

// draw says how late a parcel comes, and whether it is lost.
func (r *Relay) draw() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.weather == (Weather{}) {
		return 0, false
	}
	mean := float64(r.weather.Delay)
	return time.Duration(0.8*mean + 0.2*mean*r.random.ExpFloat64()), r.random.Float64() < r.weather.Loss
}
