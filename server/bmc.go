package server

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/bus"
	"sprout/store"
)

// crawlWithin is how long an agent has for the addresses of one question: longer than it
// gives itself.
const crawlWithin = 80 * time.Second

// bmcCrawl has the site's agent look at the next addresses, says what machines they are,
// and registers those that are new where that is asked for.
func (s *Server) bmcCrawl(ctx context.Context, in *api.CrawlBMCs) (out api.Crawl, err error) {
	site, err := s.findSite(ctx, in.Body.Site)
	if err != nil {
		return out, err
	}
	all, err := crawled(in.Body.Addresses)
	if err != nil {
		return out, err
	}
	out.Total, out.Items = len(all), []sprout.FoundBMC{}
	part, err := partAfter(all, in.Body.After)
	if err != nil || in.Body.Plan && !in.Body.Accept {
		return out, err
	}
	q := sprout.CrawlQuestion{Addresses: part, Insecure: in.Body.Insecure}
	if q.Redfish, err = crawlForm("redfish", in.Body.Redfish, "https", "http"); err != nil {
		return out, err
	}
	if q.IPMI, err = crawlForm("ipmi", in.Body.IPMI, "ipmi"); err != nil {
		return out, err
	}
	c, err := s.newCrawl(ctx, site, in, &q)
	if err != nil {
		return out, err
	}
	asking, cancel := context.WithTimeout(ctx, crawlWithin)
	defer cancel()
	if err := s.bus.Ask(asking, site.ID, sprout.CrawlBMCs, q, &out.Items); err != nil {
		return out, err
	}
	if len(out.Items) != len(part) {
		return out, sprout.Errorf(sprout.Invalid, "cannot use an answer of %d BMCs to %d addresses", len(out.Items), len(part))
	}
	out.Done = slices.Index(all, part[len(part)-1]) + 1
	if out.Done < out.Total {
		out.Next = part[len(part)-1].String()
	}
	for i := range out.Items {
		if err := c.judge(ctx, &out.Items[i]); err != nil {
			return out, err
		}
	}
	return out, nil
}

// A crawl is one request to look for BMCs.
type crawl struct {
	*Server
	site     sprout.Site
	in       *api.CrawlBMCs
	password string
}

// newCrawl opens the credentials, seals them to the site's agent, and notes who asks.
func (s *Server) newCrawl(ctx context.Context, site sprout.Site, in *api.CrawlBMCs, q *sprout.CrawlQuestion) (*crawl, error) {
	c := &crawl{Server: s, site: site, in: in, password: in.Body.Password}
	if in.Body.MachineName != "" {
		if strings.Contains(in.Body.MachineName, "{counter}") {
			return nil, sprout.InvalidField("machineName", "cannot have {counter}: two crawls would count differently").WithRemedy("--name 'node-{serial}'")
		}
		if err := (sprout.RuleGift{MachineName: in.Body.MachineName}).Check(); err != nil {
			return nil, err
		}
	}
	if in.Body.Rule != "" {
		if err := c.takeRule(ctx); err != nil {
			return nil, err
		}
	}
	q.Username = in.Body.Username
	agent, err := s.store.AgentOf(ctx, site.ID)
	if sprout.KindOf(err) == sprout.NotFound || err == nil && !agent.Online {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot look for BMCs: site %s has no agent that is heard of", site.Name).WithRemedy("sprout agent list")
	}
	if err != nil {
		return nil, err
	}
	if c.password != "" {
		if q.Secret, err = bus.Seal(agent.SealKey, []byte(c.password)); err != nil {
			return nil, err
		}
	}
	return c, s.change(ctx, api.BMCCrawl.Name, func(_ context.Context, _ pgx.Tx, r *sprout.AuditRecord) error {
		about(r, site.ID, string(site.ID), site.Name)
		r.Detail = fmt.Sprintf("%d addresses from %s on", len(q.Addresses), q.Addresses[0])
		if q.Username != "" {
			r.Detail += ", as " + q.Username
		}
		if in.Body.Rule != "" {
			r.Detail += " of rule " + in.Body.Rule
		}
		return nil
	})
}

