package zone

import (
	"sprout/dns"
)

// Sizes of messages.
const (
	MaxUDP     = 1232 // octets of an answer: what passes every path unfragmented
	leastUDP   = 512  // octets that every client takes (RFC 1035 section 4.2.1)
	optLen     = 11
	maxAliases = 8 // that one answer follows
)

// Bits of the header's third and fourth octet.
const (
	bitQR, bitAA, bitRD = 0x80, 0x04, 0x01
	bitAD, bitCD        = 0x20, 0x10
)

// A question is what an ordinary query asks, taken apart.
type question struct {
	name   [dns.MaxName]byte // in lower case
	len    int
	labels int
	end    int // of the question in the message
	kind   dns.Kind
	edns   bool
	do     bool // DNSSEC is asked for (RFC 3225)
	size   int  // octets that the client takes by UDP
}

// slow are the kinds of questions that are for the caller: those about zones as
// such, and those that are no types of records (RFC 6895 section 3.1).
func slow(kind dns.Kind) bool {
	switch kind {
	case dns.NS, 0, 24, 25, 41, 43, 46, 47, 48, 50, 51:
		return true
	}
	return kind >= 128 && kind != 257
}

// parse reads a query with one question, no flags but RD, AD and CD, and EDNS
// or none; false: it is something else.
func (q *question) parse(m []byte) bool {
	if len(m) < questionAt+5 || m[2]&^bitRD != 0 || m[3]&^(bitAD|bitCD) != 0 {
		return false
	}
	if m[4]|m[6]|m[7]|m[8]|m[9]|m[10] != 0 || m[5] != 1 || m[11] > 1 {
		return false
	}
	at := q.parseName(m)
	if at == 0 || at+4 > len(m) || m[at+2] != 0 || m[at+3] != 1 {
		return false
	}
	q.kind = dns.Kind(m[at])<<8 | dns.Kind(m[at+1])
	q.end, q.size, q.edns, q.do = at+4, leastUDP, false, false
	if slow(q.kind) {
		return false
	}
	if m[11] == 0 {
		return q.end == len(m)
	}
	return q.parseOPT(m[q.end:])
}

// parseName reads the name of the question and returns where it ends; 0: it is
// none.
func (q *question) parseName(m []byte) int {
	at := questionAt
	q.labels = 0
	for {
		if at >= len(m) || m[at] > 63 || at-questionAt >= dns.MaxName {
			return 0
		}
		if m[at] == 0 {
			break
		}
		at += 1 + int(m[at])
		q.labels++
	}
	at++
	q.len = copy(q.name[:], m[questionAt:at])
	if q.len != at-questionAt {
		return 0
	}
	lower(q.name[:q.len])
	return at
}

// parseOPT reads what is behind the question: one OPT record (RFC 6891 section
// 6.1.2) whose options mean nothing here.
func (q *question) parseOPT(o []byte) bool {
	if len(o) < optLen || o[0] != 0 || o[1] != 0 || o[2] != 41 || o[5] != 0 || o[6] != 0 || o[7]&^0x80 != 0 || o[8] != 0 {
		return false
	}
	if int(o[9])<<8|int(o[10]) != len(o)-optLen || !options(o[optLen:]) {
		return false
	}
	q.edns, q.do = true, o[7]&0x80 != 0
	q.size = min(max(int(o[3])<<8|int(o[4]), leastUDP), MaxUDP)
	return true
}

// Options of which any content is right, and which mean nothing here: NSID (RFC
// 5001), cookies (RFC 7873), padding (RFC 7830). Others can be malformed.
const (
	optNSID    = 3
	optCookie  = 10
	optPadding = 12
)

// options tells whether the options of an OPT record are whole, and ordinary.
func options(o []byte) bool {
	for len(o) > 0 {
		if len(o) < 4 || len(o)-4 < int(o[2])<<8|int(o[3]) {
			return false
		}
		switch int(o[0])<<8 | int(o[1]) {
		case optNSID, optCookie, optPadding:
		default:
			return false
		}
		o = o[4+(int(o[2])<<8|int(o[3])):]
	}
	return true
}

// A Reader answers ordinary queries without allocating; one goroutine has it.
type Reader struct {
	db *DB
	q  question
}

// NewReader makes a Reader of the DB.
func (d *DB) NewReader() *Reader { return &Reader{db: d} }

