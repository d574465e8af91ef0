package agent

import (
	"encoding/json"

	"sprout"
)

// answerQuestion answers what the centre asks. It changes nothing.
func (s *site) answerQuestion(q sprout.Question) (any, error) {
	switch q.Kind {
	case sprout.ExplainDHCP:
		var of sprout.DHCPQuestion
		if err := json.Unmarshal(q.Body, &of); err != nil {
			return nil, sprout.Errorf(sprout.Invalid, "cannot read the question: %w", err)
		}
		server := s.leases.Load()
		if server == nil {
			return nil, sprout.Errorf(sprout.Unavailable, "cannot explain: the agent serves no DHCP for IPv4")
		}
		return server.Explain(of)
	default:
		return nil, sprout.Errorf(sprout.Invalid, "cannot answer a question of kind %q: the agent is of version %s", q.Kind, sprout.Version)
	}
}
