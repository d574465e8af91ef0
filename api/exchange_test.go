package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"sprout"
)

type tooSlow struct{}

func (tooSlow) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A body that does not arrive in time is a 408, not a broken one and no defect.
func TestASlowBodyIsNoDefect(t *testing.T) {
	mux := http.NewServeMux()
	Register(New(mux), SiteCreate, nil, func(context.Context, *CreateSite) (sprout.Site, error) {
		t.Error("it was carried out")
		return sprout.Site{}, nil
	})
	r := httptest.NewRequest("POST", "/v1/sites", tooSlow{})
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, r)
	var fault Fault
	if err := json.Unmarshal(answer.Body.Bytes(), &fault); err != nil || answer.Code != 408 || fault.Kind != sprout.Unavailable {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestAcceptable(t *testing.T) {
	offers := []string{"application/json"}
	for accept, want := range map[string]bool{
		"": true, "*/*": true, "application/*": true, "text/html,application/xhtml+xml,*/*;q=0.8": true, "application/json;q=0.5, text/html": true,
		"text/html": false, "application/json;q=0": false, "nonsense": false, "text/event-stream": false,
	} {
		if got := acceptable(accept, offers); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
	if !acceptable("text/html", nil) {
		t.Error("where nothing is answered, nothing can be wrong")
	}
}