// Lock keeps the zones as they are while queries are answered, and Unlock lets
// them change.
func (r *Reader) Lock() { r.db.mu.RLock() }

// Unlock ends what Lock began.
func (r *Reader) Unlock() { r.db.mu.RUnlock() }

// Respond writes the answer to an ordinary query into out and returns its
// length. 0: the query is not ordinary, of no zone here, or its answer does not
// fit: it is for who answers any. Between Lock and Unlock; out takes a UDP
// answer, or any of 64 KiB, which it then may fill.
func (r *Reader) Respond(m, out []byte, udp bool) int {
	if !r.q.parse(m) {
		return 0
	}
	limit := len(out)
	if udp {
		limit = min(limit, r.q.size)
	}
	z, _ := r.zone(r.q.name[:r.q.len], r.q.labels)
	if z == nil || r.q.do && z.signing != nil {
		return 0
	}
	if r.q.edns {
		limit -= optLen
	}
	w := writer{out: out[:max(limit, 0)], at: copy(out, m[:r.q.end])}
	if !r.answer(&w, z) {
		return 0
	}
	return r.finish(&w, m, out)
}

// zone finds the zone of a name of so many labels.
func (r *Reader) zone(name []byte, labels int) (*Zone, int) {
	at := 0
	for ; labels > 0; labels-- {
		if r.db.depths[min(labels, 127)] {
			if z := r.db.zones[string(name[at:])]; z != nil {
				return z, at
			}
		}
		at += 1 + int(name[at])
	}
	return nil, 0
}

// A writer fills an answer.
type writer struct {
	out      []byte
	at       int
	answers  int
	negative int // SOAs
	rcode    byte
}

// put writes a record whose owner lies at a place in the message.
func (w *writer) put(d Data, owner int) bool {
	if w.at+len(d) > len(w.out) || owner >= 0x4000 {
		return false
	}
	copy(w.out[w.at:], d)
	w.out[w.at], w.out[w.at+1] = 0xc0|byte(owner>>8), byte(owner)
	w.at += len(d)
	return true
}

// answer writes the sections. RFC 1034 section 4.3.2, RFC 2308 section 2.
func (r *Reader) answer(w *writer, z *Zone) bool {
	name, owner := r.q.name[:r.q.len], questionAt
	for range maxAliases {
		n := z.names[string(name)]
		if n == nil {
			w.rcode = 3
			return w.none(z, owner+len(name)-len(z.origin))
		}
		found := false
		for _, e := range n.all() {
			if e.shown.Kind() != r.q.kind {
				continue
			}
			if found = w.put(e.shown, owner); !found {
				return false
			}
			w.answers++
		}
		switch {
		case found:
			return true
		case r.q.kind == dns.SOA && len(name) == len(z.origin):
			w.answers++
			return w.put(z.own, owner)
		case n.served == 0 || n.entries[0].shown.Kind() != dns.CNAME:
			return w.none(z, owner+len(name)-len(z.origin))
		}
		alias := n.entries[0].shown
		at := w.at + headLen
		if !w.put(alias, owner) {
			return false
		}
		w.answers++
		name, owner = w.out[at:w.at], at
		if z, _ = r.zone(name, labels(name)); z == nil {
			return true // the target is not ours: who asks goes on
		}
	}
	return false // so many may lead back to where they began
}

func labels(name []byte) (n int) {
	for at := 0; at < len(name) && name[at] != 0; n++ {
		at += 1 + int(name[at])
	}
	return n
}

// none writes the SOA by which resolvers keep that there is nothing.
func (w *writer) none(z *Zone, owner int) bool {
	w.negative = 1
	return w.put(z.soa, owner)
}

// finish writes the header and EDNS.
func (r *Reader) finish(w *writer, m, out []byte) int {
	out[2] = bitQR | bitAA | m[2]&bitRD
	out[3] = m[3]&bitCD | w.rcode
	out[6], out[7] = byte(w.answers>>8), byte(w.answers)
	out[8], out[9] = 0, byte(w.negative)
	out[10], out[11] = 0, 0
	if !r.q.edns {
		return w.at
	}
	out[11] = 1
	opt := [optLen]byte{0, 0, 41, MaxUDP >> 8, MaxUDP & 0xff}
	if r.q.do {
		opt[7] = 0x80
	}
	return w.at + copy(out[w.at:], opt[:])
}
