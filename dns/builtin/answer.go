package builtin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	sproutdns "sprout/dns"
	"sprout/dns/zone"
)

// maxAliases is how many aliases one answer follows.
const maxAliases = 32

// Answer returns what the zones say to any query, and why. It reads the zones
// and changes nothing. RFC 1034 section 4.3.2, RFC 2308 for negative answers,
// RFC 6891 for EDNS. Ordinary queries get the same from zone.Reader, sooner.
func Answer(query *dns.Msg, zones *zone.DB) (*dns.Msg, string) {
	m := new(dns.Msg)
	if bad, reason := unserved(query); bad != dns.RcodeSuccess {
		return refuse(query, bad), reason
	}
	m.SetReply(query)
	m.Compress = true
	setEDNS(query, m)
	a := answer{Msg: m, zones: zones, q: query.Question[0]}
	if opt := query.IsEdns0(); opt != nil {
		a.secure = opt.Do()
	}
	reason, err := a.fill()
	if err != nil {
		return refuse(query, dns.RcodeServerFailure), err.Error()
	}
	return m, reason
}

// refuse answers with an error only.
func refuse(query *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(query, rcode)
	setEDNS(query, m)
	return m
}

// unserved tells which queries are not answered from the zones, whatever they
// ask for.
func unserved(query *dns.Msg) (rcode int, reason string) {
	switch {
	case query.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented, "only queries and updates are served"
	case len(query.Question) != 1:
		return dns.RcodeFormatError, fmt.Sprintf("%d questions", len(query.Question))
	case !atMostOneOPT(query):
		return dns.RcodeFormatError, "more than one OPT, or one of a name"
	}
	q := query.Question[0]
	switch {
	case query.IsEdns0() != nil && query.IsEdns0().Version() != 0:
		return dns.RcodeBadVers, "unknown version of EDNS"
	case q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY:
		return dns.RcodeRefused, "only class IN is served"
	case q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR:
		return dns.RcodeRefused, "transfers have a way of their own"
	}
	return dns.RcodeSuccess, ""
}

// atMostOneOPT holds a query to RFC 6891 section 6.1.1.
func atMostOneOPT(query *dns.Msg) bool {
	found := 0
	for _, rr := range query.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			continue
		}
		if found++; found > 1 || rr.Header().Name != "." {
			return false
		}
	}
	return true
}

// setEDNS answers EDNS with EDNS.
func setEDNS(query, m *dns.Msg) {
	if opt := query.IsEdns0(); opt != nil {
		m.SetEdns0(zone.MaxUDP, opt.Do())
		m.IsEdns0().SetVersion(0)
	}
}

// An answer is a reply in the making.
type answer struct {
	*dns.Msg
	zones  *zone.DB
	q      dns.Question
	secure bool // signatures are asked for (RFC 3225)
}

// fill answers from the zone of the name, and from those of what it is an
// alias of. It returns the reason.
func (a *answer) fill() (string, error) {
	name := a.q.Name
	for range maxAliases {
		wire, err := wireName(name)
		if err != nil {
			return "", err
		}
		at, ok := a.look(wire)
		if !ok {
			return a.outside(name), nil
		}
		a.Authoritative = true
		found, err := a.add(name, wire, at)
		if err != nil || found {
			return fmt.Sprintf("%d records of %s", len(a.Answer), name), err
		}
		alias, err := aliasOf(name, at)
		if err != nil || alias == nil {
			return a.none(name, at, err)
		}
		a.Answer = append(a.Answer, alias)
		if err := a.sign(&a.Answer, name, at, sproutdns.CNAME); err != nil {
			return "", err
		}
		name = alias.Target
		if slices.ContainsFunc(a.Answer, func(rr dns.RR) bool { return strings.EqualFold(rr.Header().Name, name) }) {
			return "aliases lead back to " + name, nil
		}
	}
	return "aliases of aliases: " + name + " is not followed", nil
}

// look finds a name. What vouches for a zone is in the one above it, where that is
// of this site too.
func (a *answer) look(wire string) (zone.Found, bool) {
	at, ok := a.zones.Look(wire)
	if ok && at.Apex && a.q.Qtype == dns.TypeDS {
		if above, is := a.zones.LookAbove(wire); is {
			return above, true
		}
	}
	return at, ok
}

