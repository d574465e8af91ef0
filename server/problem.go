package server

import (
	"context"
	"strings"

	"sprout"
	"sprout/api"
	"sprout/store"
)

func (s *Server) problemList(ctx context.Context, in *api.ListProblems) (out api.Page[sprout.Problem], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	f := store.ProblemFilter{Sites: sites, Codes: in.Code, Severity: in.Severity, Cleared: in.All, Page: sorted(in.Paging, in.Sort)}
	if in.Machine != "" {
		m, err := s.findMachine(ctx, in.Machine)
		if err != nil {
			return out, err
		}
		f.Subject = string(m.ID)
	}
	out, err = paged(s.store.Problems(ctx, f))
	if unkept := s.unkept(in); err == nil && len(unkept) > 0 && !outside(ctx, "") {
		out.Items = append(unkept, out.Items...)
	}
	return out, err
}

func (s *Server) problemShow(ctx context.Context, in *api.ProblemRef) (api.ShownProblem, error) {
	p, err := s.findProblem(ctx, in.Problem)
	return api.ShownProblem{Problem: p, Means: p.Code.Means()}, err
}

// findProblem finds a problem, open or over; also what is wrong with this replica
// and the database does not have.
func (s *Server) findProblem(ctx context.Context, ref string) (p sprout.Problem, err error) {
	defer func() { seen(ctx, err, p.Site, p.ID, p.Name) }()
	list, err := s.store.FindProblems(ctx, scope(ctx), ref)
	if err != nil {
		return p, err
	}
	if !outside(ctx, "") {
		for _, own := range s.unkept(&api.ListProblems{}) {
			if strings.HasPrefix(string(own.ID), ref) {
				list = append(list, own)
			}
		}
	}
	return match("problem", ref, list, func(p sprout.Problem) []string { return []string{string(p.ID)} })
}
