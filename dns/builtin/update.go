package builtin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"sprout"
	sproutdns "sprout/dns"
	"sprout/dns/zone"
)

// An Updater keeps what updates change. The agent's store is one.
type Updater interface {
	// UpdateNames removes records that updates made and adds others, all or
	// none: kept on disk and served when it returns.
	UpdateNames(ctx context.Context, remove, add []sprout.Record) error
}

// A refusal is why an update is not made.
type refusal struct {
	rcode  int
	reason string
}

func (r refusal) Error() string { return r.reason }

func no(rcode int, format string, args ...any) error {
	return refusal{rcode, fmt.Sprintf(format, args...)}
}

// update answers RFC 2136. What the centre gave, of machines or by hand, is not
// changed by updates; what they make is the site's, and stands beside it.
func (s *Server) update(ctx context.Context, x *exchange) bool {
	m := new(dns.Msg)
	m.SetRcode(x.query, dns.RcodeSuccess)
	setEDNS(x.query, m)
	reason := "updated"
	if err := s.tryUpdate(ctx, x); err != nil {
		m.Rcode, reason = dns.RcodeServerFailure, err.Error()
		if r, ok := err.(refusal); ok { //nolint:errorlint // it is never wrapped
			m.Rcode = r.rcode
		}
		s.config.Log.Info("update is not made", "client", x.client, "key", x.key, "rcode", dns.RcodeToString[m.Rcode], "reason", reason)
	}
	return s.reply(ctx, x, m, reason)
}

func (s *Server) tryUpdate(ctx context.Context, x *exchange) error {
	if s.config.Updates == nil {
		return no(dns.RcodeNotImplemented, "this server takes no updates")
	}
	if x.key == "" || !s.rules().mayUpdate(x.key, x.client.Addr()) {
		return no(dns.RcodeRefused, "the site's policy lets nobody like this update")
	}
	if len(x.query.Question) != 1 || x.query.Question[0].Qtype != dns.TypeSOA || x.query.Question[0].Qclass != dns.ClassINET {
		return no(dns.RcodeFormatError, "an update names one zone")
	}
	origin, err := wireName(x.query.Question[0].Name)
	if err != nil {
		return no(dns.RcodeFormatError, "%v", err)
	}
	if _, ok := s.config.Zones.Zone(origin); !ok {
		return no(dns.RcodeNotAuth, "%s is no zone of this site", x.query.Question[0].Name)
	}
	s.updating.Lock()
	defer s.updating.Unlock()
	u := &updating{zones: s.config.Zones, origin: origin, names: map[string]*updated{}}
	if err := u.require(x.query.Answer); err != nil {
		return err
	}
	if err := u.scan(x.query.Ns); err != nil {
		return err
	}
	for _, rr := range x.query.Ns {
		if err := u.apply(rr); err != nil {
			return err
		}
	}
	remove, add := u.changes()
	if len(remove)+len(add) == 0 {
		return nil
	}
	return s.config.Updates.UpdateNames(ctx, remove, add)
}

// An updating is an update being worked out.
type updating struct {
	zones  *zone.DB
	origin string
	names  map[string]*updated // that it touches, on the wire
}

// An updated is what updates have made at a name: before this one, and now.
type updated struct {
	before, now []sprout.Record
}

// at finds what is at a name of the zone.
func (u *updating) at(name string) (string, zone.Found, error) {
	wire, err := wireName(name)
	if err != nil {
		return "", zone.Found{}, no(dns.RcodeFormatError, "%v", err)
	}
	found, ok := u.zones.Look(wire)
	if !ok || found.Zone.Origin != u.origin {
		return "", found, no(dns.RcodeNotZone, "%s is not in the zone", name)
	}
	return wire, found, nil
}

