package docs_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/docs"
)

// Every problem code has a page that says what the table says, how it shows,
// where to look and what helps; and there is no page of a code that is not there.
func TestEveryProblemHasItsPage(t *testing.T) {
	for _, p := range sprout.Problems {
		page, err := docs.Problem(p.Code)
		if err != nil {
			t.Error(err)
			continue
		}
		_, remedy := sprout.Explain(p.Code, "MACHINE", "WORKFLOW", "SITE")
		at := 0
		for _, part := range []string{"# " + string(p.Code) + "\n\n" + p.Means + "\n", "## How it shows\n\n", "## Where to look\n\n- ", "## What helps\n\n    " + remedy + "\n"} {
			i := strings.Index(page[at:], part)
			if i < 0 {
				t.Errorf("the page of %s lacks, in its place: %s", p.Code, part)
				break
			}
			at += i
		}
	}
	files, err := os.ReadDir("problems")
	if err != nil || len(files) != len(sprout.Problems) {
		t.Errorf("%d pages for %d codes: %v", len(files), len(sprout.Problems), err)
	}
	if _, err := docs.Problem("../problems"); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("of no code: %v", err)
	}
}

func TestTheListNamesEveryPage(t *testing.T) {
	list, err := docs.Problems()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sprout.Problems {
		if !strings.Contains(list, "[`"+string(p.Code)+"`](problems/"+string(p.Code)+".md)") {
			t.Errorf("the list does not lead to the page of %s", p.Code)
		}
	}
}

// Every type of error has a page that says what the table says and what helps;
// and there is no page of a type that is not there.
func TestEveryErrorHasItsPage(t *testing.T) {
	list, err := docs.Errors()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range api.ErrorTypes() {
		page, err := docs.Error(e.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		head := fmt.Sprintf("# %s\n\n%s\n\nStatus %d, kind `%s`.\n\n## How it shows\n\n", e.Name, e.Means, e.Status, e.Kind)
		if shows, helps, ok := strings.Cut(strings.TrimPrefix(page, head), "\n\n## What helps\n\n- "); !strings.HasPrefix(page, head) || !ok || shows == "" || helps == "" {
			t.Errorf("the page of %s does not begin with %q, or lacks what helps", e.Name, head)
		}
		if !strings.Contains(list, "[`"+e.Name+"`](errors/"+e.Name+".md)") {
			t.Errorf("the list does not lead to the page of %s", e.Name)
		}
	}
	files, err := os.ReadDir("errors")
	if err != nil || len(files) != len(api.ErrorTypes()) {
		t.Errorf("%d pages for %d types: %v", len(files), len(api.ErrorTypes()), err)
	}
	if _, err := docs.Error("../problems"); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("of no type: %v", err)
	}
}
