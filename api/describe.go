package api

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const (
	jsonType    = "application/json"
	bytesType   = "application/octet-stream"
	problemType = "application/problem+json"
)

// The headers of answers, as the document knows them.
var (
	requestIDHeader = &huma.Param{
		Required: true, Description: "Id of the request, which the log, the audit and the workflow carry too: the one that it came with, or a new one",
		Schema: text("^[A-Za-z0-9._:-]{1,128}$"), Example: "req_5m2kq7x3v8p1w9za",
	}
	tagHeader = &huma.Param{
		Required: true, Description: "Strong entity tag of the answer, for If-None-Match and If-Match", Schema: text(`^"[^"]+"$`), Example: `"4711-9f86d081884c7d65"`,
	}
	challengeHeader = &huma.Param{Required: true, Description: "How to authenticate", Schema: text("^Bearer "), Example: `Bearer realm="sprout"`}
	retryHeader     = &huma.Param{
		Description: "Seconds after which the same request may succeed", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0)}, Example: 1,
	}
	rangesHeader = &huma.Param{Description: "bytes: a part of the content may be asked for by the header Range", Schema: text(""), Example: "bytes"}
	rangeHeader  = &huma.Param{Description: "Which bytes these are, of how many", Schema: text(""), Example: "bytes 0-1023/734003200"}
)

func text(pattern string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Pattern: pattern} }

// describeAnswers completes the document where huma does not know what this
// server does: errors are Faults, GETs know 304, every answer has headers. What
// many operations share is said once, in the components.
func describeAnswers(doc *huma.OpenAPI) {
	fault := doc.Components.Schemas.Schema(reflect.TypeFor[Fault](), true, "Fault")
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	doc.Components.Headers = map[string]*huma.Header{
		"Request-Id": requestIDHeader, "ETag": tagHeader, "WWW-Authenticate": challengeHeader, "Retry-After": retryHeader,
		"Accept-Ranges": rangesHeader, "Content-Range": rangeHeader,
	}
	doc.Components.Responses = map[string]*huma.Response{}
	for _, r := range slices.Concat(refusals, contentRefusals) {
		doc.Components.Responses[r.name()] = r.response(fault)
	}
	doc.Components.Parameters = map[string]*huma.Param{}
	for _, of := range Operations() {
		s := of.Spec()
		op := operationAt(doc, s)
		for _, r := range refusals {
			if status := strconv.Itoa(r.Status); op.Responses[status] != nil {
				op.Responses[status] = r.refer()
			}
		}
		describeSuccess(op, s)
		for i, p := range op.Parameters {
			if p.In == "header" && !strings.Contains(p.Name, "Event") {
				doc.Components.Parameters[p.Name] = p
				op.Parameters[i] = &huma.Param{Ref: "#/components/parameters/" + p.Name}
			}
		}
	}
}

// operationAt is the operation of the document that a spec became.
func operationAt(doc *huma.OpenAPI, s Spec) *huma.Operation {
	item := doc.Paths[s.Path]
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPut: item.Put, http.MethodPost: item.Post, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[s.Method]
}

// name is that of the refusal among the components.
func (r refusal) name() string { return strings.ReplaceAll(http.StatusText(r.Status), " ", "") }

func (r refusal) refer() *huma.Response {
	return &huma.Response{Ref: "#/components/responses/" + r.name()}
}

func (r refusal) response(fault *huma.Schema) *huma.Response {
	headers := bear("Request-Id")
	switch r.Status {
	case http.StatusUnauthorized:
		headers = bear("Request-Id", "WWW-Authenticate")
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		headers = bear("Request-Id", "Retry-After")
	case http.StatusRequestedRangeNotSatisfiable:
		headers = bear("Request-Id", "Content-Range")
	}
	return &huma.Response{Description: r.When, Headers: headers, Content: map[string]*huma.MediaType{problemType: {Schema: fault}}}
}

// describeSuccess says what headers a success has, and what a GET answers to who
// has it already or asks for a part of it.
func describeSuccess(op *huma.Operation, s Spec) {
	success := op.Responses[strconv.Itoa(s.Status)]
	headers := bear("Request-Id")
	if replayed := success.Headers["Idempotent-Replayed"]; replayed != nil && s.Method == http.MethodPost && s.Role != Public {
		headers["Idempotent-Replayed"] = replayed
	}
	if tag := success.Headers["ETag"]; tag != nil && s.Method != http.MethodGet {
		headers["ETag"] = tag // of some: what it is about may have none
	}
	if s.Method == http.MethodGet && (s.Download || success.Content[jsonType] != nil) {
		maps.Copy(headers, bear("ETag"))
		op.Responses["304"] = &huma.Response{Description: "It is still what the entity tag of If-None-Match says.", Headers: bear("Request-Id", "ETag")}
	}
	success.Headers = headers
	if !s.Download {
		return
	}
	content := success.Content[bytesType]
	maps.Copy(headers, bear("Accept-Ranges"))
	op.Responses["206"] = &huma.Response{
		Description: "The part that Range asks for.",
		Content:     map[string]*huma.MediaType{bytesType: content, "multipart/byteranges": content},
		Headers:     bear("Request-Id", "ETag", "Accept-Ranges", "Content-Range"),
	}
	for _, r := range slices.Concat(refusals, contentRefusals) {
		if r.Status == http.StatusPreconditionFailed || r.Status == http.StatusRequestedRangeNotSatisfiable {
			op.Responses[strconv.Itoa(r.Status)] = r.refer()
		}
	}
}

// bear refers to headers of the components.
func bear(names ...string) map[string]*huma.Param {
	headers := map[string]*huma.Param{}
	for _, name := range names {
		headers[name] = &huma.Param{Ref: "#/components/headers/" + name}
	}
	return headers
}