// takeRule uses the account of a rule's BMC. It could be shown to a machine of the
// asker's, so it takes somebody who may set rules.
func (c *crawl) takeRule(ctx context.Context) error {
	b := &c.in.Body
	if may, enough := api.Reach(bearer(ctx), sprout.Admin); !enough || !may.Every() {
		return sprout.Errorf(sprout.Denied, "cannot use the BMC account of rule %s: it needs the role admin of all sites", b.Rule).
			WithRemedy("sprout bmc crawl %s ADDRESS --bmc-user USER --bmc-password -", c.site.Name)
	}
	if b.Username != "" || b.Password != "" {
		return sprout.InvalidField("rule", "cannot use its account and another: give a rule, or a user name and password")
	}
	rule, err := c.findRule(ctx, b.Rule)
	if err != nil {
		return err
	}
	if rule.BMC == nil {
		return sprout.InvalidField("rule", "cannot use its account: rule %s gives no BMC", b.Rule).WithRemedy("sprout rule set %s --bmc-user …", b.Rule)
	}
	b.Username, b.Insecure = rule.BMC.Username, b.Insecure || rule.BMC.Insecure
	c.password, err = c.store.RulePassword(ctx, b.Rule)
	return err
}

// crawlForm is where BMCs of a kind are looked for; empty: nowhere.
func crawlForm(field, form string, schemes ...string) (string, error) {
	switch {
	case form == "none":
		return "", nil
	case form == "":
		return schemes[0] + "://" + sprout.AddressField, nil
	case strings.Count(form, sprout.AddressField) != 1:
		return "", sprout.InvalidField(field, "cannot be looked at: %s must be in it once", sprout.AddressField)
	}
	scheme, rest, _ := strings.Cut(form, "://")
	if !slices.Contains(schemes, scheme) || !strings.HasPrefix(rest, sprout.AddressField) {
		return "", sprout.InvalidField(field, "cannot be looked at: it must begin with %s://%s", schemes[0], sprout.AddressField)
	}
	return form, nil
}

// crawled lists the addresses that are asked for, in order, each once.
func crawled(texts []string) (all []netip.Addr, err error) {
	seen := map[netip.Addr]bool{}
	for i, text := range texts {
		field := fmt.Sprintf("addresses[%d]", i)
		first, last, err := spanOf(field, strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		for ip := first; ip.IsValid() && ip.Compare(last) <= 0; ip = ip.Next() {
			if !seen[ip] {
				seen[ip], all = true, append(all, ip)
			}
			if len(all) > sprout.MostCrawled {
				return nil, sprout.InvalidField(field, "cannot look at more than %d addresses at once", sprout.MostCrawled).WithRemedy("sprout bmc crawl for a part of them at a time")
			}
		}
	}
	return all, nil
}

// spanOf reads an address, a range or a prefix. Addresses at which no BMC can be are refused.
func spanOf(field, text string) (first, last netip.Addr, err error) {
	switch {
	case strings.Contains(text, "/"):
		prefix, bad := netip.ParsePrefix(text)
		if bad != nil {
			return first, last, sprout.InvalidField(field, "%q must be an address, a range or a prefix, as 10.0.5.0/24", text)
		}
		first, last = prefix.Masked().Addr(), store.LastOf(prefix.Masked())
		if first.Is4() && prefix.Bits() < 31 {
			first, last = first.Next(), last.Prev()
		}
	case strings.Contains(text, "-"):
		r, bad := parseRange(field, text)
		if bad != nil {
			return first, last, sprout.InvalidField(field, "%q is no range such as 10.0.5.10-10.0.5.40", text)
		}
		first, last = r.First, r.Last
	default:
		ip, bad := netip.ParseAddr(text)
		if bad != nil || ip.Zone() != "" {
			return first, last, sprout.InvalidField(field, "%q must be an address, a range or a prefix, as 10.0.5.0/24", text)
		}
		first, last = ip, ip
	}
	for _, ip := range []netip.Addr{first, last} {
		if ip.IsMulticast() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return first, last, sprout.InvalidField(field, "cannot look for a BMC at %s: no host has it", ip)
		}
	}
	return first, last, nil
}

// partAfter is what is looked at now.
func partAfter(all []netip.Addr, after string) ([]netip.Addr, error) {
	if after != "" {
		ip, err := netip.ParseAddr(after)
		at := slices.Index(all, ip)
		if err != nil || at < 0 || at == len(all)-1 {
			return nil, sprout.InvalidField("after", "cannot go on after %q: it must be one of the addresses, and not the last", after)
		}
		all = all[at+1:]
	}
	return all[:min(len(all), sprout.MostCrawledAtOnce)], nil
}
