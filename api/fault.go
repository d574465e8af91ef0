package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sprout"
)

// A Fault is a problem document (RFC 9457) as this API writes them: besides the
// standard members, the kind of error, the field that is wrong, what helps, and
// the request's id, which the server's log and the audit carry too.
type Fault struct {
	Type    string      `json:"type" doc:"about:blank: the kind says it all"`
	Title   string      `json:"title" doc:"The words of the status"`
	Status  int         `json:"status"`
	Detail  string      `json:"detail" doc:"What is wrong, for people"`
	Kind    sprout.Kind `json:"kind" enum:"invalid,not-found,conflict,denied,unavailable,internal"`
	Field   string      `json:"field,omitempty" doc:"The field of the request that is wrong"`
	Remedy  string      `json:"remedy,omitempty" doc:"What helps, as a command where there is one"`
	Request string      `json:"request,omitempty" doc:"Id of the request"`
}

func (f *Fault) Error() string { return f.Detail }

// GetStatus returns the HTTP status; huma asks for it.
func (f *Fault) GetStatus() int { return f.Status }

// ContentType makes JSON faults application/problem+json; huma asks for it.
func (f *Fault) ContentType(ct string) string {
	if ct == "application/json" {
		return "application/problem+json"
	}
	return ct
}

// Err returns the fault as the error that every layer speaks.
func (f *Fault) Err() *sprout.Error {
	return &sprout.Error{Kind: f.Kind, Field: f.Field, Message: f.Detail, Remedy: f.Remedy}
}

// FaultOf returns the problem document of an error. An error without a kind is
// masked: its words are for the log.
func FaultOf(ctx context.Context, err error) *Fault {
	var known *sprout.Error
	if !errors.As(err, &known) || known.Kind == sprout.Internal {
		known = sprout.Errorf(sprout.Internal, "a defect of Sprout; its log tells more under the id of this request")
	}
	f := NewFault(ctx, statusOf(known.Kind), known.Kind, known.Message)
	f.Field, f.Remedy = known.Field, known.Remedy
	return f
}

// NewFault makes a problem document with the status of HTTP given apart: a
// missing token is 401 where everything else denied is 403.
func NewFault(ctx context.Context, status int, kind sprout.Kind, detail string) *Fault {
	return &Fault{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Kind: kind, Request: RequestID(ctx)}
}

func statusOf(kind sprout.Kind) int {
	for _, row := range sprout.ErrorKinds {
		if row.Kind == kind {
			return row.Status
		}
	}
	return http.StatusInternalServerError
}

// KindOfStatus is the inverse, for answers that a proxy made.
func KindOfStatus(status int) sprout.Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return sprout.Denied
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return sprout.NotFound
	case http.StatusConflict:
		return sprout.Conflict
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return sprout.Unavailable
	}
	if status >= 500 {
		return sprout.Internal
	}
	return sprout.Invalid
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

// toFault turns what huma found wrong with a request into a fault that names
// the field.
func toFault(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	f := NewFault(ctx.Context(), model.Status, KindOfStatus(model.Status), model.Detail)
	if len(model.Errors) > 0 {
		f.Field, f.Detail = wrongField(model.Errors[0])
	}
	return f, nil
}

var missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)

// wrongField says which field a finding is about, in the request's spelling.
func wrongField(d *huma.ErrorDetail) (field, message string) {
	location, field, _ := strings.Cut(d.Location, ".")
	switch {
	case missing.MatchString(d.Message):
		name := missing.FindStringSubmatch(d.Message)[1]
		return strings.TrimPrefix(field+"."+name, "."), "is required"
	case d.Message == "unexpected property":
		return field, "unknown field"
	case d.Message == "unknown query parameter":
		return field, "unknown query parameter"
	case location == "body" && field == "":
		return "", "cannot read the body: " + d.Message
	}
	return field, d.Message
}

// describeFaults puts the schema of Fault where huma documented its own error.
func describeFaults(doc *huma.OpenAPI) {
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[Fault](), true, "Fault")
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, response := range op.Responses {
				if media := response.Content["application/problem+json"]; media != nil {
					media.Schema = schema
				}
			}
		}
	}
}
