package builtin

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A datagram is a packet as read.
type datagram struct {
	wire []byte
	from netip.AddrPort
	to   netip.Addr
}

// An outgoing is an answer on its way.
type outgoing struct {
	Request
	Answer
	came time.Time
}

// gives tells whether the client gives an address up.
func (o *outgoing) gives() bool {
	kind := o.Packet.MessageType()
	return kind == dhcpv4.MessageTypeRelease || kind == dhcpv4.MessageTypeDecline
}

// handle decides what to answer: at once, or when leases are saved.
func (s *Server) handle(batch []datagram) (now, later []outgoing) {
	for _, p := range batch {
		r, err := Parse(p.wire, p.from, p.to)
		if err != nil {
			s.config.Log.Debug("dropped a packet", "error", err)
			continue
		}
		out := outgoing{Request: r, came: s.config.Now()}
		if out.gives() {
			later = append(later, out)
			continue
		}
		if out, ok := s.decide(r); !ok {
			continue
		} else if out.Lease != nil {
			later = append(later, out)
		} else {
			now = append(now, out)
		}
	}
	return now, later
}

// decideAgain is how often a decision is made anew because another client was
// promised the address meanwhile.
const decideAgain = 16

// decide decides until the address, if any, is kept for the client.
func (s *Server) decide(r Request) (out outgoing, ok bool) {
	out = outgoing{Request: r, came: s.config.Now()}
	for range decideAgain {
		site := s.site()
		out.Answer = Decide(r, site)
		if !out.Hold.IsValid() || s.offers.Claim(out.Hold, out.Holder, site.Now) {
			return out, true
		}
	}
	s.config.Log.Warn("cannot find an address that nobody else takes first", "client", out.Key)
	return outgoing{Request: r}, false
}

// finish replies, and tells of it.
func (s *Server) finish(all []outgoing) {
	for i := range all {
		if a := &all[i]; a.Forget.IsValid() {
			s.offers.Drop(a.Forget, a.Key)
			s.offers.Drop(a.Forget, a.MAC())
		}
	}
	s.send(all)
	for i := range all {
		s.tell(all[i].Request, all[i].Answer, all[i].came)
	}
}
