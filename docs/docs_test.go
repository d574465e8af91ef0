package docs_test

import (
	"os"
	"strings"
	"testing"

	"sprout"
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
