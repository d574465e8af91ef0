package server

import (
	"context"

	"sprout"
	"sprout/api"
	"sprout/provider"
	"sprout/store"
)

// auditList lists the newest records, or those after a number, oldest first.
func (s *Server) auditList(ctx context.Context, in *api.ListAudit) ([]sprout.AuditRecord, error) {
	limit := in.Limit
	if limit == 0 {
		limit = 100
	}
	filter := store.AuditFilter{Site: scope(ctx), Subject: in.Subject, After: in.After, Limit: 1000}
	var list []sprout.AuditRecord
	for {
		part, next, err := s.store.AuditRecords(ctx, filter)
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
		if in.After > 0 && len(list) >= limit {
			return list[:limit], nil
		}
		if next == 0 {
			return filled(list[max(0, len(list)-limit):]), nil
		}
		list = list[max(0, len(list)-limit):]
		filter.After = next
	}
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

func (s *Server) problemList(ctx context.Context, in *api.ListProblems) ([]sprout.Problem, error) {
	site, err := s.siteOf(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	return all(func(p store.Page) ([]sprout.Problem, string, error) {
		return s.store.Problems(ctx, store.ProblemFilter{Site: site, Cleared: in.All, Page: p})
	})
}

func (s *Server) providerList(context.Context, *struct{}) ([]api.Provider, error) {
	var list []api.Provider
	for _, p := range provider.List() {
		list = append(list, api.Provider{
			Capability: p.Capability, Name: p.Name, Description: p.Description,
			Selected: s.config.Providers.Selected(p), Selectable: p.Selectable, Why: p.Why,
		})
	}
	return list, nil
}
