package server

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

var loads = regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?\s*(https?:)?//|@import|url\(\s*["']?\s*(https?:)?//`)

// The page at /docs is whole, and loads from this server only: its policy forbids
// everything else, and neither the page nor its style asks for it.
func TestTheDocsPageLoadsFromHereOnly(t *testing.T) {
	mux := http.NewServeMux()
	apiDocRoutes(mux)
	get := func(path string) (http.Header, string) {
		t.Helper()
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != 200 || answer.Body.Len() == 0 {
			t.Fatalf("%s answers %d", path, answer.Code)
		}
		return answer.Header(), answer.Body.String()
	}
	for path, file := range apiDocFiles {
		header, body := get(path)
		for _, rule := range strings.Split(header.Get("Content-Security-Policy"), ";") {
			name, sources, _ := strings.Cut(strings.TrimSpace(rule), " ")
			for source := range strings.FieldsSeq(sources) {
				if source != "'self'" && source != "'none'" && source != "data:" && source != "'unsafe-inline'" {
					t.Errorf("%s: %s allows %s", path, name, source)
				}
			}
		}
		if !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") {
			t.Errorf("%s has the policy %q", path, header.Get("Content-Security-Policy"))
		}
		if !strings.HasSuffix(file, "bundle.js") && loads.MatchString(body) {
			t.Errorf("%s loads from elsewhere: %s", path, loads.FindString(body))
		}
	}
	_, page := get("/docs")
	for _, ref := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(page, -1) {
		get(ref[1])
	}
	if _, script := get("/docs/page.js"); !strings.Contains(script, `url: "/openapi.json"`) || !strings.Contains(script, "validatorUrl: null") {
		t.Errorf("the page shows another document, or has it validated elsewhere: %s", script)
	}
}
