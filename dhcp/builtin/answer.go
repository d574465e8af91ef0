package builtin

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// A datagram is a packet as read.
type datagram struct {
	wire []byte
	from netip.AddrPort
	to   netip.Addr
}

// An outgoing is an answer on its way, with nothing of the packet in it: that is
// over once the next are read. It is used again.
type outgoing struct {
	replies  bool
	framed   bool   // a frame goes straight to hardware
	wire     []byte // the reply
	frame    []byte // the same, framed
	to       netip.AddrPort
	hardware [6]byte
	key, mac string
	forget   netip.Addr
	subnet   sprout.SubnetID // of forget
	lease    *sprout.Lease   // to be saved before
	events   [2]sprout.BootEvent
	told     int      // how many of events there are
	ending   datagram // what gives an address up: decided in its turn
}

// gives tells whether the client gives an address up.
func gives(p *dhcpv4.DHCPv4) bool {
	kind := p.MessageType()
	return kind == dhcpv4.MessageTypeRelease || kind == dhcpv4.MessageTypeDecline
}

// A desk is where one goroutine reads, decides and answers: memory that is
// made once.
type desk struct {
	s            *Server
	in           *inbox
	post         *post
	asked, reply dhcpv4.DHCPv4
	now, later   []*outgoing
}

func (s *Server) newDesk() *desk { return &desk{s: s, in: newInbox(), post: s.newPost()} }

// handle decides what to answer to the n packets that came: at once, or when
// leases are saved.
func (d *desk) handle(n int) (now, later []*outgoing) {
	d.now, d.later = d.now[:0], d.later[:0]
	site := d.s.site()
	site.room = &d.reply
	for i := range n {
		p := d.in.datagram(i)
		r, err := parseRequest(&d.asked, p)
		if err != nil {
			d.s.config.Log.Debug("dropped a packet", "error", err)
			continue
		}
		if gives(r.Packet) {
			out := d.s.blank()
			p.wire = append([]byte(nil), p.wire...)
			out.ending = p
			d.later = append(d.later, out)
		} else if out := d.s.decide(r, &site); out == nil {
			continue
		} else if out.lease != nil {
			d.later = append(d.later, out)
		} else {
			d.now = append(d.now, out)
		}
	}
	return d.now, d.later
}

// decideAgain is how often a decision is made anew because another client was
// promised the address meanwhile.
const decideAgain = 16

// decide decides until the address, if any, is kept for the client; nil: that
// cannot be.
func (s *Server) decide(r Request, site *Site) *outgoing {
	for range decideAgain {
		a := Decide(r, *site)
		if !a.Hold.IsValid() || s.offers.Claim(a.Subnet, a.Hold, a.Holder, site.Now) {
			return s.outgoing(r, a, site.Now)
		}
	}
	s.config.Log.Warn("cannot find an address that nobody else takes first", "mac", r.MAC())
	return nil
}

// decideEnding decides what gives an address up.
func (s *Server) decideEnding(p datagram) *outgoing {
	r, err := Parse(p.wire, p.from, p.to)
	if err != nil {
		return nil // it could be read before
	}
	site := s.site()
	return s.decide(r, &site)
}

// blank is an empty outgoing.
func (s *Server) blank() *outgoing {
	o, ok := s.outgo.Get().(*outgoing)
	if !ok {
		return &outgoing{wire: make([]byte, 0, 512)}
	}
	*o = outgoing{wire: o.wire[:0], frame: o.frame[:0]}
	return o
}

// outgoing is the answer as it goes.
func (s *Server) outgoing(r Request, a Answer, came time.Time) *outgoing {
	o := s.blank()
	o.key, o.mac, o.forget, o.subnet, o.lease = a.Key, r.MAC(), a.Forget, a.Subnet, a.Lease
	if a.Reply != nil {
		o.replies, o.wire = true, appendMessage(o.wire, a.Reply)
		o.to, o.framed = a.To.To, a.To.Hardware != nil
		copy(o.hardware[:], a.To.Hardware)
	}
	s.note(o, r, &a, came)
	return o
}

// finish replies, and tells of it.
func (s *Server) finish(p *post, all []*outgoing) {
	for _, o := range all {
		if o.forget.IsValid() {
			s.offers.Drop(o.subnet, o.forget, o.key)
			s.offers.Drop(o.subnet, o.forget, o.mac)
		}
	}
	s.send(p, all)
	for _, o := range all {
		s.tell(o)
		s.outgo.Put(o)
	}
}
