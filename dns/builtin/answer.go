package builtin

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// What every answer says of the zones.
const (
	negativeTTL = 10   // seconds that "no such name" is kept: short, hosts come and go
	soaRefresh  = 3600 // seconds; there are no secondaries, so these are for the record
	soaRetry    = 600
	soaExpire   = 86400
	maxUDP      = 1232 // bytes: what passes every path unfragmented
)

// Answer returns what the name server says to query, and why. It is pure: it
// reads the zone and changes nothing. RFC 1034 section 4.3.2, RFC 2308 for
// negative answers, RFC 6891 for EDNS.
func Answer(query *dns.Msg, z Zone) (*dns.Msg, string) {
	m := new(dns.Msg)
	if bad, reason := unserved(query); bad != dns.RcodeSuccess {
		m.SetRcode(query, bad)
		m.RecursionAvailable = false
		setEDNS(query, m)
		return m, reason
	}
	m.SetReply(query)
	setEDNS(query, m)
	q := query.Question[0]
	a := answer{Msg: m, zone: z, q: q, name: canonicalName(q.Name)}
	domain := z.Domain()
	if domain != "" && (a.name == domain || strings.HasSuffix(a.name, "."+domain)) {
		return m, a.forward(domain)
	}
	if r, ok := reverseOf(a.name, z.Subnets()); ok {
		return m, a.reverse(r)
	}
	m.Rcode = dns.RcodeRefused
	return m, a.name + " is outside the zones of this site"
}

// unserved tells which queries are not answered from the zones, whatever they
// ask for.
func unserved(query *dns.Msg) (rcode int, reason string) {
	switch {
	case query.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented, "only queries are served"
	case len(query.Question) != 1:
		return dns.RcodeFormatError, fmt.Sprintf("%d questions", len(query.Question))
	}
	q := query.Question[0]
	switch {
	case query.IsEdns0() != nil && query.IsEdns0().Version() != 0:
		return dns.RcodeBadVers, "unknown version of EDNS"
	case q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY:
		return dns.RcodeRefused, "only class IN is served"
	case q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR:
		return dns.RcodeRefused, "zones are not transferred"
	}
	return dns.RcodeSuccess, ""
}

// setEDNS answers EDNS with EDNS.
func setEDNS(query, m *dns.Msg) {
	if opt := query.IsEdns0(); opt != nil {
		m.SetEdns0(maxUDP, opt.Do())
		m.IsEdns0().SetVersion(0)
	}
}

// An answer is a reply in the making.
type answer struct {
	*dns.Msg
	zone Zone
	q    dns.Question
	name string // asked for, in lower case without the final dot
}

// forward answers from the site's domain.
func (a *answer) forward(domain string) string {
	a.Authoritative = true
	a.apex(domain)
	addresses := a.zone.Lookup(a.name)
	agent, own := a.zone.Agent()
	if a.name == canonicalName(agent) && len(addresses) == 0 {
		addresses = own
	}
	for _, ip := range addresses {
		a.address(ip)
	}
	// What the agent's name lies below exists, if without records (RFC 8020).
	above := strings.HasSuffix(canonicalName(agent), "."+a.name)
	return a.done(domain, a.name == domain || len(addresses) > 0 || above)
}

// reverse answers from a reverse zone. A name that stands for a prefix exists
// without records: addresses lie below it.
func (a *answer) reverse(r reverseName) string {
	a.Authoritative = true
	a.apex(r.origin)
	exists := !r.ip.IsValid()
	if r.ip.IsValid() {
		for _, name := range a.zone.Reverse(r.ip) {
			exists = true
			if a.wants(dns.TypePTR) {
				a.Answer = append(a.Answer, &dns.PTR{Hdr: a.header(dns.TypePTR), Ptr: dns.Fqdn(name)})
			}
		}
	}
	return a.done(r.origin, exists)
}

// apex adds the records of the zone itself, where its own name is asked for.
func (a *answer) apex(origin string) {
	if a.name != origin {
		return
	}
	if a.wants(dns.TypeSOA) {
		soa := a.soa(origin)
		soa.Hdr = a.header(dns.TypeSOA)
		a.Answer = append(a.Answer, soa)
	}
	if a.wants(dns.TypeNS) {
		agent, own := a.zone.Agent()
		a.Answer = append(a.Answer, &dns.NS{Hdr: a.header(dns.TypeNS), Ns: dns.Fqdn(agent)})
		for _, ip := range own {
			a.Extra = append(a.Extra, addressRR(dns.RR_Header{Name: dns.Fqdn(agent), Class: dns.ClassINET, Ttl: DefaultTTL}, ip))
		}
	}
}

// address adds one address, if its family is asked for.
func (a *answer) address(ip netip.Addr) {
	kind := dns.TypeA
	if ip.Is6() {
		kind = dns.TypeAAAA
	}
	if a.wants(kind) {
		a.Answer = append(a.Answer, addressRR(a.header(kind), ip))
	}
}

func addressRR(h dns.RR_Header, ip netip.Addr) dns.RR {
	if ip.Is4() {
		h.Rrtype = dns.TypeA
		return &dns.A{Hdr: h, A: ip.AsSlice()}
	}
	h.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: h, AAAA: ip.AsSlice()}
}

// done ends an answer: without records it is "no such name" or "not of this
// type", and carries the SOA by which resolvers keep it (RFC 2308).
func (a *answer) done(origin string, exists bool) string {
	if len(a.Answer) > 0 {
		return fmt.Sprintf("%d records of %s", len(a.Answer), a.name)
	}
	a.Ns = append(a.Ns, a.soa(origin))
	if exists {
		return fmt.Sprintf("%s has no %s", a.name, dns.TypeToString[a.q.Qtype])
	}
	a.Rcode = dns.RcodeNameError
	return a.name + " does not exist"
}

// soa is the start of authority of a zone, as negative answers carry it.
func (a *answer) soa(origin string) *dns.SOA {
	agent, _ := a.zone.Agent()
	mail := a.zone.Domain()
	if mail == "" {
		mail = origin
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: dns.Fqdn(origin), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: negativeTTL},
		Ns:  dns.Fqdn(agent), Mbox: dns.Fqdn("hostmaster." + mail), Serial: a.zone.Serial(),
		Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: negativeTTL,
	}
}

// wants tells whether records of the type are asked for.
func (a *answer) wants(kind uint16) bool { return a.q.Qtype == kind || a.q.Qtype == dns.TypeANY }

// header names the record as the query does, letter for letter.
func (a *answer) header(kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: a.q.Name, Rrtype: kind, Class: dns.ClassINET, Ttl: DefaultTTL}
}
