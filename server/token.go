package server

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

func (s *Server) tokenCreate(ctx context.Context, in *api.CreateToken) (out api.NewToken, err error) {
	t, err := s.newToken(ctx, in)
	if err != nil {
		return out, err
	}
	err = s.change(ctx, api.TokenCreate.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) (err error) {
		out.Token, out.Secret, err = s.store.CreateToken(ctx, tx, t)
		about(r, t.Sites.Only(), out.ID, out.Name)
		r.Changes = audit.Diff(nil, out.Token)
		r.Detail = "role " + string(t.Role)
		return err
	})
	if err != nil {
		return out, err
	}
	out.Token, err = s.named(ctx, out.Token)
	return out, err
}

// newToken reads what token is to be made. Its maker can give away only what it
// is an administrator of.
func (s *Server) newToken(ctx context.Context, in *api.CreateToken) (t sprout.Token, err error) {
	b := in.Body
	t = sprout.Token{Name: b.Name, Role: b.Role}
	if t.Sites, err = s.sitesNamed(ctx, b.Sites); err != nil {
		return t, err
	}
	for _, g := range b.Grants {
		sites, err := s.sitesNamed(ctx, g.Sites)
		if err != nil {
			return t, err
		}
		t.Grants = append(t.Grants, sprout.Grant{Role: g.Role, Sites: sites})
	}
	switch {
	case b.Never && b.Expiry > 0:
		return t, sprout.InvalidField("neverExpires", "it is to expire after %d s too: say one of both", b.Expiry)
	case !b.Never:
		life := cmp.Or(time.Duration(b.Expiry)*time.Second, sprout.UsualExpiry)
		t.ExpiresAt = new(time.Now().Add(life))
	}
	return t, nil
}

// sitesNamed finds sites; none named is all that who asks may see.
func (s *Server) sitesNamed(ctx context.Context, refs []string) (sprout.Sites, error) {
	if len(refs) == 0 {
		return scope(ctx), nil
	}
	var sites sprout.Sites
	for _, ref := range refs {
		site, err := s.findSite(ctx, ref)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(sites, site.ID) {
			sites = append(sites, site.ID)
		}
	}
	return sites, nil
}

// named adds the names of a token's sites.
func (s *Server) named(ctx context.Context, t sprout.Token) (sprout.Token, error) {
	list := []sprout.Token{t}
	err := s.store.NameSites(ctx, list...)
	return list[0], err
}

func (s *Server) tokenList(ctx context.Context, in *api.Paging) (api.Page[sprout.Token], error) {
	return paged(s.store.Tokens(ctx, store.TokenFilter{Sites: scope(ctx), Page: page(*in)}))
}

func (s *Server) tokenWhoami(ctx context.Context, _ *struct{}) (sprout.Token, error) {
	return s.named(ctx, bearer(ctx))
}

func (s *Server) tokenRevoke(ctx context.Context, in *api.TokenRef) (api.None, error) {
	found, err := s.findToken(ctx, in.Token)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.TokenRevoke.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		t, err := s.store.RevokeToken(ctx, tx, string(found.ID))
		about(r, t.Sites.Only(), t.ID, t.Name)
		r.Changes = audit.Diff(nil, map[string]any{"revokedAt": t.RevokedAt})
		return err
	})
}
