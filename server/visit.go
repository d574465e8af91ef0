package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"sprout"
	"sprout/api"
)

// A visit is what is known of one request while it is answered: a record of its
// refusal is made of it.
type visit struct {
	mu    sync.Mutex
	spec  api.Spec     // of no name while no operation is known
	token sprout.Token // also one that is not good any more
	about sprout.AuditRecord
	fault *api.Fault
}

type visitKey struct{}

// visitOf returns the request's visit; one that nobody looks at outside of any.
func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}

// asks keeps what is asked for, as the path names it, and by whom.
func (v *visit) asks(c huma.Context, spec api.Spec, token sprout.Token) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.spec, v.token = spec, token
	if noun := spec.Resource(); noun != "" {
		v.about.Name = c.Param(noun)
	}
}

// by keeps who asks, where no token says it.
func (v *visit) by(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.token.Name = name
}

// seen keeps what a request turned out to be about: what a finder found first,
// without an error.
func seen[ID ~string](ctx context.Context, err error, site sprout.SiteID, id ID, name string) {
	v := visitOf(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil && v.about.Subject == "" {
		about(&v.about, site, id, name)
	}
}

// A seenWriter knows the problem document that it answers with, and the status
// for the log.
type seenWriter struct {
	http.ResponseWriter
	status int
	visit  *visit
}

func (w *seenWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// SeeFault is told by package api what the answer is going to be.
func (w *seenWriter) SeeFault(f *api.Fault) {
	w.visit.mu.Lock()
	defer w.visit.mu.Unlock()
	w.visit.fault = f
}

// Unwrap lets http.ResponseController reach the connection.
func (w *seenWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// refusal is the record of a request that was answered with a problem document;
// false where none is kept: who only looks, and might have, changed nothing. Of
// reads those are kept that somebody may not do, or that end at the border of a
// token's site.
func (v *visit) refusal(r *http.Request) (sprout.AuditRecord, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.fault
	if f == nil {
		return sprout.AuditRecord{}, false
	}
	denied := f.Kind == sprout.Denied || f.Status == http.StatusNotFound && v.within() != nil
	if looks := r.Method == http.MethodGet || r.Method == http.MethodHead; looks && (!denied || v.spec.Name == "") {
		return sprout.AuditRecord{}, false
	}
	rec := v.about
	rec.Kind, rec.Token, rec.Source, rec.Request = sprout.AuditRequest, v.token.ID, source(r.Context()), api.RequestID(r.Context())
	rec.Site, rec.Actor, rec.Action = cmp.Or(rec.Site, v.token.Sites.Only()), cmp.Or(v.token.Name, "unknown"), v.spec.Name
	rec.Outcome, rec.Detail = outcomeOf(f), reasonOf(f)
	if rec.Action == "" {
		rec.Action, rec.Name = "http", r.Method+" "+r.URL.Path
	}
	if f.Status == http.StatusNotFound && v.within() != nil {
		rec.Detail += fmt.Sprintf("; the token is good for %s only", countSites(len(v.within())))
	}
	rec.Action, rec.Name, rec.Detail = words(rec.Action), words(rec.Name), words(rec.Detail)
	return rec, true
}

// within is the sites that the bearer may ask this of, nil for every one.
func (v *visit) within() sprout.Sites {
	sites, enough := api.Reach(v.token, v.spec.Role)
	if !enough {
		return nil
	}
	return sites
}

// outcomeOf tells what the sender did wrong from what went wrong here.
func outcomeOf(f *api.Fault) string {
	if f.Status >= http.StatusInternalServerError {
		return "failed"
	}
	return "refused"
}

// reasonOf is the kind of a fault, the field and the words.
func reasonOf(f *api.Fault) string {
	kind := string(f.Kind)
	switch f.Status {
	case http.StatusUnauthorized:
		kind = "unauthenticated"
	case http.StatusTooManyRequests:
		kind = "too many"
	}
	if f.Field != "" {
		return kind + ": " + f.Field + ": " + f.Detail
	}
	return kind + ": " + f.Detail
}

const longestRefusal = 500 // bytes of a record's words

// secretLike is what sprout.NewSecret makes: somebody may have written one where
// a name belongs.
var secretLike = regexp.MustCompile(`[A-Z2-7]{26,}`)

// words makes what a request said fit for a record: valid, not long, no secret.
func words(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", "?")
	text = secretLike.ReplaceAllString(text, "(secret)")
	if len(text) <= longestRefusal {
		return text
	}
	return strings.ToValidUTF8(text[:longestRefusal], "") + "…"
}