// sign adds the signatures of a name's records of a kind.
func (a *answer) sign(to *[]dns.RR, name string, at zone.Found, kind sproutdns.Kind) error {
	if !a.secure || at.Secure == nil {
		return nil
	}
	from := at.Secure.Records
	if kind == sproutdns.SOA {
		from = at.Secure.Start
	}
	for _, d := range from {
		if d.Kind() != sproutdns.RRSIG {
			continue
		}
		rr, err := record(name, d)
		if err != nil {
			return err
		}
		if rr.(*dns.RRSIG).TypeCovered == uint16(kind) {
			*to = append(*to, rr)
		}
	}
	return nil
}

// outside ends an answer at a name of no zone here.
func (a *answer) outside(name string) string {
	if len(a.Answer) == 0 {
		a.Rcode = dns.RcodeRefused
	}
	return strings.TrimSuffix(name, ".") + " is outside the zones of this site"
}

// add adds the records that are asked for, and to a zone's name servers their
// addresses.
func (a *answer) add(name, wire string, at zone.Found) (found bool, err error) {
	records := at.Records
	if wire == at.Zone.Origin {
		records = append([]zone.Data{at.Zone.SOA.Data}, records...)
	}
	if s := at.Secure; s != nil && (a.q.Qtype == dns.TypeNSEC || a.q.Qtype == dns.TypeRRSIG || a.q.Qtype == dns.TypeANY) {
		records = slices.Concat(records, s.Records)
		if wire == at.Zone.Origin {
			records = append(records, s.Start...)
		}
	}
	for _, d := range records {
		if kind := uint16(d.Kind()); a.q.Qtype != kind && a.q.Qtype != dns.TypeANY {
			continue
		}
		rr, err := record(name, d)
		if err != nil {
			return false, err
		}
		a.Answer, found = append(a.Answer, rr), true
		if ns, ok := rr.(*dns.NS); ok {
			a.glue(ns.Ns)
		}
	}
	if kind := sproutdns.Kind(a.q.Qtype); found && kind != sproutdns.RRSIG && a.q.Qtype != dns.TypeANY {
		return true, a.sign(&a.Answer, name, at, kind)
	}
	return found, nil
}

// glue adds the addresses of a name server, where its name is of these zones.
func (a *answer) glue(server string) {
	wire, err := wireName(server)
	if err != nil {
		return
	}
	at, _ := a.zones.Look(wire)
	for _, d := range at.Records {
		if d.Kind() != sproutdns.A && d.Kind() != sproutdns.AAAA {
			continue
		}
		if rr, err := record(server, d); err == nil {
			a.Extra = append(a.Extra, rr)
		}
	}
}

// aliasOf returns the alias that a name is; nil: it is none.
func aliasOf(name string, at zone.Found) (*dns.CNAME, error) {
	if len(at.Records) == 0 || at.Records[0].Kind() != sproutdns.CNAME {
		return nil, nil
	}
	rr, err := record(name, at.Records[0])
	if err != nil {
		return nil, err
	}
	return rr.(*dns.CNAME), nil
}

// none ends an answer: without records it is "no such name" or "not of this
// type", and carries the SOA by which resolvers keep it (RFC 2308).
func (a *answer) none(name string, at zone.Found, err error) (string, error) {
	if err != nil {
		return "", err
	}
	soa, err := record(readable(at.Zone.Origin), at.Negative)
	if err != nil {
		return "", err
	}
	a.Ns = append(a.Ns, soa)
	if err := a.deny(at, soa.Header().Ttl); err != nil {
		return "", err
	}
	if at.Exists {
		return fmt.Sprintf("%s has no %s", name, dns.TypeToString[a.q.Qtype]), nil
	}
	a.Rcode = dns.RcodeNameError
	return name + " does not exist", nil
}

// deny adds what proves that there is nothing (RFC 4035 section 3.1.3).
func (a *answer) deny(at zone.Found, ttl uint32) error {
	if !a.secure || at.Secure == nil {
		return nil
	}
	if err := a.sign(&a.Ns, readable(at.Zone.Origin), at, sproutdns.SOA); err != nil {
		return err
	}
	for _, rr := range a.Ns {
		rr.Header().Ttl = min(rr.Header().Ttl, ttl) // the SOA's here is less than it is signed with
	}
	for _, i := range at.Secure.Denial {
		rr, err := RR(i)
		if err != nil {
			return err
		}
		a.Ns = append(a.Ns, rr)
	}
	return nil
}
