package provider_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sprout"
	"sprout/power/ipmi"
	"sprout/power/redfish"
)

var update = flag.Bool("update", false, "rewrite generated files")

const quirksHead = `# Quirks of BMCs

Generated from the tables of the drivers by ` + "`make generate`" + `. What a BMC does otherwise than the standard is a row. It is known by what the BMC says
of itself, where a pattern is a regular expression in which case does not count, or by the words of a refusal, after which the request is made again.
`

// quirksDoc is the page of every driver's table.
func quirksDoc() string {
	var doc strings.Builder
	doc.WriteString(quirksHead)
	for _, driver := range []struct {
		title  string
		quirks []sprout.Quirk
	}{
		{"Redfish: every row that fits counts", redfish.Quirks()},
		{"IPMI: the first row that fits counts", ipmi.Quirks()},
	} {
		fmt.Fprintf(&doc, "\n## %s\n\n| Quirk | Known by | What is done otherwise | Why |\n|---|---|---|---|\n", driver.title)
		for _, q := range driver.quirks {
			cells := []string{"`" + q.Name + "`", q.Known, q.Does, q.Why}
			for i := range cells {
				cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
			}
			fmt.Fprintf(&doc, "| %s |\n", strings.Join(cells, " | "))
		}
	}
	return doc.String()
}

func TestQuirksDocIsGenerated(t *testing.T) {
	path := filepath.Join("..", "docs", "reference", "quirks.md")
	want := quirksDoc()
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
		t.Errorf("%s is not what the tables say: run make generate", path)
	}
}

// Every row says by what it is known, what it does and why, once.
func TestEveryQuirkIsExplained(t *testing.T) {
	for driver, quirks := range map[string][]sprout.Quirk{"redfish": redfish.Quirks(), "ipmi": ipmi.Quirks()} {
		seen := map[string]bool{}
		for _, q := range quirks {
			if q.Name == "" || q.Known == "" || q.Does == "" || q.Why == "" || seen[q.Name] {
				t.Errorf("%s: a row lacks something, or is there twice: %+v", driver, q)
			}
			seen[q.Name] = true
		}
	}
}
