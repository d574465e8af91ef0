package apitest

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Request is one that was generated.
type Request struct {
	Operation string // its id
	Method    string
	Target    string // path and query, encoded or badly so
	Header    http.Header
	Body      []byte
	Broken    string // in which way; "": it is as the document asks
}

// A Generator makes requests of the document's operations. Each has its own
// random numbers, so that one can be made again alone.
type Generator struct {
	Document *Document
	// Value gives a single value for a field or parameter of this name, which the schema
	// alone would rarely hit, such as the name of something that exists; nil: it
	// has none.
	Value func(r *rand.Rand, name string) any
	// Weight is how often an operation comes up beside the others; nil: all alike.
	Weight func(id string) int

	bag []place // each operation as often as its weight says
}

type place struct{ path, method string }

// Request makes the request of this number; the same from the same seed and Value.
func (g *Generator) Request(seed, number uint64) Request {
	if g.bag == nil {
		g.fill()
	}
	m := &maker{Rand: rand.New(rand.NewPCG(seed, number)), g: g} // it is no secret
	at := g.bag[m.IntN(len(g.bag))]
	o := g.Document.Paths[at.path][at.method]
	d := m.draft(o, at)
	if m.IntN(3) > 0 {
		m.spoil(&d)
	}
	return d.request()
}

func (g *Generator) fill() {
	for _, path := range slices.Sorted(maps.Keys(g.Document.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(g.Document.Paths[path])) {
			weight := 10
			if g.Weight != nil {
				weight = g.Weight(g.Document.Paths[path][method].OperationID)
			}
			g.bag = append(g.bag, slices.Repeat([]place{{path, method}}, weight)...)
		}
	}
}

// A draft is a request whose parts can still be told apart.
type draft struct {
	operation, method, path string
	params                  map[string]string // of the path
	query                   url.Values
	header                  http.Header
	kind                    string // media type of the body
	body                    any    // JSON, or []byte
	raw                     []byte // in place of body, once it is no JSON any more
	rawQuery                string // in place of query
	broken                  string
}

func (d draft) request() Request {
	path := d.path
	for name, value := range d.params {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	if query := d.query.Encode() + d.rawQuery; query != "" {
		path += "?" + query
	}
	if d.kind != "" {
		d.header.Set("Content-Type", d.kind)
	}
	body := d.raw
	if raw, ok := d.body.([]byte); ok && body == nil {
		body = raw
	} else if d.body != nil && body == nil {
		body, _ = json.Marshal(d.body) // of maps, lists and values
	}
	return Request{Operation: d.operation, Method: strings.ToUpper(d.method), Target: path, Header: d.header, Body: body, Broken: d.broken}
}

// A maker makes the parts of one request.
type maker struct {
	*rand.Rand
	g *Generator
}

// draft makes a request as the document asks for it.
func (m *maker) draft(o Operation, at place) draft {
	d := draft{operation: o.OperationID, method: at.method, path: at.path, params: map[string]string{}, query: url.Values{}, header: http.Header{}}
	for _, p := range o.Parameters {
		if p.Ref != "" {
			p = m.g.Document.Components.Parameters[p.Ref[strings.LastIndex(p.Ref, "/")+1:]]
		}
		if !p.Required && m.IntN(3) > 0 {
			continue
		}
		value := plain(m.value(p.Schema, p.Name, 0))
		switch p.In {
		case "path":
			d.params[p.Name] = url.PathEscape(value)
		case "query":
			d.query.Set(p.Name, value)
		case "header":
			if m.IntN(4) == 0 {
				d.header.Set(p.Name, value)
			}
		}
	}
	if o.RequestBody == nil {
		return d
	}
	for kind, media := range o.RequestBody.Content {
		d.kind = kind
		if kind == "application/json" {
			d.body = m.value(media.Schema, "", 0)
		} else {
			d.body = []byte(strings.Repeat(m.word()+"....", 4096)[:512*(1+m.IntN(8))])
		}
	}
	return d
}

// plain writes a value as a parameter.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var parts []string
		for _, part := range v {
			parts = append(parts, plain(part))
		}
		return strings.Join(parts, ",")
	}
	raw, _ := json.Marshal(v) // of numbers and such
	return string(raw)
}

const deepest = 6

// value makes a value that meets a schema, as far as words can say it.
func (m *maker) value(schema map[string]any, name string, depth int) any {
	schema = m.g.Document.Resolve(schema)
	if kind := kindOf(schema); m.g.Value != nil && kind != "object" && kind != "array" {
		if v := m.g.Value(m.Rand, name); v != nil {
			return v
		}
	}
	if words, ok := schema["enum"].([]any); ok {
		return words[m.IntN(len(words))]
	}
	if examples, ok := schema["examples"].([]any); ok && m.IntN(2) == 0 {
		return examples[m.IntN(len(examples))]
	}
	switch kindOf(schema) {
	case "object":
		return m.object(schema, depth)
	case "array":
		items, _ := schema["items"].(map[string]any)
		list := []any{}
		for range m.between(schema, "minItems", "maxItems", 0, 3) {
			list = append(list, m.value(items, name, depth+1))
		}
		return list
	case "integer":
		return m.between(schema, "minimum", "maximum", 0, 1000)
	case "number":
		return m.Float64() * 100
	case "boolean":
		return m.IntN(2) == 0
	case "string":
		return m.words(schema)
	}
	return nil
}

// kindOf is the type of a schema that is not null.
func kindOf(schema map[string]any) string {
	switch kind := schema["type"].(type) {
	case string:
		return kind
	case []any:
		first, _ := kind[0].(string)
		return first
	}
	return ""
}

func (m *maker) object(schema map[string]any, depth int) map[string]any {
	o := map[string]any{}
	required, _ := schema["required"].([]any)
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[name].(map[string]any)
		if property["readOnly"] != true && (slices.Contains(required, any(name)) || depth < deepest && m.IntN(3) == 0) {
			o[name] = m.value(property, name, depth+1)
		}
	}
	if more, ok := schema["additionalProperties"].(map[string]any); ok {
		for range m.IntN(3) {
			o[m.word()] = m.value(more, "", depth+1)
		}
	}
	return o
}

// between makes a number within the bounds that a schema names, or those given.
func (m *maker) between(schema map[string]any, low, high string, least, most int) int {
	if v, ok := schema[low].(float64); ok {
		least = int(v)
		most = max(most, least)
	}
	if v, ok := schema[high].(float64); ok {
		most = min(most, int(v))
	}
	return least + m.IntN(most-least+1)
}

func (m *maker) words(schema map[string]any) string {
	most, bounded := schema["maxLength"].(float64)
	text := m.word()
	switch {
	case schema["format"] == "date-time":
		return "2026-11-22T10:00:00Z"
	case schema["format"] == "ip":
		return "10.0.0.7"
	case m.IntN(4) == 0:
		text = m.text(40)
	}
	if bounded && len(text) > int(most) {
		return text[:int(most)]
	}
	return text
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789"

// word makes what is a label of DNS.
func (m *maker) word() string {
	text := make([]byte, 1+m.IntN(12))
	for i := range text {
		text[i] = letters[m.IntN(len(letters))]
	}
	return string(text)
}

var odd = []rune("aZ09 ._:/-,=!'\"\\%<>&?#*();$\u00e4\u00df\u20ac\u4e16\u1f600\u202e\u0301\n\t")

// text makes a text of any signs but those that no text has.
func (m *maker) text(most int) string {
	text := make([]rune, m.IntN(most+1))
	for i := range text {
		text[i] = odd[m.IntN(len(odd))]
	}
	return string(text)
}
