package api

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sprout"
)

func TestErrorsDocIsGenerated(t *testing.T) {
	const path = "../docs/errors.md"
	var b strings.Builder
	b.WriteString("# Errors\n\nGenerated from `api/refusal.go` by `make generate`: what the API answers with where it is no success. `type` in the problem\n" +
		"document of such an answer is `/docs/errors/NAME`, a page that every server has. A name keeps its meaning for ever: clients may compare it.\n\n" +
		"| name | status | kind | what it means |\n|---|---|---|---|\n")
	for _, e := range ErrorTypes() {
		fmt.Fprintf(&b, "| [`%s`](errors/%s.md) | %d | %s | %s |\n", e.Name, e.Name, e.Status, e.Kind, e.Means)
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil { // a document that everyone may read
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != b.String() {
		t.Errorf("%s is not what refusal.go says: run make generate (%v)", path, err)
	}
}

// Every kind of error leads to a type of its own, and every fault to one that
// exists, also with a status that has no page.
func TestEveryFaultHasAType(t *testing.T) {
	named := map[string]int{}
	for _, e := range ErrorTypes() {
		if other, twice := named[e.URI()]; twice || KindOfStatus(e.Status) != e.Kind {
			t.Errorf("%s is of %d and of %d, kind %s", e.URI(), e.Status, other, KindOfStatus(e.Status))
		}
		named[e.URI()] = e.Status
	}
	for _, row := range sprout.ErrorKinds {
		f := FaultOf(t.Context(), sprout.Errorf(row.Kind, "x"))
		if want := "/docs/errors/" + string(row.Kind); f.Type != want || named[want] != f.Status {
			t.Errorf("%s is of the type %s, status %d", row.Kind, f.Type, f.Status)
		}
	}
	for status := 400; status < 600; status++ {
		if f := NewFault(t.Context(), status, KindOfStatus(status), "x"); named[f.Type] == 0 {
			t.Errorf("%d is of the type %q, which is none", status, f.Type)
		}
	}
}
