package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A Revised thing tells apart what was decided about it from what is measured
// of it, such as its power or the progress of work: its revision rises with the
// former only.
type Revised interface{ Revision() string }

// TagOf returns the strong entity tag (RFC 9110, section 8.8.3) of an answer
// that was written as raw: its revision, if it has one, and a digest of every
// byte.
func TagOf(v any, raw []byte) string {
	sum := sha256.Sum256(raw)
	digest := hex.EncodeToString(sum[:8])
	if r, ok := v.(Revised); ok {
		return `"` + r.Revision() + "-" + digest + `"`
	}
	return `"` + digest + `"`
}

// revisionOf is the part of a tag that is the revision, "" where there is none.
func revisionOf(tag string) string {
	bare := strings.Trim(tag, `"`)
	if at := strings.LastIndex(bare, "-"); at >= 0 {
		return bare[:at]
	}
	return bare
}

// tags splits the value of If-Match or If-None-Match.
func tags(header string) (list []string) {
	for part := range strings.SplitSeq(header, ",") {
		list = append(list, strings.TrimSpace(part))
	}
	return list
}

// MayChange tells whether a header If-Match (RFC 9110, section 13.1.1) allows to
// change v, whose tag is now tag. Of what has a revision only that is compared:
// a measurement between the look and the change does not void it, so a tag of
// the revision alone will do as well.
func MayChange(header, tag string, v any) bool {
	_, revised := v.(Revised)
	for _, t := range tags(header) {
		strong := len(t) > 2 && t[0] == '"' && t[len(t)-1] == '"'
		if t == "*" || strong && (t == tag || revised && revisionOf(t) == revisionOf(tag)) {
			return true
		}
	}
	return false
}

// isKnown tells whether a header If-None-Match (RFC 9110, section 13.1.2) says
// that the client has what the tag is of.
func isKnown(header, tag string) bool {
	for _, t := range tags(header) {
		if t == "*" || strings.TrimPrefix(t, "W/") == tag {
			return header != ""
		}
	}
	return false
}

// An Exchange is what the headers of a request ask for beside its operation,
// and what is to be said of its answer.
type Exchange struct {
	Key         string // Idempotency-Key
	IfMatch     string
	IfNoneMatch string
	Ref         string // the value of the path's last parameter

	Replayed json.RawMessage // the answer that was given before, if it was
}

type exchangeKey struct{}

// ExchangeOf returns the exchange of the request that ctx is of.
func ExchangeOf(ctx context.Context) *Exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*Exchange); ok {
		return x
	}
	return &Exchange{}
}

func exchangeOf(c huma.Context, s Spec) *Exchange {
	x := &Exchange{IfMatch: c.Header("If-Match"), IfNoneMatch: c.Header("If-None-Match"), Key: c.Header("Idempotency-Key")}
	if s.Resource() != "" {
		x.Ref = c.Param(s.Resource())
	}
	return x
}

// An answered is an answer with its headers.
type answered[Out any] struct {
	ETag     string `header:"ETag" doc:"Entity tag of the answer, for If-None-Match and If-Match"`
	Replayed string `header:"Idempotent-Replayed" doc:"true: the request was carried out before, and this is what it was answered then"`
	Body     written[Out]
}

// A written answer is one whose JSON is known.
type written[Out any] struct{ raw json.RawMessage }

func (w written[Out]) MarshalJSON() ([]byte, error) { return w.raw, nil }

// Schema says that the answer is documented as what it is; huma asks for it.
func (written[Out]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[Out](), true, "")
}

// notModified is the answer to who has it already; huma takes it for an error.
type notModified struct{ tag string }

func (notModified) Error() string             { return "not modified" }
func (notModified) GetStatus() int            { return http.StatusNotModified }
func (n notModified) GetHeaders() http.Header { return http.Header{"Etag": {n.tag}} }

// answer writes an answer down, and says that the client has it already where
// it does.
func answer[Out any](ctx context.Context, s Spec, out Out) (*answered[Out], error) {
	x, a := ExchangeOf(ctx), &answered[Out]{}
	if x.Replayed != nil {
		a.Replayed, a.Body.raw = "true", x.Replayed
	} else {
		raw, err := Encode(out)
		if err != nil {
			return nil, FaultOf(ctx, err)
		}
		a.Body.raw = raw
	}
	if _, revised := any(out).(Revised); revised || s.Method == http.MethodGet {
		a.ETag = TagOf(out, a.Body.raw)
	}
	if s.Method == http.MethodGet && isKnown(x.IfNoneMatch, a.ETag) {
		return nil, notModified{a.ETag}
	}
	return a, nil
}

// Encode writes an answer as JSON.
func Encode(v any) (json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot write the answer: %w", err)
	}
	return raw, nil
}

// headersOf documents the headers that a request may bear.
func headersOf(s Spec) (list []*huma.Param) {
	add := func(name, description string, example string) {
		list = append(list, &huma.Param{
			Name: name, In: "header", Description: description, Example: example, Schema: &huma.Schema{Type: huma.TypeString},
		})
	}
	add("Request-Id", "An id of the request, of letters, digits and . _ : -, which the answer, the log, the audit and the workflow carry; without one the server makes it", "ci-4711")
	switch {
	case s.Method == http.MethodGet && !s.Stream:
		add("If-None-Match", "Entity tag of an answer that is known: 304 without a body while it would be the same", `"4711-9f86d081884c7d65"`)
	case s.Method == http.MethodPost && s.Role != Public:
		add("Idempotency-Key", "Random text, new for each request that is not a repeat: for 24 hours the same request with the same key is carried out once, and answered the same", "6f1c1a52-4b8e-4f0e-9d2c-8f8b8d0c5d11")
	}
	if s.Download {
		add("Range", "Which part of the bytes to answer with (RFC 9110, section 14.2); without one, all", "bytes=0-1023")
	}
	if changesOne(s) || s.Download {
		add("If-Match", "Entity tag of the resource as it was seen, or its revision in quotes: 412 if anybody has decided something about it since", `"4711-9f86d081884c7d65"`)
	}
	return list
}
