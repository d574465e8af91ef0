package server

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

func (s *Server) siteCreate(ctx context.Context, in *api.CreateSite) (site sprout.Site, err error) {
	domain := strings.ToLower(strings.TrimSuffix(in.Body.Domain, "."))
	if domain == "" {
		domain = in.Body.Name + ".internal"
	} else if err := checkDomain(domain); err != nil {
		return site, err
	}
	err = s.change(ctx, api.SiteCreate.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) (err error) {
		site, err = s.store.CreateSite(ctx, tx, sprout.Site{Name: in.Body.Name, Domain: domain})
		about(r, site.ID, site.ID, site.Name)
		r.Changes = audit.Diff(nil, site)
		return err
	})
	if err != nil {
		return site, err
	}
	return site, s.bus.AddSite(ctx, site.ID)
}

// checkDomain holds a domain to labels of letters, digits and inner hyphens.
func checkDomain(domain string) error {
	for label := range strings.SplitSeq(domain, ".") {
		good := label != "" && len(label) <= 63 && !strings.HasPrefix(label, "-") && !strings.HasSuffix(label, "-")
		for _, c := range label {
			good = good && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
		}
		if !good || len(domain) > 200 {
			return sprout.InvalidField("domain", "%q must be DNS labels with dots between them, as lon1.example", domain)
		}
	}
	return nil
}

func (s *Server) siteList(ctx context.Context, in *api.ListSites) (api.Page[sprout.Site], error) {
	return paged(s.store.Sites(ctx, store.SiteFilter{Sites: scope(ctx), Page: sorted(in.Paging, in.Sort)}))
}

func (s *Server) siteShow(ctx context.Context, in *api.SiteRef) (report api.SiteReport, err error) {
	if report.Site, err = s.findSite(ctx, in.Site); err != nil {
		return report, err
	}
	a, err := s.store.AgentOf(ctx, report.ID)
	switch {
	case sprout.KindOf(err) == sprout.NotFound:
		return report, nil
	case err != nil:
		return report, err
	}
	report.Agent = &a
	return report, nil
}

func (s *Server) siteDelete(ctx context.Context, in *api.SiteRef) (api.None, error) {
	site, err := s.findSite(ctx, in.Site)
	if err != nil {
		return api.None{}, err
	}
	err = s.change(ctx, api.SiteDelete.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, site.ID, site.ID, site.Name)
		r.Changes = audit.Diff(site, nil)
		return s.store.DeleteSite(ctx, tx, site.ID)
	})
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.store.After(ctx, func(ctx context.Context) error { return s.bus.RemoveSite(ctx, site.ID) })
}
