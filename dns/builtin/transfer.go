package builtin

import (
	"context"

	"github.com/miekg/dns"

	"sprout/dns/zone"
)

// transferLen is how many octets one message of a transfer carries, about: many
// records a message, each message within one write.
const transferLen = 16 << 10

// transfer answers AXFR (RFC 5936) and IXFR (RFC 1995).
func (s *Server) transfer(ctx context.Context, x *exchange) bool {
	q := x.query.Question[0]
	refused := func(rcode int, reason string) bool { return s.reply(ctx, x, refuse(x.query, rcode), reason) }
	if !s.rules().mayTransfer(x.key, x.client.Addr()) {
		return refused(dns.RcodeRefused, "the site's policy lets nobody like this transfer")
	}
	origin, err := wireName(q.Name)
	if err != nil {
		return refused(dns.RcodeFormatError, err.Error())
	}
	at, ok := s.config.Zones.Zone(origin)
	if !ok {
		return refused(dns.RcodeNotAuth, "no zone of this site has this name")
	}
	if q.Qtype == dns.TypeAXFR && !x.tcp {
		return refused(dns.RcodeRefused, "zones are transferred by TCP")
	}
	since, known := sinceSerial(x.query)
	if q.Qtype == dns.TypeIXFR && !known {
		return refused(dns.RcodeFormatError, "the serial that the client has is missing")
	}
	if q.Qtype == dns.TypeIXFR && (!x.tcp || int32(since-at.Serial) >= 0) {
		// Up to date; or by UDP, where this says: ask by TCP (RFC 1995 section 2).
		return s.sendZone(ctx, x, []zone.Item{at.SOA})
	}
	return s.sendZone(ctx, x, s.stream(origin, since, q.Qtype == dns.TypeIXFR))
}

// sinceSerial is the serial in an IXFR's authority section.
func sinceSerial(query *dns.Msg) (uint32, bool) {
	if len(query.Ns) != 1 {
		return 0, false
	}
	soa, ok := query.Ns[0].(*dns.SOA)
	if !ok {
		return 0, false
	}
	return soa.Serial, true
}

// stream lists the records of a transfer: the changes since a serial, if the
// journal has them and they are fewer than the zone's records, else all of it.
func (s *Server) stream(origin string, since uint32, incremental bool) []zone.Item {
	soa, items, _ := s.config.Zones.Transfer(origin)
	if incremental {
		now, steps, ok := s.config.Zones.Changes(origin, since)
		list := []zone.Item{now}
		for _, step := range steps {
			list = append(append(append(append(list, step.From), step.Del...), step.To), step.Add...)
		}
		if ok && len(list) <= len(items) {
			return append(list, now)
		}
	}
	return append(append([]zone.Item{soa}, items...), soa)
}

// sendZone sends records in as many messages as they need.
func (s *Server) sendZone(ctx context.Context, x *exchange, items []zone.Item) bool {
	s.config.Log.Info("zone is transferred", "zone", x.query.Question[0].Name, "client", x.client, "key", x.key, "type", dns.TypeToString[x.query.Question[0].Qtype], "records", len(items))
	for len(items) > 0 && ctx.Err() == nil {
		m := new(dns.Msg)
		m.SetReply(x.query)
		m.Authoritative, m.Compress = true, true
		for size := 0; len(items) > 0 && size < transferLen; items = items[1:] {
			rr, err := record(readable(items[0].Owner), items[0].Data)
			if err != nil {
				s.config.Log.Error("zone cannot be transferred", "zone", x.query.Question[0].Name, "error", err)
				return false
			}
			m.Answer, size = append(m.Answer, rr), size+len(items[0].Owner)+len(items[0].Data)
		}
		wire, err := x.pack(m)
		if err == nil {
			err = x.send(wire)
		}
		if err != nil {
			s.config.Log.Info("zone transfer ends early", "zone", x.query.Question[0].Name, "client", x.client, "error", err)
			return false
		}
	}
	return true
}
