package server

import (
	"context"

	"sprout"
	"sprout/api"
	"sprout/provider"
	"sprout/store"
)

func (s *Server) auditList(ctx context.Context, in *api.ListAudit) (api.Page[sprout.AuditRecord], error) {
	return paged(s.store.AuditRecords(ctx, store.AuditFilter{Site: scope(ctx), Subject: in.Subject, Page: page(in.Paging)}))
}

func (s *Server) auditVerify(ctx context.Context, _ *struct{}) (api.AuditCheck, error) {
	checked, err := s.store.VerifyAudit(ctx)
	if sprout.KindOf(err) == sprout.Unavailable || ctx.Err() != nil {
		return api.AuditCheck{}, err
	}
	if err != nil {
		return api.AuditCheck{Records: checked, BadSeq: checked + 1, Reason: err.Error()}, nil
	}
	return api.AuditCheck{Records: checked, Intact: true}, nil
}

func (s *Server) problemList(ctx context.Context, in *api.ListProblems) (out api.Page[sprout.Problem], err error) {
	site, err := s.siteOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.Problems(ctx, store.ProblemFilter{Site: site, Cleared: in.All, Page: page(in.Paging)}))
}

func (s *Server) providerList(_ context.Context, in *api.Paging) (api.Page[api.Provider], error) {
	var list []api.Provider
	for _, p := range provider.List() {
		list = append(list, api.Provider{
			Capability: p.Capability, Name: p.Name, Description: p.Description,
			Selected: s.config.Providers.Selected(p), Selectable: p.Selectable, Why: p.Why,
		})
	}
	return paged(store.Cut("provider", list, page(*in), func(p api.Provider) string { return p.Capability + " " + p.Name }))
}
