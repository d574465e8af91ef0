package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sprout"
	"sprout/api/apitest"
	"sprout/wan"
)

// A small trial with a fault that must show: every number of the report is held
// against what is known of the run.
func TestTrial(t *testing.T) {
	t.Parallel()
	const machines, sites = 20, 2
	heap := t.TempDir()
	r, err := Run(t.Context(), Config{
		Edge:  apitest.Edge(t),
		Sites: sites, Machines: machines, Goal: Deploy, Seed: 1, Heap: heap,
		Faults: []Fault{{Fault: "dead-disk", Probability: 0.2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Interrupted {
		t.Fatalf("%s\nviolations %v\nearly %+v", r.Summary(), r.Violations, r.Early)
	}
	dead := r.Faults["dead-disk"]
	if dead == 0 || dead == machines {
		t.Fatalf("%d of %d machines got the fault: the dice are loaded", dead, machines)
	}
	well := machines - dead
	if r.Outcomes[Finished] != well || r.Outcomes[Failed] != dead || r.Outcomes[Retried] != 0 {
		t.Errorf("outcomes %v with %d faults", r.Outcomes, dead)
	}
	if len(r.Causes) != 1 || r.Causes[0].Code != sprout.DiskFailed || r.Causes[0].Count != dead*(1+retries) {
		t.Errorf("causes %+v, want %d times %d of %s", r.Causes, dead, 1+retries, sprout.DiskFailed)
	}
	if r.Reached != (Reached{Discovered: machines, Ready: machines, Deployed: well}) {
		t.Errorf("reached %+v", r.Reached)
	}
	steps := map[string]Step{}
	for _, s := range r.Steps {
		steps[s.At+" "+s.Name] = s
		if !(0 <= s.P50 && s.P50 <= s.P95 && s.P95 <= s.P99 && s.P99 <= s.Max && s.Max <= r.Seconds) {
			t.Errorf("step %+v in %.1f s", s, r.Seconds)
		}
	}
	for name, count := range map[string]int{
		"whole discover": machines, "whole commission": machines, "whole deploy": well, "machine write": well + dead*(1+retries),
		"machine home": well, "site deploy write-image": well, "site commission inspect": machines, "centre deploy reserve-address": well,
	} {
		if steps[name].Count != count {
			t.Errorf("step %s was timed %d times, want %d", name, steps[name].Count, count)
		}
	}
	// Each site fetched the image once; each machine needs some statements.
	if all := r.Cost.APIPerMachine * machines; all < sites*imageBytes || all > sites*imageBytes*1.2 {
		t.Errorf("%.0f bytes between agents and API for %d images of %d", all, sites, imageBytes)
	}
	if c := r.Cost; c.SQLPerMachine < 50 || c.TxPerMachine < 5 || c.BusPerMachine < 1000 || c.CPUPerMachine <= 0 || c.PeakMemoryMB <= 0 || c.PeakPostgresMB <= 0 {
		t.Errorf("cost %+v", c)
	}
	if c := r.Cost; c.PeakLiveMB <= 0 || c.PeakLiveMB >= c.PeakMemoryMB || c.GCSeconds <= 0 || c.GCSeconds >= c.CPUSeconds {
		t.Errorf("memory %+v", c) // what of it is the agents' is told where no other trial runs beside
	}
	checkRates(t, r)
	if profile, err := os.Stat(filepath.Join(heap, "deploy.heap")); err != nil || profile.Size() == 0 {
		t.Errorf("no profile of the heap was kept: %v", err)
	}
	if last := r.Timeline[len(r.Timeline)-1]; last.Deployed != well || last.Ended != machines {
		t.Errorf("the timeline ends with %+v", last)
	}
	checkPages(t, r)
}

// checkRates holds machines a minute against the timeline: the last came to a goal
// between two of its points.
func checkRates(t *testing.T, r Report) {
	t.Helper()
	for _, c := range []struct {
		name  string
		rate  float64
		count int
		at    func(Point) int
	}{
		{"discovered", r.PerMinute.Discovered, r.Reached.Discovered, func(p Point) int { return p.Discovered }},
		{"ready", r.PerMinute.Ready, r.Reached.Ready, func(p Point) int { return p.Ready }},
		{"deployed", r.PerMinute.Deployed, r.Reached.Deployed, func(p Point) int { return p.Deployed }},
	} {
		before := 0.0
		for _, p := range r.Timeline {
			if c.at(p) < c.count {
				before = p.Seconds
				continue
			}
			if took := 60 * float64(c.count) / c.rate; c.rate <= 0 || took < before || took > p.Seconds {
				t.Errorf("%d %s at %.1f a minute took %.1f s; the last came between %.1f and %.1f s", c.count, c.name, c.rate, took, before, p.Seconds)
			}
			break
		}
	}
}

// checkPages holds the report's three forms against each other.
func checkPages(t *testing.T, r Report) {
	t.Helper()
	var text, page bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{r.Summary(), "reserve-address", string(sprout.DiskFailed)} {
		if !strings.Contains(text.String(), want) || !strings.Contains(page.String(), want) {
			t.Errorf("a report lacks %q", want)
		}
	}
	if n := strings.Count(page.String(), "<svg"); n != 4 {
		t.Errorf("the page has %d plots, want 4", n)
	}
	for _, asks := range []string{"src=", "href=", "url(", "<script", "<link", "@import", "NaN"} {
		if strings.Contains(page.String(), asks) {
			t.Errorf("the page contains %q", asks)
		}
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(raw, &again); err != nil || again.Summary() != r.Summary() || len(again.Timeline) != len(r.Timeline) {
		t.Errorf("report.json does not say the same: %v", err)
	}
}

// Stopped in the middle, a trial reports what was, and leaves nothing running.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, err := Run(ctx, Config{Edge: apitest.Edge(t), Sites: 1, Machines: 10, Goal: All, Seed: 1, Concurrency: 2, Progress: func(p Progress) {
		if p.Discovered > 0 {
			stop()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.OK() || r.Reached.Discovered == 0 || r.Outcomes[Lost] != 0 || r.Outcomes[Interrupted] == 0 {
		t.Errorf("interrupted %t, reached %+v, outcomes %v", r.Interrupted, r.Reached, r.Outcomes)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "Stopped before the end") {
		t.Errorf("the report does not say that it was stopped: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		field  string
		words  string
		config Config
	}{
		{"--machines", "at least 1", Config{}},
		{"--sites", "from 1 to", Config{Machines: 1, Sites: 1000}},
		{"--workflow", "is not one of", Config{Machines: 1, Goal: "dance"}},
		{"--concurrency", "from 1 to", Config{Machines: 5000, Concurrency: 5000}},
		{"fault", "it knows power-loss, hung-kernel,", Config{Machines: 1, Faults: []Fault{{Fault: "wrong-cable", Probability: 1}}}},
		{"probability", "above 0", Config{Machines: 1, Faults: []Fault{{Fault: "corrupt"}}}},
		{"fault", "happens at one of the steps", Config{Machines: 1, Faults: []Fault{{Fault: "corrupt", Probability: 1, Step: "dhcp"}}}},
		{"step", "does not happen at a step", Config{Machines: 1, Faults: []Fault{{Fault: "bmc-503", Probability: 1, Step: "dhcp"}}}},
		{"at", "like 30s", Config{Machines: 1, Faults: []Fault{{Fault: "corrupt", Probability: 1, At: "soon"}}}},
		{"for", "not for a time", Config{Machines: 1, Faults: []Fault{{Fault: "corrupt", Probability: 1, At: "3s", For: "1s"}}}},
		{"during", "from a time on", Config{Machines: 1, Faults: []Fault{{Fault: "corrupt", Probability: 1, At: "3s", During: Deploy}}}},
		{"at", "like 30s", Config{Machines: 1, Faults: []Fault{{Fault: "wan-cut"}}}},
		{"fault", "at, for and site", Config{Machines: 1, Faults: []Fault{{Fault: "wan-cut", At: "1s", Probability: 0.5}}}},
		{"--link", "from 0 to 50", Config{Machines: 1, Link: wan.Weather{Loss: 0.9}}},
	} {
		_, err := Run(t.Context(), c.config)
		if err == nil || sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: %v, want Invalid with %q", c.config, err, c.words)
		}
		if field := fieldOf(err); field != c.field {
			t.Errorf("%+v: field %q, want %q", c.config, field, c.field)
		}
	}
}

func TestPercentile(t *testing.T) {
	var values []float32
	for i := range 100 {
		values = append(values, float32(i+1))
	}
	for p, want := range map[int]float64{50: 50, 95: 95, 99: 99, 100: 100} {
		if got := percentile(values, p); got != want {
			t.Errorf("p%d of 1 to 100 is %g", p, got)
		}
	}
	if got := percentile([]float32{7}, 50); got != 7 {
		t.Errorf("p50 of one value is %g", got)
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("p50 of nothing is %g", got)
	}
}

func fieldOf(err error) string {
	var known *sprout.Error
	if errors.As(err, &known) {
		return known.Field
	}
	return ""
}
