package server

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
)

// imageAliasSet has an alias mean an image. What is deployed by it already, or being
// deployed, has the digest that it meant then.
func (s *Server) imageAliasSet(ctx context.Context, in *api.SetImageAlias) (now sprout.ImageAlias, err error) {
	if err := sprout.CheckImageAlias(in.Alias); err != nil {
		return now, err
	}
	i, err := s.findImage(ctx, in.Body.Image)
	if err != nil {
		return now, err
	}
	err = s.change(ctx, api.ImageAliasSet.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		before, err := s.store.In(tx).ImageAlias(ctx, in.Alias)
		if err != nil && sprout.KindOf(err) != sprout.NotFound {
			return err
		}
		if err := s.store.SetImageAlias(ctx, tx, in.Alias, i.ID, actor(ctx)); err != nil {
			return err
		}
		now, err = s.store.In(tx).ImageAlias(ctx, in.Alias)
		about(r, "", "alias "+in.Alias, in.Alias)
		r.Detail = now.ImageName + " " + now.Digest
		if r.Changes = audit.Diff(before, now); before.Name == "" {
			r.Changes = audit.Diff(nil, now)
		}
		return err
	})
	return now, err
}

func (s *Server) imageAliasList(ctx context.Context, in *api.Paging) (api.Page[sprout.ImageAlias], error) {
	return paged(s.store.ImageAliases(ctx, page(*in)))
}

func (s *Server) imageAliasShow(ctx context.Context, in *api.ImageAliasRef) (sprout.ImageAlias, error) {
	return s.findImageAlias(ctx, in.Alias)
}

func (s *Server) findImageAlias(ctx context.Context, name string) (a sprout.ImageAlias, err error) {
	defer func() { seen(ctx, err, "", "alias "+a.Name, a.Name) }()
	a, err = s.store.ImageAlias(ctx, name)
	if sprout.KindOf(err) == sprout.NotFound {
		e := sprout.Errorf(sprout.NotFound, "cannot find an alias %q of an image", name)
		e.Field = "alias"
		return a, e.WithRemedy("sprout image alias list")
	}
	return a, err
}

func (s *Server) imageAliasDelete(ctx context.Context, in *api.ImageAliasRef) (api.None, error) {
	a, err := s.findImageAlias(ctx, in.Alias)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.ImageAliasDelete.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, "", "alias "+a.Name, a.Name)
		r.Changes = audit.Diff(a, nil)
		return s.store.DeleteImageAlias(ctx, tx, a.Name)
	})
}
