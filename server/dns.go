package server

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/dns"
	"sprout/store"
)

func (s *Server) dnsRecordCreate(ctx context.Context, in *api.CreateDNSRecord) (made sprout.Record, err error) {
	site, err := s.findSite(ctx, in.Body.Site)
	if err != nil {
		return made, err
	}
	r, err := dns.Check(sprout.Record{Site: site.ID, Name: fullName(in.Body.Name, site.Domain), Type: in.Body.Type, Data: in.Body.Data, TTL: in.Body.TTL})
	if err != nil {
		return made, err
	}
	if err := s.inZone(ctx, site, r.Name); err != nil {
		return made, err
	}
	err = s.change(ctx, api.DNSRecordCreate.Name, func(ctx context.Context, tx pgx.Tx, a *sprout.AuditRecord) (err error) {
		made, err = s.store.CreateDNSRecord(ctx, tx, r)
		about(a, site.ID, made.ID, made.Name)
		a.Changes = audit.Diff(nil, made)
		return err
	})
	return made, err
}

// fullName completes a name of one label by a domain.
func fullName(name, domain string) string {
	switch {
	case name == "@":
		return domain
	case strings.Contains(name, "."):
		return name
	}
	return name + "." + domain
}

// inZone refuses a name that no zone of the site has: nobody would ask for it
// there.
func (s *Server) inZone(ctx context.Context, site sprout.Site, name string) error {
	domains := []string{dns.Canonical(site.Domain), "in-addr.arpa", "ip6.arpa"}
	networks, err := s.store.Networks(ctx, sprout.At(site.ID))
	if err != nil {
		return err
	}
	for _, n := range networks {
		for _, sub := range n.Subnets {
			domains = append(domains, dns.Canonical(sub.Domain))
		}
	}
	if slices.ContainsFunc(domains, func(d string) bool { return d != "" && (name == d || strings.HasSuffix(name, "."+d)) }) {
		return nil
	}
	return sprout.InvalidField("name", "cannot publish %s at %s: its names end in %s", name, site.Name, site.Domain)
}

func (s *Server) dnsRecordList(ctx context.Context, in *api.ListOfSite) (out api.Page[sprout.Record], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.DNSRecords(ctx, store.DNSRecordFilter{Sites: sites, Page: page(in.Paging)}))
}

func (s *Server) dnsRecordShow(ctx context.Context, in *api.DNSRecordRef) (sprout.Record, error) {
	return s.findDNSRecord(ctx, in.Record)
}

func (s *Server) findDNSRecord(ctx context.Context, ref string) (r sprout.Record, err error) {
	defer func() { seen(ctx, err, r.Site, r.ID, r.Name) }()
	return s.store.DNSRecord(ctx, scope(ctx), ref)
}

func (s *Server) dnsRecordDelete(ctx context.Context, in *api.DNSRecordRef) (api.None, error) {
	r, err := s.findDNSRecord(ctx, in.Record)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.DNSRecordDelete.Name, func(ctx context.Context, tx pgx.Tx, a *sprout.AuditRecord) error {
		about(a, r.Site, r.ID, r.Name)
		a.Changes = audit.Diff(r, nil)
		return s.store.DeleteDNSRecord(ctx, tx, r)
	})
}

func (s *Server) dnsKeyCreate(ctx context.Context, in *api.CreateDNSKey) (made sprout.DNSKey, err error) {
	site, err := s.findSite(ctx, in.Site)
	if err != nil {
		return made, err
	}
	k := sprout.DNSKey{Site: site.ID, Name: dns.Canonical(in.Body.Name), Algorithm: cmp.Or(in.Body.Algorithm, "hmac-sha256")}
	if k.Secret, err = dns.NewSecret(k.Algorithm); err != nil {
		return made, err
	}
	if err := dns.CheckKey(k); err != nil {
		return made, err
	}
	if k.Algorithm == dns.SigningAlgorithm {
		signing, err := dns.ReadSigningKey(k.Secret)
		if err != nil {
			return made, err
		}
		k.DNSKEY = signing.DNSKEY()
	}
	err = s.change(ctx, api.DNSKeyCreate.Name, func(ctx context.Context, tx pgx.Tx, a *sprout.AuditRecord) (err error) {
		if k.DNSKEY != "" {
			if err := s.mayHaveSigningKey(ctx, tx, site); err != nil {
				return err
			}
		}
		made, err = s.store.CreateDNSKey(ctx, tx, k)
		about(a, site.ID, site.ID, k.Name)
		a.Changes = audit.Diff(nil, made)
		return err
	})
	if k.DNSKEY == "" {
		made.Secret = k.Secret
		return made, err
	}
	if err == nil {
		made.DS, err = s.dsRecords(ctx, site, made)
	}
	return made, err
}

// mostSigning is how many keys sign a site's zones at once: one takes the other's
// place, and each makes every answer longer.
const mostSigning = 2

