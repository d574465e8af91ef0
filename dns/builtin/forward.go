package builtin

import (
	"context"
	"time"

	"github.com/miekg/dns"

	"sprout/dns/zone"
)

// Limits of forwarding. Nothing is cached: hosts that are installed ask little,
// and keep what they hear themselves.
const (
	forwardWait   = 2 * time.Second // for each resolver
	forwardAtOnce = 64
)

// forwardable tells whether a query of another name is passed on: an ordinary
// one that asks for it, of a host in the site's subnets.
func (s *Server) forwardable(x *exchange, m *dns.Msg) bool {
	q := x.query
	return m.Rcode == dns.RcodeRefused && q.Opcode == dns.OpcodeQuery && q.RecursionDesired && len(q.Question) == 1 &&
		q.Question[0].Qclass == dns.ClassINET && q.Question[0].Qtype != dns.TypeAXFR && q.Question[0].Qtype != dns.TypeIXFR &&
		x.key == "" && s.rules().forwards(x.client.Addr())
}

// forward asks the resolvers one after the other, and returns the first answer
// that is one: SERVFAIL if there is none.
func (s *Server) forward(ctx context.Context, x *exchange) (*dns.Msg, string) {
	select {
	case s.forwarding <- struct{}{}:
		defer func() { <-s.forwarding }()
	default:
		return refuse(x.query, dns.RcodeServerFailure), "too many queries are passed on already"
	}
	q := new(dns.Msg).SetQuestion(x.query.Question[0].Name, x.query.Question[0].Qtype)
	q.CheckingDisabled = x.query.CheckingDisabled
	q.SetEdns0(zone.MaxUDP, x.query.IsEdns0() != nil && x.query.IsEdns0().Do())
	for _, at := range s.rules().forward {
		if ctx.Err() != nil {
			break
		}
		c := dns.Client{Timeout: forwardWait, UDPSize: zone.MaxUDP}
		if x.tcp {
			c.Net = "tcp"
		}
		got, _, err := c.ExchangeContext(ctx, q, at.String())
		if err != nil || !answers(got, q) {
			s.config.Log.Warn("resolver does not answer", "resolver", at, "question", q.Question[0].Name, "error", err)
			continue
		}
		return passedOn(x.query, got), "answered by the resolver " + at.String()
	}
	return refuse(x.query, dns.RcodeServerFailure), "no resolver answers"
}

// answers tells whether a message is the answer to q.
func answers(got, q *dns.Msg) bool {
	return got.Response && len(got.Question) == 1 && got.Question[0].Qtype == q.Question[0].Qtype &&
		dns.CanonicalName(got.Question[0].Name) == dns.CanonicalName(q.Question[0].Name)
}

// passedOn makes the answer to a query of what a resolver said.
func passedOn(query, got *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(query)
	m.Compress, m.RecursionAvailable = true, true
	m.Rcode, m.Truncated, m.AuthenticatedData = got.Rcode&0xf, got.Truncated, got.AuthenticatedData
	m.Answer, m.Ns = got.Answer, got.Ns
	setEDNS(query, m)
	for _, rr := range got.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			m.Extra = append(m.Extra, rr)
		}
	}
	return m
}
