package wan

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialPatience is how long the far side may take to accept.
const dialPatience = 10 * time.Second

// A Dial connects to the far side.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// A Relay carries TCP connections from where it listens, the near side, to one
// address of the far side. While it is cut it goes on listening, so that nobody
// else takes its port, and resets whoever comes.
type Relay struct {
	listener net.Listener
	dial     Dial
	carries  sync.WaitGroup
	bytes    atomic.Int64
	torn     atomic.Int64

	mu      sync.Mutex
	weather Weather
	random  *rand.Rand
	to      string
	isCut   bool
	conns   map[net.Conn]bool
}

// Listen begins to relay from an address; Lead says where to. dial may be nil;
// seed is of what the weather does. The caller closes the relay.
func Listen(address string, weather Weather, seed uint64, dial Dial) (*Relay, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	r := &Relay{
		listener: listener, dial: dial, weather: weather, conns: map[net.Conn]bool{},
		random: rand.New(rand.NewPCG(seed, 0)), // it is no secret
	}
	r.carries.Go(r.accept)
	return r, nil
}

// Address is where the relay listens.
func (r *Relay) Address() string { return r.listener.Addr().String() }

// Bytes is how many were carried, both ways.
func (r *Relay) Bytes() int64 { return r.bytes.Load() }

// Torn is how many connections were lost to the weather, or to a cut.
func (r *Relay) Torn() int64 { return r.torn.Load() }

// Lead says where the relay leads from now on.
func (r *Relay) Lead(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// Turn changes the weather for what is carried from now on.
func (r *Relay) Turn(w Weather) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.weather = w
}

// Cut tears the connections that stand, and those that come until Heal.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isCut = true
	for c := range r.conns {
		reset(c)
	}
	r.torn.Add(int64(len(r.conns)+1) / 2) // each has two ends
	clear(r.conns)
}

// Heal lets connections pass again.
func (r *Relay) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isCut = false
}

// State tells the weather, and whether the relay carries at all.
func (r *Relay) State() (w Weather, up bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.weather, !r.isCut
}

// Close ends the relay and all it carries.
func (r *Relay) Close() {
	_ = r.listener.Close() // nothing is left to tell
	r.Cut()
	r.carries.Wait()
}

func (r *Relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.carries.Go(func() { r.join(near) })
	}
}

// join leads a connection to the far side.
func (r *Relay) join(near net.Conn) {
	to, up := r.keep(near)
	if !up {
		return
	}
	defer r.forget(near)
	ctx, cancel := context.WithTimeout(context.Background(), dialPatience)
	far, err := r.dial(ctx, to)
	cancel()
	if err != nil {
		reset(near)
		return
	}
	if _, up := r.keep(far); !up {
		return
	}
	defer r.forget(far)
	var both sync.WaitGroup
	both.Go(func() { r.carry(far, near, true) })
	both.Go(func() { r.carry(near, far, false) })
	both.Wait()
}

// keep remembers a connection for the next cut; while the relay is cut it tears
// the connection at once.
func (r *Relay) keep(c net.Conn) (to string, up bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isCut {
		reset(c)
		return "", false
	}
	r.conns[c] = true
	return r.to, true
}

func (r *Relay) forget(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	_ = c.Close()
}

// reset closes a connection without a farewell, as a broken line does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
