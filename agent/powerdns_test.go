package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/powerdns/powerdnstest"
)

// A site whose names PowerDNS answers: it lives without PowerDNS and says so; then
// what the centre sends is answered by PowerDNS, and the agent has no name server.
func TestPowerDNSServesASite(t *testing.T) {
	d, c := powerdnstest.New(t), newCentre(t)
	config := c.agentConfig()
	config.DNS = DNS{Provider: "powerdns", PowerDNS: PowerDNS{URL: d.URL, KeyFile: d.KeyFile}}
	runAgent(t, config)
	c.change(true, sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1", Name: "lon1", Domain: "lon1.example"})
	c.says(sprout.PowerDNSUnreachable, true)
	d.Start(t)
	c.says(sprout.PowerDNSUnreachable, false)
	r := sprout.Record{Site: "sit_1", Name: "web-01.lon1.example", IP: netip.MustParseAddr("10.0.0.5"), TTL: 60}
	c.change(true, sprout.ChangeRecord, "web-01.lon1.example 10.0.0.5", r)
	client := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) { // PowerDNS tells nobody when it has it
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion("web-01.lon1.example.", dns.TypeA), d.DNS.String())
		if err == nil && len(m.Answer) == 1 && strings.HasSuffix(m.Answer[0].String(), "10.0.0.5") {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("PowerDNS does not answer with the name: %v %v", m, err)
		}
	}
	own := netip.AddrPortFrom(config.Address.Addr(), config.Ports.DNS)
	if m, _, err := client.Exchange(new(dns.Msg).SetQuestion("web-01.lon1.example.", dns.TypeA), own.String()); err == nil {
		t.Errorf("the agent answers beside PowerDNS: %v", m)
	}
}
