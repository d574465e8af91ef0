package agent

import (
	"context"
	"net/netip"
	"net/url"

	"sprout"
	"sprout/power/crawl"
)

// crawl looks for BMCs at addresses. Those of the site's machines are read with the
// machine's own account, and by its governor: nobody else's credentials are shown to them.
func (s *site) crawl(ctx context.Context, q sprout.CrawlQuestion) ([]sprout.FoundBMC, error) {
	password, err := s.unseal(q.Secret)
	if err != nil {
		return nil, err
	}
	own := map[netip.Addr]sprout.SiteMachine{}
	for _, m := range s.store.Machines() {
		if ip, ok := bmcAddress(m.BMC); ok {
			own[ip] = m
		}
	}
	return s.crawler.Look(ctx, q, password, func(ip netip.Addr) (k crawl.Known, is bool) {
		m, is := own[ip]
		if !is {
			return k, false
		}
		return crawl.Known{Machine: m.Name, Driver: m.BMC.Driver, URL: m.BMC.URL, Systems: func(ctx context.Context) ([]sprout.FoundSystem, error) {
			return s.power.systems(ctx, m)
		}}, true
	}), nil
}

// bmcAddress is where a machine's BMC is, where its URL says so by an address.
func bmcAddress(b *sprout.BMC) (ip netip.Addr, ok bool) {
	if b == nil || b.Driver != "redfish" && b.Driver != "ipmi" {
		return ip, false
	}
	at, err := url.Parse(b.URL)
	if err != nil {
		return ip, false
	}
	ip, err = netip.ParseAddr(at.Hostname())
	return ip, err == nil
}

// systems reads what a machine's BMC tells of all behind it.
func (b *bmcs) systems(ctx context.Context, m sprout.SiteMachine) ([]sprout.FoundSystem, error) {
	p, err := b.of(m)
	if err != nil {
		return nil, err
	}
	return p.Systems(ctx)
}
