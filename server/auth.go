package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sprout"
	"sprout/api"
)

// systemActor is who acts when Sprout does so by itself.
const systemActor = "sprout"

type bearerKey struct{}

// A bearing is who asks, and the sites at which it may ask for this.
type bearing struct {
	token sprout.Token
	sites sprout.Sites
}

// bearer returns the token of who asks; its zero value where none was needed.
func bearer(ctx context.Context) sprout.Token {
	b, _ := ctx.Value(bearerKey{}).(bearing)
	return b.token
}

// actor names who asks, for audit and history.
func actor(ctx context.Context) string {
	if name := bearer(ctx).Name; name != "" {
		return name
	}
	return systemActor
}

// scope returns the sites at which who asks has the role that the operation
// needs. The finders and lists of find.go hold to it, so that what is elsewhere
// is not there; guard refuses operations that reach beyond them.
func scope(ctx context.Context) sprout.Sites {
	b, _ := ctx.Value(bearerKey{}).(bearing)
	return b.sites
}

// outside tells whether something of the site is hidden from who asks.
func outside(ctx context.Context, site sprout.SiteID) bool {
	return !scope(ctx).Has(site)
}

// guard lets a request pass whose bearer has the operation's role, and is good
// for as many sites as it reaches. No token, or one that is not good, is 401;
// a role that is too small, or a token of some sites, is 403; who asks too often
// is told 429.
func (s *Server) guard(spec api.Spec) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		if spec.Role == api.Public {
			visitOf(c.Context()).asks(c, spec, sprout.Token{})
			if fault := s.strangers(c.Context()); fault != nil {
				_, w := humago.Unwrap(c)
				api.WriteFault(w, fault)
				return
			}
			next(c)
			return
		}
		token, fault := s.authenticate(c.Context(), c.Header("Authorization"))
		visitOf(c.Context()).asks(c, spec, token)
		sites, enough := api.Reach(token, spec.Role)
		if why := mayNot(spec, token, sites, enough); fault == nil && why != "" {
			fault = api.FaultOf(c.Context(), sprout.Errorf(sprout.Denied, "%q %s", spec.Name, why))
		}
		if fault != nil {
			_, w := humago.Unwrap(c)
			if fault.Status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="sprout"`)
			}
			api.WriteFault(w, fault)
			return
		}
		next(huma.WithValue(c, bearerKey{}, bearing{token, sites}))
	}
}

// authenticate finds the token of a header. Where an address has sent too many
// that are not good, a token is not looked for unless it was good here before.
func (s *Server) authenticate(ctx context.Context, header string) (sprout.Token, *api.Fault) {
	secret, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || secret == "" {
		if f := s.strangers(ctx); f != nil {
			return sprout.Token{}, f
		}
		f := api.NewFault(ctx, http.StatusUnauthorized, sprout.Denied, "a token is needed")
		f.Remedy = "--token, SPROUT_TOKEN, or the header Authorization: Bearer …"
		return sprout.Token{}, f
	}
	hash := sha256.Sum256([]byte(secret))
	known, before := s.limits.tokens.Get(hash)
	if !before && spent(s.limits.address(source(ctx))) {
		if f := s.strangers(ctx); f != nil {
			return sprout.Token{}, f
		}
	}
	token, err := s.store.TokenBySecret(ctx, secret)
	switch {
	case err == nil:
		if !before {
			known = s.limits.bearer(hash)
		}
		if wait, ok := take(known.limiter); !ok {
			return token, tooOften(ctx, "the token "+token.Name, s.limits.perToken, "tokenRate", wait)
		}
		s.noteUse(known, token.ID)
		return token, nil
	case sprout.KindOf(err) == sprout.Denied:
		s.limits.tokens.Remove(hash)
		if f := s.strangers(ctx); f != nil {
			return token, f
		}
		f := api.NewFault(ctx, http.StatusUnauthorized, sprout.Denied, err.Error())
		f.Field, f.Remedy = "token", "sprout token create NAME, by an administrator"
		if token.Kind == sprout.LoginToken {
			f.Remedy = "sprout login URL --oidc"
		}
		return token, f
	}
	s.logInternal(ctx, "authenticate", err)
	return token, api.FaultOf(ctx, err)
}

// mayNot says why the bearer may not call an operation at all; "" if it may.
func mayNot(spec api.Spec, token sprout.Token, sites sprout.Sites, enough bool) string {
	switch {
	case !enough:
		return fmt.Sprintf("needs the role %s; the token %s has %s", spec.Role, token.Name, token.Role)
	case spec.Wide && !sites.Every():
		return fmt.Sprintf("reaches beyond one site; the token %s is good for %s only", token.Name, countSites(len(sites)))
	}
	return ""
}

func countSites(n int) string {
	if n == 1 {
		return "one site"
	}
	return fmt.Sprintf("%d sites", n)
}

// elsewhere adds to what was not found that the bearer sees more than it may
// use so.
func elsewhere(ctx context.Context, spec api.Spec, err error) error {
	var known *sprout.Error
	if sprout.KindOf(err) != sprout.NotFound || !errors.As(err, &known) || scope(ctx).Every() {
		return err
	}
	sees, _ := api.Reach(bearer(ctx), sprout.Viewer)
	if len(sees) == len(scope(ctx)) {
		return err
	}
	told := *known
	return told.WithRemedy("the token %s has the role %s at %s only: sprout token whoami", bearer(ctx).Name, spec.Role, countSites(len(scope(ctx))))
}

// logInternal logs what the edge masks.
func (s *Server) logInternal(ctx context.Context, operation string, err error) {
	if sprout.KindOf(err) == sprout.Internal && ctx.Err() == nil {
		s.log.Error("request failed", "operation", operation, "id", api.RequestID(ctx), "error", err)
	}
}
