package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"sprout"
)

// The type of every problem is a page that this server has, for programs and for
// browsers; nobody needs a token to read it.
func TestProblemDocs(t *testing.T) {
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
	if status, kind, _ := get("/docs/problems/no-such", ""); status != 404 || kind != "application/problem+json" {
		t.Errorf("of no code: %d %s", status, kind)
	}
}
