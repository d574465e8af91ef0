package api

import (
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sprout"
)

// refuse answers a request before its operation runs.
func refuse(c huma.Context, status int, detail, remedy string) {
	f := NewFault(c.Context(), status, KindOfStatus(status), detail)
	f.Remedy = remedy
	_, w := humago.Unwrap(c)
	WriteFault(w, f)
}

// receive checks what the headers say of the body and of the answer, which the
// declaration of an operation knows, before anything is read.
func receive(s Spec) func(huma.Context, func(huma.Context)) {
	takes := "application/json"
	if s.Upload {
		takes = "application/octet-stream"
	}
	return func(c huma.Context, next func(huma.Context)) {
		if offers := mediaTypes(c.Operation()); !acceptable(c.Header("Accept"), offers) {
			refuse(c, http.StatusNotAcceptable, "cannot answer with "+c.Header("Accept")+"; the answer is "+strings.Join(offers, " or "), "-H 'Accept: "+offers[0]+"'")
			return
		}
		sent, _, err := mime.ParseMediaType(c.Header("Content-Type"))
		if takesBody(s) && c.Header("Content-Type") != "" && (err != nil || sent != takes) {
			refuse(c, http.StatusUnsupportedMediaType, "cannot read a body of "+c.Header("Content-Type")+"; it must be "+takes, "-H 'Content-Type: "+takes+"'")
			return
		}
		if r, _ := humago.Unwrap(c); s.Body && r.Body != nil {
			r.Body = &wholeBody{r.Body}
		}
		next(huma.WithValue(c, exchangeKey{}, exchangeOf(c, s)))
	}
}

// mediaTypes lists what an operation answers with.
func mediaTypes(op *huma.Operation) (types []string) {
	for code, response := range op.Responses {
		if len(code) == 3 && code[0] == '2' && response != nil {
			for name := range response.Content {
				types = append(types, name)
			}
		}
	}
	return types
}

// acceptable tells whether a header Accept (RFC 9110, section 12.5.1) allows
// one of the media types. Without one, and where nothing is answered, all is well.
func acceptable(accept string, offers []string) bool {
	if accept == "" || len(offers) == 0 {
		return true
	}
	for part := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil || params["q"] == "0" {
			continue
		}
		for _, offer := range offers {
			kind, _, _ := strings.Cut(offer, "/")
			if name == "*/*" || name == offer || name == kind+"/*" {
				return true
			}
		}
	}
	return false
}

// A wholeBody makes a body that breaks off one that cannot be read as JSON: it
// is the sender's fault, not ours. A deadline passes as it is.
type wholeBody struct{ io.ReadCloser }

func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var timeout net.Error
	if err == nil || errors.Is(err, io.EOF) || len(p) == 0 || errors.As(err, &timeout) && timeout.Timeout() {
		return n, err
	}
	p[0] = 0 // no JSON has a zero byte
	return 1, io.EOF
}

type requestKey struct{}

// WithRequestID keeps the id of the request in ctx.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestID returns the id that WithRequestID kept, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// TakeRequestID returns the id that a request came with, in Request-Id or
// X-Request-Id, or a new one: an id that is taken over has 1 to 128 letters,
// digits and the signs . _ : - and no others, so that it can be put anywhere.
func TakeRequestID(h http.Header) string {
	for _, name := range []string{"Request-Id", "X-Request-Id"} {
		if id := h.Get(name); sane(id) {
			return id
		}
	}
	return "req_" + strings.ToLower(sprout.NewSecret()[:16])
}

func sane(id string) bool {
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("._:-", rune(c)) {
			return false
		}
	}
	return id != "" && len(id) <= 128
}
