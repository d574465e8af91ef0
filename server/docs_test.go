package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
)

// The type of every problem and of every error is a page that this server has,
// for programs and for browsers; nobody needs a token to read it.
func TestProblemAndErrorDocs(t *testing.T) {
	p := run(t)
	get := func(path, accept string) (int, string, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		raw, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, answer.Header.Get("Content-Type"), string(raw)
	}
	for _, problem := range sprout.Problems {
		if status, kind, page := get(problem.Code.Type(), ""); status != 200 || !strings.HasPrefix(kind, "text/markdown") || !strings.HasPrefix(page, "# "+string(problem.Code)+"\n") {
			t.Errorf("%s: %d %s %.60q", problem.Code, status, kind, page)
		}
	}
	status, kind, page := get("/docs/problems/tftp-stalled", "text/html,*/*")
	if status != 200 || !strings.HasPrefix(kind, "text/html") || !strings.Contains(page, "## Where to look") || strings.Contains(page, "://") {
		t.Errorf("for a browser: %d %s %q", status, kind, page)
	}
	if status, _, page := get("/docs/problems/", ""); status != 200 || !strings.HasPrefix(page, "# Problems") {
		t.Errorf("the list: %d %.60q", status, page)
	}
	for _, e := range api.ErrorTypes() {
		if status, kind, page := get(e.URI(), ""); status != 200 || !strings.HasPrefix(kind, "text/markdown") || !strings.HasPrefix(page, "# "+e.Name+"\n") {
			t.Errorf("%s: %d %s %.60q", e.Name, status, kind, page)
		}
	}
	if status, _, page := get("/docs/errors/", ""); status != 200 || !strings.HasPrefix(page, "# Errors") {
		t.Errorf("the list of errors: %d %.60q", status, page)
	}
	for _, path := range []string{"/docs/problems/no-such", "/docs/errors/no-such"} {
		if status, kind, body := get(path, ""); status != 404 || kind != "application/problem+json" || !strings.Contains(body, `"type":"/docs/errors/not-found"`) {
			t.Errorf("%s: %d %s %s", path, status, kind, body)
		}
	}
}
