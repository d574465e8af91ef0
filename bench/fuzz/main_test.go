package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whoever writes a target need not tell anybody: it is run. What one finds ends the
// run, with the command by which it is seen again.
func TestTargetsAreFoundAndRun(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module example\n\ngo 1.26\n",
		"a_test.go": "package a\n\nimport \"testing\"\n\nfunc FuzzGood(f *testing.F) { f.Add([]byte{1}); f.Fuzz(func(t *testing.T, b []byte) {}) }\n\nfunc Fuzzy(a, b int) {}\n",
		"b/b_test.go": "package b_test\n\nimport \"testing\"\n\nfunc FuzzBad(f *testing.F) {\n\tf.Add([]byte(\"x\"))\n" +
			"\tf.Fuzz(func(t *testing.T, b []byte) {\n\t\tif len(b) > 2 {\n\t\t\tpanic(\"too long\")\n\t\t}\n\t})\n}\n",
		"c/c_test.go": "package c\n\nimport \"testing\"\n\nfunc FuzzLater(f *testing.F) { f.Fuzz(func(t *testing.T, b []byte) {}) }\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOFLAGS", "-mod=mod")
	var out bytes.Buffer
	err := run(t.Context(), dir, time.Second, "", &out)
	if err == nil || !strings.Contains(err.Error(), "too long") || !strings.Contains(err.Error(), "to see it again: go test -run='FuzzBad/") {
		t.Errorf("what was found is told as %v", err)
	}
	if got := out.String(); !strings.Contains(got, "FUZZ example.FuzzGood ") || !strings.Contains(got, "FUZZ example/b.FuzzBad ") || strings.Contains(got, "FuzzLater") {
		t.Errorf("printed:\n%s", got)
	}
	out.Reset()
	if err := run(t.Context(), dir, time.Second, "FuzzGood|FuzzLater", &out); err != nil || !strings.Contains(out.String(), "FUZZ targets=2 ") {
		t.Errorf("%v, and printed:\n%s", err, out.String())
	}
	if err := run(t.Context(), dir, time.Second, "FuzzNone", &out); err == nil {
		t.Error("nothing was run, and that is fine")
	}
}

// What reads what others send has a target.
func TestParsersHaveTargets(t *testing.T) {
	all, err := targets(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []target{
		{"sprout/dhcp/builtin", "FuzzParse"}, {"sprout/dhcp/builtin", "FuzzDecide"},
		{"sprout/dhcp/builtin6", "FuzzParse"}, {"sprout/dhcp/builtin6", "FuzzDecide"},
		{"sprout/dhcp/rogue", "FuzzServerOf"}, {"sprout/dhcp/kea", "FuzzSight"},
		{"sprout/dns/builtin", "FuzzAnswer"}, {"sprout/dns/builtin", "FuzzExchange"}, {"sprout/dns/builtin", "FuzzTCP"},
		{"sprout/dns/zone", "FuzzSigned"}, {"sprout/boot/tftp", "FuzzRequest"}, {"sprout/boot", "FuzzHandler"},
		{"sprout/ipam/probe", "FuzzRead"}, {"sprout/agent", "FuzzWeb"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%s has no %s", want.pkg, want.name)
		}
	}
}
