package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// The document that is checked in is the promise to clients: a change to it is
// seen in review.
func TestOpenAPIIsWhatIsCheckedIn(t *testing.T) {
	got, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the operations and api/openapi.json differ: run `make generate` and review the diff")
	}
}

func TestEveryOperationIsWhole(t *testing.T) {
	seen := map[string]string{}
	for _, op := range Operations() {
		s := op.Spec()
		if s.Help == "" || s.Method == "" || !strings.HasPrefix(s.Path, "/v1/") {
			t.Errorf("%q lacks help, method or a path under /v1", s.Name)
		}
		for _, key := range []string{s.Name, s.Method + " " + s.Path} {
			if other, twice := seen[key]; twice {
				t.Errorf("%q is declared by %q and by %q", key, other, s.Name)
			}
			seen[key] = s.Name
		}
		if s.Role == Public && s.Name != "agent enrol" {
			t.Errorf("%q needs no token", s.Name)
		}
	}
}

func TestDocumentNamesNoLibrary(t *testing.T) {
	raw, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if _, ok := doc.Components.Schemas["ErrorModel"]; ok {
		t.Error("the library's own error is documented in place of Fault")
	}
	if _, ok := doc.Components.Schemas["Fault"]; !ok {
		t.Error("Fault is not documented")
	}
}
