package server

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
)

// Quotas are of no site: an owner's machines may be anywhere.

func (s *Server) quotaSet(ctx context.Context, in *api.SetQuota) (now sprout.Quota, err error) {
	if err := checkOwner(in.Owner); err != nil {
		return now, err
	}
	err = s.change(ctx, api.QuotaSet.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		before, err := s.store.In(tx).Quota(ctx, in.Owner)
		if err != nil && sprout.KindOf(err) != sprout.NotFound {
			return err
		}
		if err := s.store.SetQuota(ctx, tx, sprout.Quota{Owner: in.Owner, Machines: in.Body.Machines, By: actor(ctx)}); err != nil {
			return err
		}
		now, err = s.store.In(tx).Quota(ctx, in.Owner)
		about(r, "", "quota "+in.Owner, in.Owner)
		if r.Changes = audit.Diff(before, now); before.Owner == "" {
			r.Changes = audit.Diff(nil, now)
		}
		return err
	})
	if err != nil {
		return now, err
	}
	return now, s.wakeQueue(ctx)
}

// checkOwner holds an owner to what can be one.
func checkOwner(owner string) error {
	if owner == "" {
		return sprout.InvalidField("owner", "must say who")
	}
	return sprout.CheckWord("owner", owner)
}

func (s *Server) quotaList(ctx context.Context, in *api.Paging) (api.Page[sprout.Quota], error) {
	return paged(s.store.Quotas(ctx, page(*in)))
}

func (s *Server) quotaShow(ctx context.Context, in *api.QuotaRef) (sprout.Quota, error) {
	return s.findQuota(ctx, in.Owner)
}

func (s *Server) findQuota(ctx context.Context, owner string) (q sprout.Quota, err error) {
	defer func() { seen(ctx, err, "", "quota "+owner, owner) }()
	q, err = s.store.Quota(ctx, owner)
	if sprout.KindOf(err) == sprout.NotFound {
		e := sprout.Errorf(sprout.NotFound, "cannot find a quota of %q: it may have any number of machines", owner)
		e.Field = "quota"
		return q, e.WithRemedy("sprout quota list")
	}
	return q, err
}

func (s *Server) quotaDelete(ctx context.Context, in *api.QuotaRef) (api.None, error) {
	q, err := s.findQuota(ctx, in.Owner)
	if err != nil {
		return api.None{}, err
	}
	err = s.change(ctx, api.QuotaDelete.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, "", "quota "+q.Owner, q.Owner)
		r.Changes = audit.Diff(q, nil)
		return s.store.DeleteQuota(ctx, tx, q.Owner)
	})
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.wakeQueue(ctx)
}
