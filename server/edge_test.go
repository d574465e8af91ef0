package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// exchange sends a request with headers, and returns the answer with its body
// read. An answer that is no success must be a problem document that carries
// the request's id.
func (p plane) exchange(t *testing.T, method, path, body string, header map[string]string) (*http.Response, string, api.Fault) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	raw, fault := read(t, answer)
	return answer, raw, fault
}

// read reads an answer, and the problem in it.
func read(t *testing.T, answer *http.Response) (raw string, fault api.Fault) {
	t.Helper()
	defer answer.Body.Close() // read to its end
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode < 400 {
		return string(all), fault
	}
	if err := json.Unmarshal(all, &fault); err != nil || answer.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d is no problem document: %s", answer.StatusCode, all)
	}
	if fault.Status != answer.StatusCode || fault.Request == "" || fault.Request != answer.Header.Get("Request-Id") {
		t.Errorf("%d does not fit its problem %s", answer.StatusCode, all)
	}
	return string(all), fault
}

// Whatever is wrong with a request is a problem document with the request's id,
// and names what would be right.
func TestEveryRefusalIsAProblem(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	for _, c := range []struct {
		name, method, path, body string
		header                   map[string]string
		status                   int
		says                     string
	}{
		{"no such path", "GET", "/v2/machines", "", nil, 404, "nothing at /v2/machines"},
		{"path that a mux would redirect", "GET", "//v1/machines", "", nil, 404, "nothing at"},
		{"path with dots", "GET", "/v1/sites/../machines", "", nil, 404, "nothing at"},
		{"other method", "PUT", "/v1/sites", "{}", nil, 405, "allowed are GET, HEAD, POST"},
		{"options", "OPTIONS", "/v1/sites", "", nil, 405, "allowed are"},
		{"wants XML", "GET", "/v1/sites", "", map[string]string{"Accept": "text/xml, application/json;q=0"}, 406, "the answer is application/json"},
		{"wants anything at last", "GET", "/v1/sites", "", map[string]string{"Accept": "text/xml, */*;q=0.1"}, 200, ""},
		{"a form", "POST", "/v1/sites", "name=x", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 415, "it must be application/json"},
		{"JSON with a character set", "POST", "/v1/sites", `{"name":"lon1"}`, map[string]string{"Content-Type": "application/json; charset=utf-8"}, 409, ""},
		{"an image as JSON", "POST", "/v1/images?name=x", "{}", nil, 415, "application/octet-stream"},
		{"no body", "POST", "/v1/sites", "", nil, 400, "body is required"},
		{"half a body", "POST", "/v1/sites", `{"name":`, nil, 400, "cannot read the body"},
		{"two bodies", "POST", "/v1/sites", `{"name":"a"}{"name":"b"}`, nil, 400, "cannot read the body"},
		{"unknown parameter", "GET", "/v1/machines?stat=ready", "", nil, 422, "unknown query parameter; did you mean state?"},
		{"unknown parameter where there are none", "GET", "/v1/whoami?x=y", "", nil, 422, "unknown query parameter; there are none"},
		{"unknown field", "POST", "/v1/sites", `{"name":"a","domian":"b"}`, nil, 422, "domian: unknown field; did you mean domain?"},
		{"unknown field within", "POST", "/v1/machines/import", `{"machines":[{"site":"lon1","name":"a","mac":["52:54:00:00:00:01"],"macs":["52:54:00:00:00:01"],"bmc":{"driver":"manual","passwd":"x"}}]}`, nil, 422, "did you mean password?"},
		{"field unlike any", "POST", "/v1/sites", `{"name":"a","qqqqqqqq":"b"}`, nil, 422, "qqqqqqqq: unknown field; known are domain, name"},
		{"zero byte", "GET", "/v1/machines/a%00b", "", nil, 422, "cannot use the value"},
		{"long path", "GET", "/v1/machines/" + strings.Repeat("a", 9<<10), "", nil, 414, "8192 are the most"},
		{"long header", "GET", "/v1/machines", "", map[string]string{"X-Long": strings.Repeat("a", 33<<10)}, 431, "32768 are the most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, body, fault := p.exchange(t, c.method, c.path, c.body, c.header)
			said := fmt.Sprint(fault.Err())
			if len(fault.Errors) > 0 {
				said = fmt.Sprint(fault.Errors)
			}
			if answer.StatusCode != c.status || !strings.Contains(said, c.says) && c.says != "" {
				t.Errorf("%d %s, want %d and %q", answer.StatusCode, body, c.status, c.says)
			}
			if c.status >= 400 {
				if page, text, _ := p.exchange(t, "GET", fault.Type, "", nil); page.StatusCode != 200 || !strings.Contains(text, fmt.Sprintf("\nStatus %d, kind `%s`.\n", c.status, fault.Kind)) {
					t.Errorf("its type %q leads to %d %s", fault.Type, page.StatusCode, text)
				}
			}
			if c.status == 405 && !strings.Contains(answer.Header.Get("Allow"), "POST") {
				t.Errorf("Allow is %q", answer.Header.Get("Allow"))
			}
		})
	}
}

// A body that breaks off is the sender's fault, and never carried out.
func TestABrokenBodyIsRefused(t *testing.T) {
	p := run(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	_, err = fmt.Fprintf(conn, "POST /v1/sites HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"f\r\n{\"name\":\"lon1\"}\r\nNO CHUNK\r\n", p.token)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if said, _ := read(t, answer); answer.StatusCode != 400 {
		t.Errorf("answered %d %s", answer.StatusCode, said)
	}
	if sites := must(client.List(t.Context(), p.admin, api.SiteList, api.ListSites{}, 0))(t); len(sites) != 0 {
		t.Errorf("made %v", sites)
	}
}

// The id that a request comes with is the one of its answer, of its audit
// record, of the workflow that it starts and of what that does to the machine;
// one that could break a log line is replaced.
func TestOneRequestIDFromEdgeToAudit(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	p.machine(t, "lon1", "m1", "52:54:00:00:00:21")
	answer, body, _ := p.exchange(t, "POST", "/v1/machines/m1/commission", "{}", map[string]string{"X-Request-Id": "ci-4711:deploy"})
	var w sprout.Workflow
	if err := json.Unmarshal([]byte(body), &w); err != nil || answer.StatusCode != 202 {
		t.Fatal(answer.StatusCode, body)
	}
	if got := answer.Header.Get("Request-Id"); got != "ci-4711:deploy" || w.Request != got {
		t.Errorf("the answer carries %q, the workflow %q", got, w.Request)
	}
	must(client.Call(t.Context(), p.admin, api.WorkflowCancel, api.WorkflowRef{Workflow: string(w.ID)}))(t)
	seen := map[string]bool{}
	for _, r := range must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{}, 0))(t) {
		if r.Request == "ci-4711:deploy" {
			seen[r.Action] = true
		}
	}
	if !seen["machine commission"] {
		t.Errorf("the audit carries it for %v", seen)
	}
	for _, bad := range []string{"a b", "x\ty", strings.Repeat("a", 129), "ä", `"><script>`} {
		answer, _, fault := p.exchange(t, "GET", "/v1/sites/none", "", map[string]string{"Request-Id": bad})
		if got := answer.Header.Get("Request-Id"); !strings.HasPrefix(got, "req_") || fault.Request != got {
			t.Errorf("%q was taken as %q, %q", bad, got, fault.Request)
		}
	}
}
