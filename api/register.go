package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sprout"
)

// A Guard runs before an operation's input is even read; it calls next, or
// answers by itself.
type Guard func(spec Spec) func(ctx huma.Context, next func(huma.Context))

// New makes an API on the mux. Unknown fields and query parameters are refused,
// and every error is a problem document (RFC 9457).
func New(mux *http.ServeMux) huma.API {
	config := huma.DefaultConfig("Sprout", "1")
	config.DocsPath = "" // its page would load from elsewhere
	config.OpenAPIPath, config.SchemasPath = "", ""
	config.CreateHooks = nil // no $schema with the request's host
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{finder{config.Components.Schemas}.toFault, tellFault}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "A token of `sprout token create`."},
	}
	config.Info.Description = "The control plane of Sprout. Whatever takes time answers 202 with a workflow to follow."
	return humago.New(mux, config)
}

// Register serves the operation by handle. guard may be nil.
func Register[In, Out any](a huma.API, o Op[In, Out], guard Guard, handle func(context.Context, *In) (Out, error)) {
	op := operation(o.Spec())
	op.Middlewares = huma.Middlewares{receive(o.Spec())}
	if guard != nil {
		op.Middlewares = huma.Middlewares{guard(o.Spec()), receive(o.Spec())}
	}
	var out Out
	switch any(out).(type) {
	case None:
		huma.Register(a, op, func(ctx context.Context, in *In) (*struct{}, error) {
			_, err := handle(ctx, in)
			return nil, faultOrNil(ctx, err)
		})
	case Download:
		op.Responses = succeeds("application/octet-stream", &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}})
		stream(a, op, handle, func(out Out) serve { return any(out).(Download).Serve })
	case Lines:
		schemas := a.OpenAPI().Components.Schemas
		op.Responses = succeeds("application/x-ndjson", &huma.MediaType{Schema: &huma.Schema{
			Type: "string", Description: "A JSON value each line: an AuditRecord, and an AuditEnd at last.",
			Extensions: map[string]any{"x-line": &huma.Schema{AnyOf: []*huma.Schema{
				schemas.Schema(reflect.TypeFor[sprout.AuditRecord](), true, "AuditRecord"), schemas.Schema(reflect.TypeFor[AuditEnd](), true, "AuditEnd"),
			}}},
		}})
		stream(a, op, handle, func(out Out) serve { return any(out).(Lines).Serve })
	case Stream:
		op.Responses = events(a, reflect.TypeFor[sprout.WatchEvent](), "WatchEvent")
		stream(a, op, handle, func(out Out) serve { return any(out).(Stream).Serve })
	case Console:
		op.Responses = events(a, reflect.TypeFor[sprout.ConsoleEvent](), "ConsoleEvent")
		stream(a, op, handle, func(out Out) serve { return any(out).(Console).Serve })
	default:
		huma.Register(a, op, func(ctx context.Context, in *In) (*answered[Out], error) {
			out, err := handle(ctx, in)
			if err != nil {
				return nil, FaultOf(ctx, err)
			}
			return answer(ctx, o.Spec(), out)
		})
	}
}

type serve func(w http.ResponseWriter, r *http.Request)

// stream registers an operation that writes its answer by itself.
func stream[In, Out any](a huma.API, op huma.Operation, handle func(context.Context, *In) (Out, error), of func(Out) serve) {
	huma.Register(a, op, func(ctx context.Context, in *In) (*huma.StreamResponse, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, FaultOf(ctx, err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			r, w := humago.Unwrap(c)
			of(out)(w, r)
		}}, nil
	})
}

// events documents a stream of server-sent events.
func events(a huma.API, data reflect.Type, name string) map[string]*huma.Response {
	return succeeds("text/event-stream", &huma.MediaType{Schema: &huma.Schema{
		Type: "string", Description: "Server-sent events. The field event is the member what of data, and data is a " + name + ".",
		Extensions: map[string]any{"x-event-data": a.OpenAPI().Components.Schemas.Schema(data, true, name)},
	}})
}

// succeeds documents a success that is not JSON.
func succeeds(contentType string, media *huma.MediaType) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{contentType: media}}}
}

// operation turns a spec into what huma documents.
func operation(s Spec) huma.Operation {
	noun, _, _ := strings.Cut(s.Name, " ")
	op := huma.Operation{
		OperationID: strings.ReplaceAll(s.Name, " ", "-"), Method: s.Method, Path: s.Path, Summary: s.Help,
		Tags: []string{noun}, DefaultStatus: s.Status, MaxBodyBytes: 8 << 20,
	}
	for _, r := range refusalsOf(s) {
		op.Errors = append(op.Errors, r.Status)
	}
	if s.Role != Public {
		op.Security = []map[string][]string{{"bearer": {}}}
		op.Extensions = map[string]any{"x-role": string(s.Role)}
		if s.Wide {
			op.Extensions["x-every-site"] = true
		}
	}
	op.Parameters = headersOf(s)
	if s.Upload {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}},
		}}
	}
	return op
}

// Document returns the OpenAPI 3.1 document of every operation, indented.
func Document() ([]byte, error) {
	a := New(http.NewServeMux())
	for _, op := range Operations() {
		op.document(a)
	}
	describeAnswers(a.OpenAPI())
	describeWords(a.OpenAPI())
	a.OpenAPI().Servers = []*huma.Server{{URL: "/", Description: "The control plane that served this document"}}
	raw, err := json.MarshalIndent(a.OpenAPI(), "", "  ")
	if err != nil {
		return nil, sprout.Errorf(sprout.Internal, "cannot write the OpenAPI document: %w", err)
	}
	return append(raw, '\n'), nil
}

func faultOrNil(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return FaultOf(ctx, err)
}