func (s *Server) mayHaveSigningKey(ctx context.Context, tx pgx.Tx, site sprout.Site) error {
	keys, err := s.store.In(tx).DNSKeys(ctx, sprout.At(site.ID))
	if err != nil {
		return err
	}
	n := 0
	for _, k := range keys {
		if k.DNSKEY != "" {
			n++
		}
	}
	if n >= mostSigning {
		return sprout.Errorf(sprout.Conflict, "cannot sign the zones of %s with more than %d keys: the older one has to go first", site.Name, mostSigning).
			WithRemedy("sprout dns key list %s", site.Name)
	}
	return nil
}

// dsRecords are what the parents of the site's zones are given for a key.
func (s *Server) dsRecords(ctx context.Context, site sprout.Site, k sprout.DNSKey) (list []string, err error) {
	key, err := dns.ReadDNSKEY(k.DNSKEY)
	if err != nil {
		return nil, err
	}
	networks, err := s.store.Networks(ctx, sprout.At(site.ID))
	if err != nil {
		return nil, err
	}
	domains, prefixes := []string{dns.Canonical(site.Domain)}, []netip.Prefix(nil)
	for _, n := range networks {
		for _, sub := range n.Subnets {
			domains, prefixes = append(domains, dns.Canonical(sub.Domain)), append(prefixes, sub.CIDR)
		}
	}
	for _, zone := range dns.Zones(domains, prefixes) {
		list = append(list, key.DSRecord(zone))
	}
	return list, nil
}

func (s *Server) dnsKeyShow(ctx context.Context, in *api.DNSKeyRef) (sprout.DNSKey, error) {
	site, k, err := s.findDNSKey(ctx, in.Key)
	if err == nil && k.DNSKEY != "" {
		k.DS, err = s.dsRecords(ctx, site, k)
	}
	return k, err
}

func (s *Server) dnsKeyList(ctx context.Context, in *api.ListDNSKeys) (out api.Page[sprout.DNSKey], err error) {
	site, err := s.findSite(ctx, in.Site)
	if err != nil {
		return out, err
	}
	keys, next, err := s.store.DNSKeyPage(ctx, site.ID, page(in.Paging))
	return paged(keys, next, err)
}

// findDNSKey finds SITE/NAME.
func (s *Server) findDNSKey(ctx context.Context, ref string) (site sprout.Site, k sprout.DNSKey, err error) {
	at, name, _ := strings.Cut(ref, "/")
	if site, err = s.findSite(ctx, at); err != nil {
		return site, k, err
	}
	keys, err := s.store.DNSKeys(ctx, sprout.At(site.ID))
	if err != nil {
		return site, k, err
	}
	i := slices.IndexFunc(keys, func(k sprout.DNSKey) bool { return k.Name == dns.Canonical(name) })
	if i < 0 {
		return site, k, sprout.Errorf(sprout.NotFound, "cannot find DNS key %q: name it as SITE/NAME", ref)
	}
	return site, keys[i], nil
}

func (s *Server) dnsKeyDelete(ctx context.Context, in *api.DNSKeyRef) (api.None, error) {
	site, k, err := s.findDNSKey(ctx, in.Key)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.DNSKeyDelete.Name, func(ctx context.Context, tx pgx.Tx, a *sprout.AuditRecord) error {
		about(a, site.ID, site.ID, k.Name)
		p, err := s.store.In(tx).DNSPolicy(ctx, site.ID)
		if err != nil {
			return err
		}
		if dns.CheckPolicy(p, func(name string) bool { return name != k.Name }) != nil {
			return sprout.Errorf(sprout.Conflict, "cannot delete the key %s: the DNS policy of %s names it", k.Name, site.Name).WithRemedy("sprout dns policy show %s", site.Name)
		}
		return s.store.DeleteDNSKey(ctx, tx, k)
	})
}

func (s *Server) dnsPolicyShow(ctx context.Context, in *api.SiteRef) (p sprout.DNSPolicy, err error) {
	site, err := s.findSite(ctx, in.Site)
	if err != nil {
		return p, err
	}
	return s.store.DNSPolicy(ctx, site.ID)
}

func (s *Server) dnsPolicySet(ctx context.Context, in *api.SetDNSPolicy) (p sprout.DNSPolicy, err error) {
	site, err := s.findSite(ctx, in.Site)
	if err != nil {
		return p, err
	}
	p = sprout.DNSPolicy{Site: site.ID, Transfer: in.Body.Transfer, Update: in.Body.Update, Notify: in.Body.Notify, Forward: in.Body.Forward}
	err = s.change(ctx, api.DNSPolicySet.Name, func(ctx context.Context, tx pgx.Tx, a *sprout.AuditRecord) error {
		keys, err := s.store.In(tx).DNSKeys(ctx, sprout.At(site.ID))
		if err != nil {
			return err
		}
		if err := dns.CheckPolicy(p, func(name string) bool {
			return slices.ContainsFunc(keys, func(k sprout.DNSKey) bool { return k.Name == name && k.DNSKEY == "" })
		}); err != nil {
			return err
		}
		before, err := s.store.In(tx).DNSPolicy(ctx, site.ID)
		if err != nil {
			return err
		}
		p, err = s.store.SetDNSPolicy(ctx, tx, p)
		about(a, site.ID, site.ID, site.Name)
		a.Changes = audit.Diff(before, p)
		return err
	})
	return p, err
}