// require checks the prerequisites (RFC 2136 section 3.2).
func (u *updating) require(section []dns.RR) error {
	type set struct {
		name string
		kind uint16
	}
	exact := map[set][]string{}
	for _, rr := range section {
		h := rr.Header()
		name, found, err := u.at(h.Name)
		if err != nil {
			return err
		}
		if h.Ttl != 0 {
			return no(dns.RcodeFormatError, "a prerequisite has a TTL")
		}
		switch h.Class {
		case dns.ClassANY, dns.ClassNONE:
			if err := requireSet(h, found); err != nil {
				return err
			}
		case dns.ClassINET:
			key := set{name, h.Rrtype}
			exact[key] = append(exact[key], valueOf(rr))
		default:
			return no(dns.RcodeFormatError, "a prerequisite is of another class")
		}
	}
	for want, values := range exact {
		found, _ := u.zones.Look(want.name)
		var has []string
		for _, d := range found.Records {
			if uint16(d.Kind()) == want.kind {
				rr, err := record(readable(want.name), d)
				if err != nil {
					return err
				}
				has = append(has, valueOf(rr))
			}
		}
		slices.Sort(values)
		slices.Sort(has)
		if !slices.Equal(slices.Compact(values), has) {
			return no(dns.RcodeNXRrset, "%s has other records of type %s", readable(want.name), dns.TypeToString[want.kind])
		}
	}
	return nil
}

// requireSet checks that a name, or a type of it, is or is not there.
func requireSet(h *dns.RR_Header, found zone.Found) error {
	if h.Rdlength != 0 {
		return no(dns.RcodeFormatError, "a prerequisite has data")
	}
	has := slices.ContainsFunc(found.Records, func(d zone.Data) bool { return h.Rrtype == dns.TypeANY || uint16(d.Kind()) == h.Rrtype }) ||
		h.Rrtype == dns.TypeSOA && found.Apex
	for _, c := range []struct {
		class uint16
		any   bool
		want  bool
		rcode int
	}{
		{dns.ClassANY, true, true, dns.RcodeNameError}, {dns.ClassANY, false, true, dns.RcodeNXRrset},
		{dns.ClassNONE, true, false, dns.RcodeYXDomain}, {dns.ClassNONE, false, false, dns.RcodeYXRrset},
	} {
		if c.class == h.Class && c.any == (h.Rrtype == dns.TypeANY) && c.want != has {
			return no(c.rcode, "the prerequisite on %s does not hold", h.Name)
		}
	}
	return nil
}

// valueOf is a record's data as it is compared.
func valueOf(rr dns.RR) string {
	_, value, _ := strings.Cut(rr.String(), rr.Header().String())
	if _, text := rr.(*dns.TXT); text {
		return value
	}
	return strings.ToLower(value)
}

// scan refuses an update before any of it is made (RFC 2136 section 3.4.1).
func (u *updating) scan(section []dns.RR) error {
	for _, rr := range section {
		h := rr.Header()
		_, found, err := u.at(h.Name)
		if err != nil {
			return err
		}
		meta := h.Rrtype >= 128 && h.Rrtype <= 255 || h.Rrtype == 0 || h.Rrtype == dns.TypeOPT
		any := h.Rrtype == dns.TypeANY
		ok := false
		switch h.Class {
		case dns.ClassINET:
			ok = !meta
		case dns.ClassANY:
			ok = h.Ttl == 0 && h.Rdlength == 0 && (!meta || any)
		case dns.ClassNONE:
			ok = h.Ttl == 0 && !meta
		}
		if !ok {
			return no(dns.RcodeFormatError, "a record of class %d and type %d cannot be updated", h.Class, h.Rrtype)
		}
		if found.Given {
			return no(dns.RcodeRefused, "%s is made by Sprout: updates do not change it", h.Name)
		}
	}
	return nil
}

// touch returns what updates have made at a name.
func (u *updating) touch(name string) (*updated, error) {
	wire, found, err := u.at(name)
	if err != nil {
		return nil, err
	}
	if n := u.names[wire]; n != nil {
		return n, nil
	}
	n := &updated{}
	for _, d := range found.Local {
		rr, err := record(readable(wire), d)
		if err != nil {
			return nil, err
		}
		r, err := madeBy(rr)
		if err != nil {
			return nil, err
		}
		n.before = append(n.before, r)
	}
	n.now = slices.Clone(n.before)
	u.names[wire] = n
	return n, nil
}

