package agent

import (
	"context"
	"encoding/json"
	"net/netip"

	"sprout"
)

// answerQuestion answers what the centre asks. It changes nothing that is kept.
func (s *site) answerQuestion(ctx context.Context, q sprout.Question) (any, error) {
	switch q.Kind {
	case sprout.ExplainDHCP:
		var of sprout.DHCPQuestion
		if err := json.Unmarshal(q.Body, &of); err != nil {
			return nil, sprout.Errorf(sprout.Invalid, "cannot read the question: %w", err)
		}
		if of.Version == 6 {
			server := s.leases6.Load()
			if server == nil {
				return nil, sprout.Errorf(sprout.Unavailable, "cannot explain: the agent serves no DHCP for IPv6")
			}
			return server.Explain(of)
		}
		server := s.leases.Load()
		if server == nil {
			return nil, sprout.Errorf(sprout.Unavailable, "cannot explain: the agent serves no DHCP for IPv4")
		}
		return server.Explain(of)
	case sprout.ProbeAddresses:
		var ips []netip.Addr
		if err := json.Unmarshal(q.Body, &ips); err != nil || len(ips) > sprout.MostProbes {
			return nil, sprout.Errorf(sprout.Invalid, "cannot read the question: it must be at most %d addresses", sprout.MostProbes)
		}
		return s.probe(ctx, ips), nil
	case sprout.CrawlBMCs:
		var of sprout.CrawlQuestion
		if err := json.Unmarshal(q.Body, &of); err != nil || len(of.Addresses) > sprout.MostCrawledAtOnce {
			return nil, sprout.Errorf(sprout.Invalid, "cannot read the question: it must be at most %d addresses", sprout.MostCrawledAtOnce)
		}
		return s.crawl(ctx, of)
	case sprout.OpenConsole, sprout.KeepConsole, sprout.TypeConsole, sprout.CloseConsole:
		var of sprout.ConsoleQuestion
		if err := json.Unmarshal(q.Body, &of); err != nil || of.View == "" {
			return nil, sprout.Errorf(sprout.Invalid, "cannot read the question: it must be about a view of a machine's console")
		}
		return s.consoles.answer(ctx, q.Kind, of)
	default:
		return nil, sprout.Errorf(sprout.Invalid, "cannot answer a question of kind %q: the agent is of version %s", q.Kind, sprout.Version)
	}
}
