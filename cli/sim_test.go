package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sprout/sim/trial"
)

// The faults file of the how-to is one that works.
func TestSimulateDocFaults(t *testing.T) {
	doc, err := os.ReadFile("../docs/how-to/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("the how-to has no faults file")
	}
	var faults []trial.Fault
	if err := decodeStrict([]byte(text), "faults.yaml", &faults); err != nil {
		t.Fatal(err)
	}
	if err := (trial.Config{Sites: 1, Machines: 1, Goal: trial.Deploy, Concurrency: 1, Faults: faults}).Check(); err != nil || len(faults) != 4 {
		t.Errorf("%d faults: %v", len(faults), err)
	}
	for _, name := range trial.FaultNames() {
		if name, _, _ := strings.Cut(name, " "); !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("the how-to does not tell of the fault %s", name)
		}
	}
}

// What cannot be tried is refused before anything starts.
func TestSimRefuses(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "faults.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args  []string
		words string
	}{
		{[]string{"--faults", file("- {fault: wrong-cable, probability: 1}")}, "it knows power-loss, hung-kernel, ramdisk-killed"},
		{[]string{"--faults", file("- {fault: corrupt, likelihood: 1}")}, "likelihood"},
		{[]string{"--faults", "/does/not/exist"}, "--faults"},
		{[]string{"--link", "slow"}, "--link"},
		{[]string{"--limit", "boot-ramdisk=5s"}, "a minute or more"},
		{[]string{"--workflow", "dance"}, "discover commission deploy all"},
		{[]string{"--machines", "0"}, "--machines"},
	} {
		var out, errs strings.Builder
		code := Main(t.Context(), append([]string{"sim"}, c.args...), strings.NewReader(""), &out, &errs)
		if code != 2 || !strings.Contains(errs.String(), c.words) {
			t.Errorf("sim %v: exit code %d, %s", c.args, code, errs.String())
		}
	}
}
