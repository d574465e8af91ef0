package apitest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sprout/api"
	"sprout/api/apitest"
)

const (
	site     = `{"id":"site_1","name":"lon1","domain":"lon1.sprout","createdAt":"2026-11-22T10:00:00Z"}`
	notFound = `{"type":"/docs/errors/not-found","title":"Not Found","status":404,"detail":"cannot find it","kind":"not-found","request":"r1"}`
	event    = `{"id":"1","what":"open"}`
)

// The checker passes what is documented, and names whatever is not.
func TestTheCheckerFindsBreaches(t *testing.T) {
	d, err := apitest.Open()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, method, path string
		status             int
		kind, body         string
		drop               string // a header that is left out
		says               string // "": it is as documented
	}{
		{"right", "GET", "/v1/sites/lon1", 200, "application/json", site, "", ""},
		{"right to HEAD", "HEAD", "/v1/sites/lon1", 200, "application/json", "", "", ""},
		{"right refusal", "GET", "/v1/sites/lon1", 404, "application/problem+json", notFound, "", ""},
		{"nothing new", "GET", "/v1/sites/lon1", 304, "", "", "", ""},
		{"nothing", "DELETE", "/v1/sites/lon1", 204, "", "", "", ""},
		{"health", "GET", "/healthz", 200, "application/json", "{}", "", ""},
		{"no such path", "GET", "/v2", 404, "application/problem+json", notFound, "", ""},
		{"right stream", "GET", "/v1/events", 200, "text/event-stream", ": hello\n\nid: 1\ndata: " + event + "\n\n", "", ""},
		{"right lines", "GET", "/v1/audit/export", 200, "application/x-ndjson", `{"end":true,"records":0,"last":0}` + "\n", "", ""},

		{"undocumented status", "GET", "/v1/sites/lon1", 418, "application/json", site, "", "the status is not documented"},
		{"status of another operation", "GET", "/v1/sites/lon1", 201, "application/json", site, "", "the status is not documented"},
		{"undocumented operation", "GET", "/v1/secrets", 200, "application/json", site, "", "the operation is not documented"},
		{"unknown field", "GET", "/v1/sites/lon1", 200, "application/json", strings.Replace(site, "{", `{"x":1,`, 1), "", "additional properties 'x' not allowed"},
		{"missing field", "GET", "/v1/sites/lon1", 200, "application/json", "{}", "", "missing properties"},
		{"wrong type", "GET", "/v1/sites/lon1", 200, "application/json", strings.Replace(site, `"lon1"`, "1", 1), "", "want string"},
		{"no time", "GET", "/v1/sites/lon1", 200, "application/json", strings.Replace(site, "2026-11-22T10:00:00Z", "today", 1), "", "date-time"},
		{"half a body", "GET", "/v1/sites/lon1", 200, "application/json", site[:20], "", "it is no JSON"},
		{"two bodies", "GET", "/v1/sites/lon1", 200, "application/json", site + site, "", "it is no JSON"},
		{"other media type", "GET", "/v1/sites/lon1", 200, "text/html", site, "", "the media type is"},
		{"a body where there is none", "DELETE", "/v1/sites/lon1", 204, "application/json", "{}", "", "none is documented"},
		{"no tag", "GET", "/v1/sites/lon1", 200, "application/json", site, "ETag", "the header ETag is missing"},
		{"no request id", "GET", "/v1/sites/lon1", 404, "application/problem+json", notFound, "Request-Id", "the header Request-Id is missing"},
		{"refusal of another kind", "GET", "/v1/sites/lon1", 404, "application/problem+json", strings.Replace(notFound, `"not-found"`, `"odd"`, 1), "", "value must be one of"},
		{"refusal as JSON", "GET", "/v1/sites/lon1", 404, "application/json", notFound, "", "the media type is"},
		{"plain refusal", "GET", "/v2", 404, "text/plain", "404 page not found", "", "no problem document"},
		{"wrong event", "GET", "/v1/events", 200, "text/event-stream", "data: " + event + "\n\ndata: {}\n\n", "", "part 1"},
		{"wrong line", "GET", "/v1/audit/export", 200, "application/x-ndjson", "{}\n", "", "part 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{"Request-Id": {"r1"}, "Etag": {`"1"`}}
			if c.kind != "" {
				header.Set("Content-Type", c.kind)
			}
			header.Del(c.drop)
			err := d.Check(httptest.NewRequest(c.method, c.path, nil), c.status, header, []byte(c.body))
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v; it should say %q", err, c.says)
			}
		})
	}
}

// A failed is what Edge and Transport have of a test, which can fail without
// failing this one.
type failed struct {
	testing.TB
	said []string
	end  []func()
}

func (f *failed) Helper()                      {}
func (f *failed) Cleanup(end func())           { f.end = append(f.end, end) }
func (f *failed) Errorf(text string, v ...any) { f.said = append(f.said, fmt.Sprintf(text, v...)) }

// A server behind Edge, and a client with Transport, fail the test that asked.
func TestTheTestThatAskedFails(t *testing.T) {
	wrong := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "{}")
	})
	edge, far := &failed{TB: t}, &failed{TB: t}
	s := httptest.NewServer(apitest.Edge(edge)(wrong))
	defer s.Close()
	answer, err := (&http.Client{Transport: apitest.Transport(far, nil)}).Get(s.URL + api.SiteList.Path)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // read to its end
	if err != nil || string(raw) != "{}" || answer.StatusCode != http.StatusTeapot {
		t.Errorf("the answer is changed: %d %q %v", answer.StatusCode, raw, err)
	}
	for name, f := range map[string]*failed{"the server's": edge, "the client's": far} {
		for _, end := range f.end {
			end()
		}
		if len(f.said) != 1 || !strings.Contains(f.said[0], "GET /v1/sites answers 418: the status is not documented") {
			t.Errorf("%s test says %q", name, f.said)
		}
	}
}

// What the document shows as an example is one.
func TestExamplesMeetTheirSchemas(t *testing.T) {
	d, err := apitest.Open()
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, name := range d.Schemas() {
		properties, _ := d.Resolve(map[string]any{"$ref": "#/components/schemas/" + name})["properties"].(map[string]any)
		for field, p := range properties {
			property, _ := p.(map[string]any)
			examples, _ := property["examples"].([]any)
			for _, example := range examples {
				looked++
				raw, err := json.Marshal(example)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Holds("/components/schemas/"+name+"/properties/"+strings.ReplaceAll(field, "$", "%24"), raw); err != nil {
					t.Errorf("%s.%s: %v", name, field, err)
				}
			}
		}
	}
	if looked < 300 {
		t.Errorf("only %d examples were looked at", looked)
	}
}
