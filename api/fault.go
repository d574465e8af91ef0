package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sprout"
)

// A Fault is a problem document (RFC 9457) as this API writes them: besides the
// standard members, the kind of error, the field that is wrong, what helps, and
// the request's id, which the server's log and the audit carry too.
type Fault struct {
	Type       string      `json:"type" doc:"URI reference of the page that explains this type of error: every server has it" pattern:"^/docs/errors/[a-z-]+$"`
	Title      string      `json:"title" doc:"The words of the status"`
	Status     int         `json:"status"`
	Detail     string      `json:"detail" doc:"What is wrong, for people"`
	Kind       sprout.Kind `json:"kind" enum:"invalid,not-found,conflict,denied,unavailable,internal"`
	Field      string      `json:"field,omitempty" doc:"The field of the request that is wrong"`
	Remedy     string      `json:"remedy,omitempty" doc:"What helps, as a command where there is one"`
	Request    string      `json:"request,omitempty" doc:"Id of the request"`
	RetryAfter int         `json:"retryAfter,omitempty" doc:"Seconds after which the same request may succeed; the header Retry-After says it too"`
	Errors     []Wrong     `json:"errors,omitempty" doc:"Everything that is wrong with the request, where that is more than one thing"`
}

// A Wrong is one thing that is wrong with a request.
type Wrong struct {
	Field  string `json:"field,omitempty" doc:"The field that is wrong"`
	Detail string `json:"detail" doc:"What is wrong with it, for people"`
}

func (f *Fault) Error() string { return f.Detail }

// GetStatus returns the HTTP status; huma asks for it.
func (f *Fault) GetStatus() int { return f.Status }

// Unwrap gives the error that the fault is of, for who asks for its kind.
func (f *Fault) Unwrap() error { return f.Err() }

// GetHeaders returns the headers that go with the fault; huma asks for them.
func (f *Fault) GetHeaders() http.Header {
	h := http.Header{}
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	return h
}

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
	var made *Fault
	if errors.As(err, &made) {
		return made
	}
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
	return &Fault{Type: typeOf(status, kind), Title: http.StatusText(status), Status: status, Detail: detail, Kind: kind, Request: RequestID(ctx)}
}

func statusOf(kind sprout.Kind) int {
	for _, row := range sprout.ErrorKinds {
		if row.Kind == kind {
			return row.Status
		}
	}
	return http.StatusInternalServerError
}

// WriteFault answers with a problem document.
func WriteFault(w http.ResponseWriter, f *Fault) {
	tell(w, f)
	w.Header().Set("Content-Type", "application/problem+json")
	maps.Copy(w.Header(), f.GetHeaders())
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(f)
}

// tell lets w know which problem document is answered with, where it has a
// method SeeFault to be told so.
func tell(w http.ResponseWriter, f *Fault) {
	for {
		if see, ok := w.(interface{ SeeFault(f *Fault) }); ok {
			see.SeeFault(f)
			return
		}
		around, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = around.Unwrap()
	}
}

// tellFault is tell for what huma writes.
func tellFault(c huma.Context, _ string, v any) (any, error) {
	if f, ok := v.(*Fault); ok {
		_, w := humago.Unwrap(c)
		tell(w, f)
	}
	return v, nil
}