// apply makes one change (RFC 2136 section 3.4.2).
func (u *updating) apply(rr dns.RR) error {
	h := rr.Header()
	n, err := u.touch(h.Name)
	if err != nil {
		return err
	}
	kind := dns.TypeToString[h.Rrtype]
	if h.Class == dns.ClassANY {
		n.now = slices.DeleteFunc(n.now, func(r sprout.Record) bool { return h.Rrtype == dns.TypeANY || r.Type == kind })
		return nil
	}
	r, err := madeBy(rr)
	if err != nil {
		return err
	}
	same := func(o sprout.Record) bool { return o.Type == r.Type && o.Data == r.Data }
	if h.Class == dns.ClassNONE {
		n.now = slices.DeleteFunc(n.now, same)
		return nil
	}
	aliases := func(o sprout.Record) bool { return (o.Type == "CNAME") != (r.Type == "CNAME") }
	if slices.ContainsFunc(n.now, aliases) {
		return nil // an alias stands alone: ignored (section 3.4.2.2)
	}
	n.now = slices.DeleteFunc(n.now, func(o sprout.Record) bool { return same(o) || r.Type == "CNAME" })
	n.now = append(n.now, r)
	return nil
}

// changes are what goes and what comes.
func (u *updating) changes() (remove, add []sprout.Record) {
	for _, n := range u.names {
		for _, r := range n.before {
			if !slices.Contains(n.now, r) {
				remove = append(remove, r)
			}
		}
		for _, r := range n.now {
			if !slices.Contains(n.before, r) {
				add = append(add, r)
			}
		}
	}
	return remove, add
}

// madeBy is a record of an update as Sprout keeps it. What it would not serve
// to the letter is refused.
func madeBy(rr dns.RR) (sprout.Record, error) {
	h := rr.Header()
	r := sprout.Record{Name: h.Name, Type: dns.TypeToString[h.Rrtype], TTL: int(min(h.Ttl, sproutdns.MaxTTL)), Source: sprout.UpdateRecord}
	switch v := rr.(type) {
	case *dns.A:
		r.Data = v.A.String()
	case *dns.AAAA:
		ip, _ := netip.AddrFromSlice(v.AAAA)
		r.Data = ip.String()
	case *dns.CNAME:
		r.Data = v.Target
	case *dns.PTR:
		r.Data = v.Ptr
	case *dns.MX:
		r.Data = fmt.Sprint(v.Preference, " ", v.Mx)
	case *dns.SRV:
		r.Data = fmt.Sprint(v.Priority, " ", v.Weight, " ", v.Port, " ", v.Target)
	case *dns.TXT:
		text, err := textOf(v)
		if err != nil {
			return r, err
		}
		r.Data = text
	default:
		return r, no(dns.RcodeRefused, "records of type %s are not kept", r.Type)
	}
	kept, err := sproutdns.Check(r)
	if err != nil {
		return r, no(dns.RcodeRefused, "%v", err)
	}
	return kept, nil
}

// textOf joins a text's strings, where they can be told apart again: all but
// the last are full.
func textOf(v *dns.TXT) (string, error) {
	wire := make([]byte, dns.Len(v)+1)
	n, err := dns.PackRR(v, wire, 0, nil, false)
	if err != nil {
		return "", no(dns.RcodeFormatError, "%v", err)
	}
	_, at, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return "", no(dns.RcodeFormatError, "%v", err)
	}
	var text []byte
	for data := wire[at+10 : n]; len(data) > 0; data = data[1+data[0]:] {
		if data[0] < 255 && len(data) > 1+int(data[0]) {
			return "", no(dns.RcodeRefused, "a text in strings of less than 255 octets is not kept")
		}
		text = append(text, data[1:1+data[0]]...)
	}
	return string(text), nil
}
