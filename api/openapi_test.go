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
		if page != (strings.HasSuffix(s.Name, " list") || strings.HasSuffix(s.Name, " history") || strings.HasSuffix(s.Name, " fleet")) {
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

// Whatever a client sees or sends is told in words, and shown by an example.
func TestEverythingIsDescribed(t *testing.T) {
	raw, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	type schema struct {
		Ref         string `json:"$ref"`
		Description string
		Examples    []any
		Items       struct {
			Ref string `json:"$ref"`
		}
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Summary    string
			Parameters []struct{ Ref, Name, Description string }
			Responses  map[string]struct {
				Ref         string `json:"$ref"`
				Description string
			}
		}
		Components struct {
			Parameters, Headers map[string]struct {
				Description string
				Example     any
			}
			Schemas map[string]struct{ Properties map[string]schema }
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	fields := 0
	for name, s := range doc.Components.Schemas {
		for field, p := range s.Properties {
			fields++
			if p.Description == "" {
				t.Errorf("%s.%s is not described: give it the tag doc, or a row in words.go", name, field)
			}
			if p.Ref == "" && p.Items.Ref == "" && len(p.Examples) == 0 {
				t.Errorf("%s.%s has no example: give it the tag example, or a row in words.go", name, field)
			}
		}
	}
	for path, item := range doc.Paths {
		for method, o := range item {
			if o.Summary == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
			for _, p := range o.Parameters {
				if p.Name != "" && p.Description == "" {
					t.Errorf("%s %s: the parameter %s is not described", method, path, p.Name)
				}
			}
			for _, status := range []string{"403", "404", "422", "500", "503"} {
				if o.Responses[status].Ref == "" {
					t.Errorf("%s %s does not document %s", method, path, status)
				}
			}
		}
	}
	for name, p := range doc.Components.Parameters {
		if p.Description == "" || p.Example == nil {
			t.Errorf("the header %s has no words or no example", name)
		}
	}
	if fields < 500 || len(doc.Components.Headers) < 5 {
		t.Errorf("only %d fields and %d headers were looked at", fields, len(doc.Components.Headers))
	}
}
