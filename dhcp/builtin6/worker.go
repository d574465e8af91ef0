package builtin6

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A datagram is a message as read. Relays may make one longer than a frame.
type datagram struct {
	buf  [4096]byte
	n    int
	from netip.AddrPort
	to   netip.Addr
	mac  string
}

// workers are the goroutines that answer. A client's messages all go to the
// same one, so they are answered in order.
type workers struct {
	queues []chan *datagram
	seed   maphash.Seed
	done   sync.WaitGroup
}

// queueLength is how many messages may wait for one worker: a longer queue holds
// only what nobody waits for any more.
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

// give queues a message; false: too many wait, or it is too short to be one.
// Clients are told apart by their link-local address: of the sender, or of the
// peer that a relay names.
func (w *workers) give(p *datagram) bool {
	const header, peer, peerEnd = 4, 18, 34 // RFC 8415 sections 8 and 9
	client := p.from.Addr().As16()
	switch {
	case p.n < header:
		return false
	case dhcpv6.MessageType(p.buf[0]) == dhcpv6.MessageTypeRelayForward && p.n >= peerEnd:
		client = [16]byte(p.buf[peer:peerEnd])
	}
	queue := w.queues[maphash.Bytes(w.seed, client[:])%uint64(len(w.queues))]
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

// handle answers one message.
func (s *Server) handle(ctx context.Context, p *datagram) {
	if ctx.Err() != nil {
		return
	}
	r, err := Parse(p.buf[:p.n], p.from, p.to)
	if err != nil {
		s.config.Log.Debug("dropped a message", "error", err)
		return
	}
	r.Frame = p.mac
	s.answer(ctx, r)
}

// decideAgain is how often a decision is made anew because another client was
// promised the address meanwhile.
const decideAgain = 16

// answer decides, keeps the addresses, saves the leases, and only then replies:
// an address that was given is never forgotten.
func (s *Server) answer(ctx context.Context, r Request) {
	came := s.config.Now()
	a, ok := s.decide(r)
	if !ok {
		s.config.Log.Warn("cannot find an address that nobody else takes first", "client", a.Key)
		return
	}
	for _, l := range a.Leases {
		if err := s.config.Ledger.SaveLease(ctx, l); err != nil {
			s.config.Log.Error("cannot save a lease, so it is not given", "client", a.Key, "ip", l.IP, "error", err)
			return
		}
	}
	for _, h := range a.Forget {
		s.offers.Drop(h.Subnet, h.IP, h.Key)
	}
	if a.Reply != nil {
		if err := s.send(a); err != nil {
			s.config.Log.Warn("cannot send a reply", "client", a.Key, "to", a.To, "error", err)
			return
		}
	}
	s.tell(r, a, came)
}

// decide decides until the addresses, if any, are kept for the client.
func (s *Server) decide(r Request) (a Answer, ok bool) {
	for range decideAgain {
		site := s.site()
		a = Decide(r, site)
		if s.claim(a.Holds, site) {
			return a, true
		}
	}
	return a, false
}

// claim keeps all of the addresses, or says that another client has one.
func (s *Server) claim(holds []Hold, site Site) bool {
	for _, h := range holds {
		if !s.offers.Claim(h.Subnet, h.IP, h.Key, site.Now) {
			return false
		}
	}
	return true
}
