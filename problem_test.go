package sprout_test

import (
	"os"
	"strings"
	"testing"

	"sprout"
)

func TestProblemsDocIsGenerated(t *testing.T) {
	const path = "docs/problems.md"
	want := problemsDoc()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { // a document that everyone may read
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what problem.go says: run make generate", path)
	}
}

func problemsDoc() string {
	var b strings.Builder
	b.WriteString("# Problems\n\nGenerated from `problem.go` by `make generate`. `sprout problem list` shows what is wrong now, `sprout workflow show` the failure\n" +
		"of one run, `--all` also what is over. A code keeps its meaning for ever: alerts may name it.\n\n" +
		"Each code has a page, which every server also has at `/docs/problems/CODE`; `sprout problem explain CODE` prints it.\n\n" +
		"In a remedy MACHINE, WORKFLOW and SITE stand for the names that Sprout fills in.\n\n" +
		"| code | severity | what it means | what helps |\n|---|---|---|---|\n")
	for _, p := range sprout.Problems {
		_, remedy := sprout.Explain(p.Code, "MACHINE", "WORKFLOW", "SITE")
		b.WriteString("| [`" + string(p.Code) + "`](problems/" + string(p.Code) + ".md) | " + string(p.Severity) + " | " + p.Means + " | " + remedy + " |\n")
	}
	return b.String()
}
