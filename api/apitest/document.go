// Package apitest holds what a control plane answers to its OpenAPI document:
// every server of a test is wrapped by Edge, so that the suite as a whole shows
// whether the document tells the truth. It must not know how an operation is
// carried out, nor reuse the code that writes answers.
package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sprout/api"
)

// A Document is an OpenAPI document that answers can be held to.
type Document struct {
	Paths      map[string]map[string]Operation // by path and method in lower case
	Components struct {
		Parameters, Headers map[string]Parameter
		Responses           map[string]Response
	}

	root    any // as JSON
	mux     *http.ServeMux
	mu      sync.Mutex // of what follows
	schemas *jsonschema.Compiler
	known   map[string]*jsonschema.Schema // by JSON pointer
}

// An Operation is what the document says of a method on a path.
type Operation struct {
	OperationID string
	Tags        []string
	Parameters  []Parameter
	RequestBody *struct{ Content map[string]Media }
	Responses   map[string]Response // by status
}

// A Parameter is one of a request, or a header of a response.
type Parameter struct {
	Ref      string `json:"$ref"`
	Name, In string
	Required bool
	Schema   map[string]any
}

// A Response is what an operation may answer with a status.
type Response struct {
	Ref     string `json:"$ref"`
	Headers map[string]Parameter
	Content map[string]Media // by media type
}

// Media is a body of one media type.
type Media struct{ Schema map[string]any }

// Open reads the document of this version; it is read once.
var Open = sync.OnceValues(func() (*Document, error) {
	raw, err := api.Document()
	if err != nil {
		return nil, err
	}
	return Read(raw)
})

// resource is the name under which schemas refer to the document.
const resource = "document:openapi.json"

// Read reads a document.
func Read(raw []byte) (*Document, error) {
	d := &Document{mux: http.NewServeMux(), schemas: jsonschema.NewCompiler(), known: map[string]*jsonschema.Schema{}}
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("cannot read the document: %w", err)
	}
	var err error
	if d.root, err = jsonschema.UnmarshalJSON(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("cannot read the document: %w", err)
	}
	d.schemas.DefaultDraft(jsonschema.Draft2020) // the dialect of OpenAPI 3.1
	d.schemas.AssertFormat()
	d.schemas.RegisterFormat(&jsonschema.Format{Name: "ip", Validate: func(v any) error {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		_, err := netip.ParseAddr(text)
		return err
	}})
	if err := d.schemas.AddResource(resource, d.root); err != nil {
		return nil, fmt.Errorf("cannot read the document: %w", err)
	}
	for path, item := range d.Paths {
		for method := range item {
			d.mux.Handle(strings.ToUpper(method)+" "+path, http.NotFoundHandler())
		}
	}
	return d, nil
}

// find returns the operation that a request is for, and where in the document
// it is.
func (d *Document) find(r *http.Request) (o Operation, at string, ok bool) {
	_, pattern := d.mux.Handler(r)
	method, path, _ := strings.Cut(pattern, " ")
	o, ok = d.Paths[path][strings.ToLower(method)]
	return o, pointer("paths", path, strings.ToLower(method)), ok
}

// schema returns the schema at a JSON pointer.
func (d *Document) schema(at string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.known[at]; ok {
		return s, nil
	}
	s, err := d.schemas.Compile(resource + "#" + at)
	if err != nil {
		return nil, fmt.Errorf("cannot read the schema at %s: %w", at, err)
	}
	d.known[at] = s
	return s, nil
}

// Holds says how a JSON text breaks the schema at a JSON pointer.
func (d *Document) Holds(at string, raw []byte) error {
	s, err := d.schema(at)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	return s.Validate(v)
}

// Resolve follows the reference of a schema, if it is one.
func (d *Document) Resolve(schema map[string]any) map[string]any {
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	v := any(d.root)
	for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		o, _ := v.(map[string]any)
		v = o[step]
	}
	target, _ := v.(map[string]any)
	return target
}

// Schemas lists the names of the document's schemas.
func (d *Document) Schemas() []string {
	return slices.Sorted(maps.Keys(d.Resolve(map[string]any{"$ref": "#/components/schemas"})))
}

// component follows a reference to one of the components; at is where v is.
func component[T any](all map[string]T, ref, at string, v T) (T, string, error) {
	if ref == "" {
		return v, at, nil
	}
	v, ok := all[ref[strings.LastIndex(ref, "/")+1:]]
	if !ok {
		return v, at, fmt.Errorf("there is no %s", ref)
	}
	return v, strings.TrimPrefix(ref, "#"), nil
}

// pointer writes a JSON pointer (RFC 6901) as the fragment of a URI.
func pointer(steps ...string) string {
	var at strings.Builder
	for _, step := range steps {
		at.WriteByte('/')
		at.WriteString(strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(step))
	}
	return at.String()
}
