package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"sprout/api"
)

// PanicIn returns what a request is answered in which words are panicked with.
func PanicIn(t *testing.T, log *slog.Logger, words string) (fault api.Fault, id string) {
	t.Helper()
	s := &Server{log: log}
	answer := httptest.NewRecorder()
	s.identify(s.recover(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(words) }))).
		ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/v1/machines", nil))
	if answer.Code != fault.Status && answer.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("answered %d as %s", answer.Code, answer.Header())
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &fault); err != nil {
		t.Fatal(err)
	}
	return fault, answer.Header().Get("Request-Id")
}
