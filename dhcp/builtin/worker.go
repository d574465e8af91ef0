package builtin

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
)

// A datagram is a packet as read.
type datagram struct {
	buf  [1500]byte
	n    int
	from netip.AddrPort
	to   netip.Addr
}

// workers are the goroutines that answer. A client's packets all go to the
// same one, so they are answered in order.
type workers struct {
	queues []chan *datagram
	seed   maphash.Seed
	done   sync.WaitGroup
}

// queueLength is how many packets may wait for one worker. Firmware asks again
// after 4 s, so a longer queue holds only what nobody waits for any more.
const queueLength = 64

func (s *Server) startWorkers(ctx context.Context) *workers {
	w := &workers{queues: make([]chan *datagram, s.config.Workers), seed: maphash.MakeSeed()}
	for i := range w.queues {
		queue := make(chan *datagram, queueLength)
		w.queues[i] = queue
		w.done.Go(func() {
			for p := range queue {
				s.handle(ctx, p)
				s.buffers.Put(p)
			}
		})
	}
	return w
}

// give queues a packet; false: too many wait, or it is too short to be one.
func (w *workers) give(p *datagram) bool {
	const chaddr, chaddrEnd = 28, 44 // the client's hardware address: RFC 2131 section 2
	if p.n < chaddrEnd {
		return false
	}
	queue := w.queues[maphash.Bytes(w.seed, p.buf[chaddr:chaddrEnd])%uint64(len(w.queues))]
	select {
	case queue <- p:
		return true
	default:
		return false
	}
}

// stop waits until what is queued is done.
func (w *workers) stop() {
	for _, queue := range w.queues {
		close(queue)
	}
	w.done.Wait()
}

// handle answers one packet.
func (s *Server) handle(ctx context.Context, p *datagram) {
	if ctx.Err() != nil {
		return
	}
	r, err := Parse(p.buf[:p.n], p.from, p.to)
	if err != nil {
		s.config.Log.Debug("dropped a packet", "error", err)
		return
	}
	s.answer(ctx, r)
}

// decideAgain is how often a decision is made anew because another client was
// promised the address meanwhile.
const decideAgain = 16

// answer decides, keeps the address, saves the lease, and only then replies:
// an address that was acknowledged is never forgotten.
func (s *Server) answer(ctx context.Context, r Request) {
	came := s.config.Now()
	a, ok := s.decide(r)
	if !ok {
		s.config.Log.Warn("cannot find an address that nobody else takes first", "client", a.Key)
		return
	}
	if a.Lease != nil {
		if err := s.config.Ledger.SaveLease(ctx, *a.Lease); err != nil {
			s.config.Log.Error("cannot save a lease, so it is not given", "client", a.Key, "ip", a.Lease.IP, "error", err)
			return
		}
	}
	if a.Forget.IsValid() {
		s.offers.Drop(a.Forget, a.Key)
		s.offers.Drop(a.Forget, r.MAC())
	}
	if a.Reply != nil {
		if err := s.send(a); err != nil {
			s.config.Log.Warn("cannot send a reply", "client", a.Key, "to", a.To.To, "error", err)
			return
		}
	}
	s.tell(r, a, came)
}

// decide decides until the address, if any, is kept for the client.
func (s *Server) decide(r Request) (a Answer, ok bool) {
	for range decideAgain {
		site := s.site()
		a = Decide(r, site)
		if !a.Hold.IsValid() || s.offers.Claim(a.Hold, a.Holder, site.Now) {
			return a, true
		}
	}
	return a, false
}
