package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

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

// A trial by the command line: its progress, its report in every form, and the
// files that it is kept in.
func TestSimReports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	var out, errs strings.Builder
	code := Main(t.Context(), []string{"sim", "--sites", "2", "--machines", "6", "--link", "5ms", "--report", dir, "--profile", filepath.Join(t.TempDir(), "cpu"), "-o", "json"}, strings.NewReader(""), &out, &errs)
	if code != 0 || !strings.Contains(errs.String(), "agents of 2 sites") || !strings.Contains(errs.String(), "The report is in "+dir) {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	var said, kept trial.Report
	read := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	if err := errors.Join(json.Unmarshal([]byte(out.String()), &said), json.Unmarshal(read("report.json"), &kept)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(said, kept) || kept.Reached.Deployed != 6 || kept.Setup.Link != "5ms,0%" {
		t.Errorf("report.json is of %+v, which reached %+v; printed was %+v", kept.Setup, kept.Reached, said.Setup)
	}
	c := kept.Cost
	if c.ServerCPU <= 0 || c.AgentsCPU <= 0 || c.MachinesCPU <= 0 || c.ServerCPU+c.AgentsCPU+c.MachinesCPU > 1.2*c.CPUSeconds+0.5 {
		t.Errorf("of %.2f s of processor time %.2f are the server's, %.2f the agents', %.2f the machines'", c.CPUSeconds, c.ServerCPU, c.AgentsCPU, c.MachinesCPU)
	}
	for name, words := range map[string][]string{
		"report.txt":  {kept.Summary(), "link 5ms", "agents at rest", "machines, the rest garbage", "per minute"},
		"report.html": {"<!doctype html>", kept.Summary(), "of it server and agents", "agents, once all is done", "of it server, agents, machines", "</html>"},
	} {
		text := string(read(name))
		for _, want := range words {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
}

// Whoever has no terminal is told every few seconds how far a trial is.
func TestSimTellsHowFarItIs(t *testing.T) {
	var lines, live strings.Builder
	tell, tellLive := tellTrial(&lines, false), tellTrial(&live, true)
	for s := 1; s <= 11; s++ {
		p := trial.Progress{Elapsed: time.Duration(s) * time.Second, Machines: 50, Discovered: 4 * s, Ready: 2 * s, Deployed: s, Failures: 1, PerMinute: 60}
		tell(p)
		tellLive(p)
	}
	want := "    5s  discovered 20, ready 10, deployed 5 of 50; failures 1; 60 machines/min\n" +
		"   10s  discovered 40, ready 20, deployed 10 of 50; failures 1; 60 machines/min\n"
	if lines.String() != want {
		t.Errorf("told was\n%s", lines.String())
	}
	if n := strings.Count(live.String(), "\r"); n != 11 || strings.Contains(live.String(), "\n") {
		t.Errorf("a terminal was told %d times: %q", n, live.String())
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
