package store

import (
	"context"

	"sprout"
)

// Subjects returns the things with the ids as they are now, by a constant number
// of statements for machines, workflows, problems and agents. What is gone is not
// there, and boot attempts are not looked for.
func (s *Store) Subjects(ctx context.Context, ids []string) (map[string]any, error) {
	of := map[sprout.Noun][]string{}
	for _, id := range ids {
		of[sprout.NounOf(id)] = append(of[sprout.NounOf(id)], id)
	}
	found := map[string]any{}
	for noun, ids := range of {
		if err := s.subjects(ctx, noun, ids, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (s *Store) subjects(ctx context.Context, noun sprout.Noun, ids []string, found map[string]any) error {
	switch noun {
	case sprout.NounMachine:
		list, err := s.machines(ctx, `WHERE m.id = ANY ($1)`, ids)
		return collect(found, list, err, func(m sprout.Machine) string { return string(m.ID) })
	case sprout.NounWorkflow:
		list, err := s.workflows(ctx, `WHERE w.id = ANY ($1)`, ids)
		return collect(found, list, err, func(w sprout.Workflow) string { return string(w.ID) })
	case sprout.NounProblem:
		list, err := many(ctx, s.db, scanProblem, problemSelect+`WHERE id = ANY ($1)`, ids)
		return collect(found, list, err, func(p sprout.Problem) string { return string(p.ID) })
	case sprout.NounAgent:
		list, err := many(ctx, s.db, scanAgent, agentSelect+`AND a.id = ANY ($2)`, sprout.OfflineAfter, ids)
		return collect(found, list, err, func(a sprout.Agent) string { return string(a.ID) })
	case sprout.NounSite:
		list, err := many(ctx, s.db, scanSite, `SELECT `+siteColumns+` FROM site WHERE id = ANY ($1)`, ids)
		return collect(found, list, err, func(s sprout.Site) string { return string(s.ID) })
	case sprout.NounImage:
		list, err := many(ctx, s.db, scanImage, imageSelect+`WHERE id = ANY ($1)`, ids)
		return collect(found, list, err, func(i sprout.Image) string { return string(i.ID) })
	case sprout.NounNetwork:
		for _, id := range ids {
			n, err := s.Network(ctx, sprout.NetworkID(id))
			if err == nil {
				found[id] = n
			} else if sprout.KindOf(err) != sprout.NotFound {
				return err
			}
		}
	case sprout.NounAllocation:
		list, err := allocationsOf(many(ctx, s.db, scanAllocation, allocationSelect+`WHERE a.id = ANY ($1)`, ids))
		return collect(found, list, err, func(a sprout.Allocation) string { return string(a.ID) })
	case sprout.NounBoot, sprout.NounToken:
	}
	return nil
}

func collect[T any](found map[string]any, list []T, err error, id func(T) string) error {
	for _, item := range list {
		found[id(item)] = item
	}
	return err
}
