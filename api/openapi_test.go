package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
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
		if s.Role == Public && s.Name != "agent enrol" && s.Name != "login show" && s.Name != "login create" {
			t.Errorf("%q needs no token", s.Name)
		}
	}
}

// Whatever lists answers page by page.
func TestEveryListIsPaged(t *testing.T) {
	raw, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name string }
			Responses  map[string]struct {
				Content map[string]struct {
					Schema struct {
						Ref  string `json:"$ref"`
						Type any
					}
				}
			}
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	lists := 0
	for _, op := range Operations() {
		s := op.Spec()
		if s.Method != "GET" {
			continue
		}
		o := doc.Paths[s.Path]["get"]
		answer := o.Responses["200"].Content["application/json"].Schema
		if answer.Ref == "" && answer.Type != nil {
			t.Errorf("%q answers %v that is no object", s.Name, answer.Type)
		}
		page := strings.HasPrefix(answer.Ref, "#/components/schemas/Page")
		if page != (strings.HasSuffix(s.Name, " list") || s.Name == "machine history") {
			t.Errorf("%q answers %s", s.Name, answer.Ref)
		}
		if !page {
			continue
		}
		lists++
		var names []string
		for _, p := range o.Parameters {
			names = append(names, p.Name)
		}
		if !slices.Contains(names, "after") || !slices.Contains(names, "limit") {
			t.Errorf("%q cannot be asked for a page: %v", s.Name, names)
		}
	}
	if lists < 14 {
		t.Errorf("%d lists", lists)
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
