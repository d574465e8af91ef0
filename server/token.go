package server

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

func (s *Server) tokenCreate(ctx context.Context, in *api.CreateToken) (out api.NewToken, err error) {
	site, err := s.siteOf(ctx, in.Body.Site)
	if err != nil {
		return out, err
	}
	t := sprout.Token{Name: in.Body.Name, Role: in.Body.Role, Site: site}
	if in.Body.Expiry > 0 {
		t.ExpiresAt = new(time.Now().Add(time.Duration(in.Body.Expiry) * time.Second))
	}
	err = s.change(ctx, api.TokenCreate.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) (err error) {
		out.Token, out.Secret, err = s.store.CreateToken(ctx, tx, t)
		about(r, site, out.ID, out.Name)
		r.Changes = audit.Diff(nil, out.Token)
		r.Detail = "role " + string(t.Role)
		return err
	})
	return out, err
}

func (s *Server) tokenList(ctx context.Context, in *api.Paging) (api.Page[sprout.Token], error) {
	return paged(s.store.Tokens(ctx, store.TokenFilter{Site: scope(ctx), Page: page(*in)}))
}

func (s *Server) tokenWhoami(ctx context.Context, _ *struct{}) (sprout.Token, error) {
	return bearer(ctx), nil
}

func (s *Server) tokenRevoke(ctx context.Context, in *api.TokenRef) (api.None, error) {
	found, err := s.findToken(ctx, in.Token)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.TokenRevoke.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		t, err := s.store.RevokeToken(ctx, tx, string(found.ID))
		about(r, t.Site, t.ID, t.Name)
		r.Changes = audit.Diff(nil, map[string]any{"revokedAt": t.RevokedAt})
		return err
	})
}
