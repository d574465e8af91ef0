package trial

import (
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sprout"
)

// A Link is how the WAN between agents and control plane behaves.
type Link struct {
	Delay time.Duration // each way, in the mean: four fifths always, the rest exponentially distributed
	Loss  float64       // share of an agent's requests at which its connection drops, 0 to 1
}

// ParseLink reads DELAY[,LOSS%], as 250ms,1%. Errors are Invalid.
func ParseLink(text string) (l Link, err error) {
	delay, loss, lossy := strings.Cut(text, ",")
	if l.Delay, err = time.ParseDuration(delay); err != nil {
		return l, sprout.InvalidField("--link", "%q must be a delay, each way, and a loss, like 250ms,1%%", text)
	}
	if lossy {
		number, percent := strings.CutSuffix(loss, "%")
		l.Loss, err = strconv.ParseFloat(number, 64)
		l.Loss /= 100
		if err != nil || !percent {
			return l, sprout.InvalidField("--link", "%q must be a percentage, like 1%%", loss)
		}
	}
	return l, l.check()
}

func (l Link) check() error {
	if l.Delay < 0 || l.Delay > time.Minute {
		return sprout.InvalidField("--link", "a delay of %s is not from 0 to 1m", l.Delay)
	}
	if !(l.Loss >= 0 && l.Loss <= 0.5) {
		return sprout.InvalidField("--link", "a loss of %g %% is not from 0 to 50 %%", 100*l.Loss)
	}
	return nil
}

func (l Link) String() string {
	if l == (Link{}) {
		return "ideal"
	}
	return l.Delay.String() + "," + strconv.FormatFloat(100*l.Loss, 'g', -1, 64) + "%"
}

// A link relays TCP connections from agents to one port of the control plane:
// late, torn at random, and not at all while it is cut.
type link struct {
	is       Link
	listener net.Listener
	carries  sync.WaitGroup
	bytes    atomic.Int64 // carried, both ways
	torn     atomic.Int64 // connections that loss has dropped

	mu     sync.Mutex
	random *rand.Rand
	to     string
	cut    bool
	conns  map[net.Conn]bool
}

func newLink(is Link, seed uint64) (*link, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{is: is, listener: listener, conns: map[net.Conn]bool{}, random: rand.New(rand.NewPCG(seed, 0))} // it is no secret
	l.carries.Go(l.accept)
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// lead says where the link leads.
func (l *link) lead(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.carries.Go(func() { l.carry(near) })
	}
}

func (l *link) carry(near net.Conn) {
	defer l.drop(near)
	to, up := l.keep(near)
	if !up {
		return
	}
	far, err := net.Dial("tcp4", to)
	if err != nil {
		return
	}
	defer l.drop(far)
	if _, up := l.keep(far); !up {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		l.copy(near, far, 0)
		_ = near.Close()
		_ = far.Close()
	})
	l.copy(far, near, l.is.Loss)
	_ = far.Close()
	_ = near.Close()
	back.Wait()
}

// keep remembers a connection to tear; up is false while the link is cut.
func (l *link) keep(c net.Conn) (to string, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.conns[c] = true
	}
	return l.to, !l.cut
}

func (l *link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// setCut cuts the link, or heals it. Connections that stand are torn.
func (l *link) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if !cut {
		return
	}
	for c := range l.conns {
		_ = c.Close()
	}
}

func (l *link) close() {
	_ = l.listener.Close()
	l.setCut(true)
	l.carries.Wait()
}

// A chunk is bytes on their way.
type chunk struct {
	bytes []byte
	due   time.Time
}

// inFlight is how many chunks may be on their way in one direction.
const inFlight = 256

// copy carries one direction until it ends, or until loss tears it.
func (l *link) copy(to io.Writer, from io.Reader, loss float64) {
	if l.is.Delay == 0 && loss == 0 {
		_, _ = io.Copy(counted{to, &l.bytes}, from) // how a connection ends does not matter here
		return
	}
	flying := make(chan chunk, inFlight)
	var lands sync.WaitGroup
	lands.Go(func() {
		for c := range flying {
			time.Sleep(time.Until(c.due))
			l.bytes.Add(int64(len(c.bytes)))
			_, _ = to.Write(c.bytes) // a far end that has gone is seen by the reader
		}
	})
	defer lands.Wait()
	defer close(flying)
	var last time.Time
	for {
		buf := make([]byte, 16<<10)
		n, err := from.Read(buf)
		delay, lost := l.draw(loss)
		if lost {
			l.torn.Add(1)
			return
		}
		if due := time.Now().Add(delay); due.After(last) { // bytes keep their order
			last = due
		}
		if n > 0 {
			flying <- chunk{buf[:n], last}
		}
		if err != nil {
			return
		}
	}
}

// draw says how late a chunk comes, and whether it is lost.
func (l *link) draw(loss float64) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mean := float64(l.is.Delay)
	return time.Duration(0.8*mean + 0.2*mean*l.random.ExpFloat64()), l.random.Float64() < loss
}

// counted counts what is written.
type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n.Add(int64(n))
	return n, err
}
