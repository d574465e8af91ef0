package server

import (
	"context"
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

// bearer returns the token of who asks; its zero value where none was needed.
func bearer(ctx context.Context) sprout.Token {
	t, _ := ctx.Value(bearerKey{}).(sprout.Token)
	return t
}

// actor names who asks, for audit and history.
func actor(ctx context.Context) string {
	if name := bearer(ctx).Name; name != "" {
		return name
	}
	return systemActor
}

// scope returns the only site that who asks may see and change, "" for every
// site. The finders and lists of find.go hold to it, so that what is elsewhere
// is not there; guard refuses operations that reach beyond one site.
func scope(ctx context.Context) sprout.SiteID { return bearer(ctx).Site }

// outside tells whether something of the site is hidden from who asks.
func outside(ctx context.Context, site sprout.SiteID) bool {
	only := scope(ctx)
	return only != "" && only != site
}

// guard lets a request pass whose bearer has the operation's role, and is good
// for as many sites as it reaches. No token, or one that is not good, is 401;
// a role that is too small, or a token of one site, is 403.
func (s *Server) guard(spec api.Spec) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		if spec.Role == api.Public {
			visitOf(c.Context()).asks(c, spec, sprout.Token{})
			next(c)
			return
		}
		token, fault := s.authenticate(c.Context(), c.Header("Authorization"))
		visitOf(c.Context()).asks(c, spec, token)
		if why := mayNot(spec, token); fault == nil && why != "" {
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
		next(huma.WithValue(c, bearerKey{}, token))
	}
}

func (s *Server) authenticate(ctx context.Context, header string) (sprout.Token, *api.Fault) {
	secret, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || secret == "" {
		f := api.NewFault(ctx, http.StatusUnauthorized, sprout.Denied, "a token is needed")
		f.Remedy = "--token, SPROUT_TOKEN, or the header Authorization: Bearer …"
		return sprout.Token{}, f
	}
	token, err := s.store.TokenBySecret(ctx, secret)
	switch {
	case err == nil:
		return token, nil
	case sprout.KindOf(err) == sprout.Denied:
		f := api.NewFault(ctx, http.StatusUnauthorized, sprout.Denied, err.Error())
		f.Field, f.Remedy = "token", "sprout token create NAME, by an administrator"
		return token, f
	}
	s.logInternal(ctx, "authenticate", err)
	return token, api.FaultOf(ctx, err)
}

// mayNot says why the bearer may not call an operation at all; "" if it may.
func mayNot(spec api.Spec, token sprout.Token) string {
	switch {
	case !api.May(token.Role, spec.Role):
		return fmt.Sprintf("needs the role %s; the token %s has %s", spec.Role, token.Name, token.Role)
	case spec.Wide && token.Site != "":
		return fmt.Sprintf("reaches beyond one site; the token %s is good for one only", token.Name)
	}
	return ""
}

// logInternal logs what the edge masks.
func (s *Server) logInternal(ctx context.Context, operation string, err error) {
	if sprout.KindOf(err) == sprout.Internal && ctx.Err() == nil {
		s.log.Error("request failed", "operation", operation, "id", api.RequestID(ctx), "error", err)
	}
}
