package client_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// An export that was cut off is never taken for whole, however it ended.
func TestExportThatWasCutOffIsNoticed(t *testing.T) {
	const records = `{"seq":8,"actor":"a"}` + "\n" + `{"seq":9,"actor":"b"}` + "\n"
	for name, c := range map[string]struct {
		body  string
		abort bool
		last  int64
		good  bool
	}{
		"whole":                {records + `{"end":true,"records":2,"last":12}` + "\n", false, 12, true},
		"without its end":      {records, false, 9, false},
		"in a line":            {records + `{"seq":10,"act`, false, 9, false},
		"connection broke":     {records, true, 9, false},
		"a line is missing":    {`{"seq":8}` + "\n" + `{"end":true,"records":2,"last":12}` + "\n", false, 8, false},
		"nothing came":         {"", false, 7, false},
		"a proxy's words":      {"<html>", false, 7, false},
		"something after last": {records + `{"end":true,"records":2,"last":12}` + "\nmore", false, 12, true},
	} {
		t.Run(name, func(t *testing.T) {
			plane := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("after") != "7" {
					t.Errorf("asked for %s", r.URL)
				}
				_, _ = w.Write([]byte(c.body))
				if c.abort {
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
			}))
			defer plane.Close()
			control, err := client.New(client.Config{URL: plane.URL, Token: "x"})
			if err != nil {
				t.Fatal(err)
			}
			var seen strings.Builder
			_, last, err := control.ExportAudit(t.Context(), api.ExportAudit{After: 7}, func(line []byte) error {
				seen.Write(line)
				return seen.WriteByte('\n')
			})
			if last != c.last || (err == nil) != c.good || err != nil && sprout.KindOf(err) != sprout.Unavailable {
				t.Errorf("up to %d: %v", last, err)
			}
			if !strings.HasPrefix(c.body, seen.String()) {
				t.Errorf("saw %q", seen.String())
			}
		})
	}
}
