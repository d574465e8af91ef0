package apitest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// beside are the paths that are no operations: health, the document itself and
// the pages for people.
var beside = []string{"/healthz", "/readyz", "/openapi.json", "/docs"}

// Check says how an answer breaks the document. Of a body that is neither JSON
// nor made of JSON only the media type is looked at, and it may be left out.
func (d *Document) Check(r *http.Request, status int, header http.Header, body []byte) error {
	o, at, ok := d.find(r)
	if !ok {
		return d.checkUnknown(r, status, header, body)
	}
	response, ok := o.Responses[strconv.Itoa(status)]
	if !ok {
		return fmt.Errorf("the status is not documented: known are %s", strings.Join(slices.Sorted(maps.Keys(o.Responses)), ", "))
	}
	response, at, err := component(d.Components.Responses, response.Ref, at+pointer("responses", strconv.Itoa(status)), response)
	if err != nil {
		return err
	}
	return errors.Join(d.checkHeaders(at, response, header), d.checkBody(at, r, response, header, body))
}

// checkUnknown looks at an answer to what is no operation: a problem document,
// unless it is of a path that is known to be none.
func (d *Document) checkUnknown(r *http.Request, status int, header http.Header, body []byte) error {
	if status < 400 {
		if slices.ContainsFunc(beside, func(path string) bool { return r.URL.Path == path || strings.HasPrefix(r.URL.Path, path+"/") }) {
			return nil
		}
		return errors.New("the operation is not documented")
	}
	if r.URL.Path == "/readyz" && status == http.StatusServiceUnavailable {
		return nil
	}
	if kind := header.Get("Content-Type"); kind != "application/problem+json" {
		return fmt.Errorf("a %d is of the media type %q, and no problem document", status, kind)
	}
	if r.Method == http.MethodHead {
		return nil
	}
	return d.Holds(pointer("components", "schemas", "Fault"), body)
}

func (d *Document) checkHeaders(at string, response Response, header http.Header) error {
	for name, h := range response.Headers {
		h, at, err := component(d.Components.Headers, h.Ref, at+pointer("headers", name), h)
		if err != nil {
			return err
		}
		value, given := header.Get(name), len(header.Values(name)) > 0
		if !given && h.Required {
			return fmt.Errorf("the header %s is missing", name)
		}
		if !given {
			continue
		}
		raw := value
		if h.Schema["type"] == "string" {
			raw = strconv.Quote(value)
		}
		if err := d.Holds(at+pointer("schema"), []byte(raw)); err != nil {
			return fmt.Errorf("the header %s is %q: %w", name, value, err)
		}
	}
	return nil
}

func (d *Document) checkBody(at string, r *http.Request, response Response, header http.Header, body []byte) error {
	if len(response.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("there is a body, and none is documented: %.200s", body)
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	media, ok := response.Content[kind]
	if err != nil || !ok {
		return fmt.Errorf("the media type is %q; documented are %s", header.Get("Content-Type"), strings.Join(slices.Sorted(maps.Keys(response.Content)), ", "))
	}
	if r.Method == http.MethodHead {
		return nil
	}
	at += pointer("content", kind, "schema")
	switch {
	case strings.HasSuffix(kind, "json") && kind != "application/x-ndjson":
		if err := d.Holds(at, body); err != nil {
			return fmt.Errorf("the body breaks its schema: %w\n%.2000s", err, body)
		}
	case media.Schema["x-line"] != nil:
		return d.checkEach(at+pointer("x-line"), bytes.SplitAfter(body, []byte("\n")))
	case media.Schema["x-event-data"] != nil:
		return d.checkEach(at+pointer("x-event-data"), dataOf(body))
	}
	return nil
}

func (d *Document) checkEach(at string, parts [][]byte) error {
	for i, part := range parts {
		if len(part) == 0 {
			continue
		}
		if err := d.Holds(at, part); err != nil {
			return fmt.Errorf("part %d of the body breaks its schema: %w\n%.2000s", i, err, part)
		}
	}
	return nil
}

// dataOf returns the data of each event of a stream that is whole.
func dataOf(stream []byte) (list [][]byte) {
	for event := range bytes.SplitSeq(stream, []byte("\n\n")) {
		for line := range bytes.SplitSeq(event, []byte("\n")) {
			if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
				list = append(list, data)
			}
		}
	}
	return list
}
