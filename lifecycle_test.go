package sprout_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"sprout"
)

var update = flag.Bool("update", false, "rewrite generated files")

func TestNextFollowsTheTable(t *testing.T) {
	for _, m := range sprout.Lifecycle {
		if got, err := sprout.Next(m.From, m.On); err != nil || got != m.To {
			t.Errorf("Next(%s, %s) = %s, %v; want %s", m.From, m.On, got, err, m.To)
		}
	}
}

func TestNextRefusesWithTheLegalStates(t *testing.T) {
	_, err := sprout.Next(sprout.Deployed, sprout.Allocate)
	if sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "ready") {
		t.Fatalf("got %v; want a conflict that names ready", err)
	}
}

func TestNoStateIsATrap(t *testing.T) {
	for _, s := range sprout.States {
		left := s == sprout.Retired
		for _, m := range sprout.Lifecycle {
			left = left || m.From == s && m.To != s
		}
		if !left {
			t.Errorf("a machine that is %s can never be anything else", s)
		}
	}
}

func TestEveryProblemCodeIsExplained(t *testing.T) {
	seen := map[sprout.Code]bool{}
	for _, p := range sprout.Problems {
		if seen[p.Code] || p.Means == "" || p.Remedy == "" {
			t.Errorf("problem code %s: listed twice, or without meaning or remedy", p.Code)
		}
		seen[p.Code] = true
		_, remedy := sprout.Explain(p.Code, "m1", "wfl_1", "lon1")
		if strings.ContainsAny(remedy, "{}") {
			t.Errorf("remedy of %s is not filled in: %s", p.Code, remedy)
		}
	}
}

func TestLifecycleDocIsGenerated(t *testing.T) {
	const path = "docs/lifecycle.md"
	want := lifecycleDoc()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what lifecycle.go says: run make generate", path)
	}
}

func lifecycleDoc() string {
	var b strings.Builder
	b.WriteString("# Lifecycle of a machine\n\nGenerated from `lifecycle.go` by `make generate`; the store's guard reads the same rows.\n\n")
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, m := range sprout.Lifecycle {
		b.WriteString("    " + string(m.From) + " --> " + string(m.To) + ": " + string(m.On) + "\n")
	}
	b.WriteString("```\n\n| from | on | to |\n|---|---|---|\n")
	for _, m := range sprout.Lifecycle {
		b.WriteString("| " + string(m.From) + " | " + string(m.On) + " | " + string(m.To) + " |\n")
	}
	return b.String()
}
