package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
)

func (s *Server) loginShow(context.Context, *struct{}) (offer api.LoginOffer, err error) {
	if s.issuer != nil {
		c := s.issuer.config
		offer.OIDC = &api.OIDCOffer{Issuer: c.Issuer, Client: c.Client, Scopes: c.Scopes}
	}
	return offer, nil
}

// loginCreate gives a person a token for what the groups of the person may do.
func (s *Server) loginCreate(ctx context.Context, in *api.CreateLogin) (out api.NewToken, err error) {
	if s.issuer == nil {
		return out, sprout.Errorf(sprout.Conflict, "cannot log in so: this control plane knows no OpenID provider").
			WithRemedy("sprout login URL --token-file FILE; oidc.issuer in the server's configuration names a provider")
	}
	p, err := s.issuer.person(ctx, in.Body.IDToken)
	if err != nil {
		return out, err
	}
	if p.name, err = s.distinct(ctx, p); err != nil {
		return out, err
	}
	visitOf(ctx).by(p.name)
	grants, err := s.grantsOf(ctx, p)
	if err != nil {
		return out, err
	}
	until := time.Now().Add(time.Duration(s.issuer.config.Hours) * time.Hour)
	t := sprout.Token{Name: p.name, Kind: sprout.LoginToken, Role: grants[0].Role, Sites: grants[0].Sites, Grants: grants[1:], ExpiresAt: &until}
	proof := sha256.Sum256([]byte(in.Body.IDToken))
	err = s.change(ctx, api.LoginCreate.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) (err error) {
		out.Token, out.Secret, err = s.store.CreateLogin(ctx, tx, t, proof[:])
		about(r, t.Sites.Only(), out.ID, out.Name)
		r.Actor, r.Token = p.name, out.ID
		r.Changes = audit.Diff(nil, out.Token)
		r.Detail = words(fmt.Sprintf("%s at %s, of %s", p.subject, s.issuer.config.Issuer, strings.Join(p.groups, ", ")))
		return err
	})
	if err != nil {
		return out, err
	}
	out.Token, err = s.named(ctx, out.Token)
	return out, err
}

// distinct returns the person's name, with the provider's host where a token that
// somebody made has that name: what a provider calls people must not be taken for
// another actor in the audit.
func (s *Server) distinct(ctx context.Context, p person) (string, error) {
	taken, err := s.store.TokenNamed(ctx, p.name)
	if err != nil || !taken && p.name != systemActor {
		return p.name, err
	}
	u, err := url.Parse(s.issuer.config.Issuer)
	if err != nil {
		return "", err
	}
	return p.name + "@" + u.Host, nil
}

// grantsOf is what the groups of a person may do together, the greatest role
// first. A site that does not exist gives nothing.
func (s *Server) grantsOf(ctx context.Context, p person) (list []sprout.Grant, err error) {
	var mapped []string
	for _, group := range p.groups {
		texts, is := s.issuer.config.Groups[group]
		if !is || slices.Contains(mapped, group) {
			continue
		}
		mapped = append(mapped, group)
		for _, text := range texts {
			g, err := s.grant(ctx, text)
			if err != nil {
				return nil, err
			}
			if g != nil {
				list = append(list, *g)
			}
		}
	}
	if len(list) > 0 {
		slices.SortStableFunc(list, func(a, b sprout.Grant) int {
			if a.Role != b.Role && api.May(a.Role, b.Role) {
				return -1
			}
			return 1
		})
		return list, nil
	}
	why := fmt.Sprintf("of none of the groups that may (the id token's claim %s has %s)", s.issuer.config.GroupsClaim, orNone(p.groups))
	if len(mapped) > 0 {
		why = fmt.Sprintf("of %s, whose sites do not exist here", strings.Join(mapped, ", "))
	}
	return nil, sprout.Errorf(sprout.Denied, "cannot log %s in: %s is %s", p.name, p.name, why).
		WithRemedy("an administrator of %s adds the person to a group, or one of Sprout the group to oidc.groups of the server", s.issuer.config.Issuer)
}

func orNone(groups []string) string {
	if len(groups) == 0 {
		return "none"
	}
	return words(strings.Join(groups, ", "))
}

// grant reads one grant of the configuration; nil if none of its sites exists.
func (s *Server) grant(ctx context.Context, text string) (*sprout.Grant, error) {
	named, err := parseGrant(text)
	if err != nil {
		return nil, err
	}
	g := &sprout.Grant{Role: named.role}
	for _, name := range named.sites {
		site, err := s.store.FindSite(ctx, name)
		switch {
		case sprout.KindOf(err) == sprout.NotFound && err != nil:
			s.log.Warn("oidc.groups names a site that does not exist", "site", name, "grant", text)
		case err != nil:
			return nil, err
		default:
			g.Sites = append(g.Sites, site.ID)
		}
	}
	if len(named.sites) > 0 && len(g.Sites) == 0 {
		return nil, nil
	}
	return g, nil
}
