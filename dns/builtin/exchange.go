package builtin

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/miekg/dns"

	"sprout/dns/zone"
)

// An exchange is one message that is no ordinary query, and the way back.
type exchange struct {
	wire   []byte
	client netip.AddrPort
	tcp    bool
	send   func([]byte) error

	query *dns.Msg
	key   string // of the query's signature, which is good; "": it has none
	signs *Key   // what the answers are signed with; nil: nothing
	mac   string // of the message before
	sent  int    // signed answers so far
}

// handle answers any message; false: the connection it came by is of no use
// any more.
func (s *Server) handle(ctx context.Context, x *exchange) bool {
	x.query, x.key, x.signs, x.mac, x.sent = new(dns.Msg), "", nil, "", 0
	if err := x.query.Unpack(x.wire); err != nil {
		return s.malformed(x)
	}
	if x.query.Response {
		return false // an answer to a forged query must not make another
	}
	if code, err := x.verify(s.rules()); err != nil {
		s.config.Log.Info("signature is not good", "client", x.client, "error", err)
		return s.reply(ctx, x, x.unsigned(code), err.Error())
	}
	switch kind := questionOf(x.query); {
	case x.query.Opcode == dns.OpcodeUpdate:
		return s.update(ctx, x)
	case kind == dns.TypeAXFR || kind == dns.TypeIXFR:
		return s.transfer(ctx, x)
	}
	m, reason := Answer(x.query, s.config.Zones)
	if s.forwardable(x, m) {
		m, reason = s.forward(ctx, x)
	}
	return s.reply(ctx, x, m, reason)
}

// questionOf is the type that an ordinary query of class IN asks for; 0: it is
// none.
func questionOf(query *dns.Msg) uint16 {
	if query.Opcode != dns.OpcodeQuery || len(query.Question) != 1 || query.Question[0].Qclass != dns.ClassINET {
		return 0
	}
	return query.Question[0].Qtype
}

// malformed answers what is a header at least (RFC 1035 section 4.1.1).
func (s *Server) malformed(x *exchange) bool {
	const headerLen = 12
	if len(x.wire) < headerLen || x.wire[2]&0x80 != 0 {
		return false
	}
	m := make([]byte, headerLen)
	copy(m, x.wire[:2])
	m[2], m[3] = 0x80|x.wire[2]&0x79, dns.RcodeFormatError
	return x.send(m) == nil
}

// reply sends an answer within what its transport takes.
func (s *Server) reply(ctx context.Context, x *exchange, m *dns.Msg, reason string) bool {
	x.fit(m)
	wire, err := x.pack(m)
	if err == nil {
		err = x.send(wire)
	}
	if err != nil {
		s.config.Log.Debug("cannot answer a query", "client", x.client, "error", err)
		return false
	}
	if s.config.Log.Enabled(ctx, slog.LevelDebug) {
		s.config.Log.Debug("dns", "client", x.client, "question", x.query.Question, "rcode", dns.RcodeToString[m.Rcode], "reason", reason)
	}
	return true
}

// signatureLen is more than a signature needs in a message, but for names.
const signatureLen = 128

// fit shortens an answer that its transport does not take: by UDP to what says
// that it is to be asked for by TCP (RFC 2181 section 9).
func (x *exchange) fit(m *dns.Msg) {
	limit := dns.MaxMsgSize
	if !x.tcp {
		limit = udpSize(x.query)
	}
	if x.signs != nil {
		limit -= signatureLen + len(x.signs.Name) + len(x.signs.Algorithm)
	}
	if m.Len() <= limit {
		return
	}
	m.Truncated, m.Answer, m.Ns, m.Extra = true, nil, nil, nil
	setEDNS(x.query, m)
}

// udpSize is how many bytes of answer a client takes by UDP, bounded by what
// passes unfragmented (RFC 6891 section 6.2.5).
func udpSize(query *dns.Msg) int {
	opt := query.IsEdns0()
	if opt == nil {
		return dns.MinMsgSize
	}
	return min(max(int(opt.UDPSize()), dns.MinMsgSize), zone.MaxUDP)
}
