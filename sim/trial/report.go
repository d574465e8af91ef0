package trial

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"time"

	"sprout"
)

// A Report is what a trial has shown. Its JSON is report.json.
type Report struct {
	Version     string          `json:"version"`
	Began       time.Time       `json:"began"`
	Seconds     float64         `json:"seconds"`
	Interrupted bool            `json:"interrupted"` // it was stopped before its end
	Setup       Setup           `json:"setup"`
	Reached     Reached         `json:"reached"`
	PerMinute   Rates           `json:"perMinute"`
	Outcomes    map[Outcome]int `json:"outcomes"`
	Early       []Result        `json:"early"` // machines that did not come to the goal, the first 100
	Causes      []Cause         `json:"causes"`
	Violations  []string        `json:"violations"` // what must never happen
	Faults      map[string]int  `json:"faults"`     // how often each was injected
	BootRetries int             `json:"bootRetries"`
	LinkTorn    int64           `json:"linkTorn"` // connections that the link's loss, or a cut, has dropped
	Steps       []Step          `json:"steps"`
	Cost        Cost            `json:"cost"`
	Statements  []Statement     `json:"statements"` // those waited for most first
	Timeline    []Point         `json:"timeline"`
}

// A Setup is what was tried.
type Setup struct {
	Sites       int     `json:"sites"`
	Machines    int     `json:"machines"`
	Workflow    Goal    `json:"workflow"`
	Link        string  `json:"link"`
	Faults      []Fault `json:"faults"`
	Seed        uint64  `json:"seed"`
	Concurrency int     `json:"concurrency"`
	ImageBytes  int     `json:"imageBytes"`
	Processors  int     `json:"processors"`
	Go          string  `json:"go"`
}

// Reached counts the machines that came to each goal.
type Reached struct {
	Discovered int `json:"discovered"`
	Ready      int `json:"ready"`
	Deployed   int `json:"deployed"`
	Released   int `json:"released"`
}

// Rates are machines a minute, from the start to the last that came there.
type Rates struct {
	Discovered float64 `json:"discovered"`
	Ready      float64 `json:"ready"`
	Deployed   float64 `json:"deployed"`
}

// A Step is how long one step took, in seconds.
type Step struct {
	At    string  `json:"at"` // who timed it: machine, site, centre; whole: a workflow from its request to its end
	Name  string  `json:"name"`
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// A Cost is what the trial used, in all and for each machine that was started.
type Cost struct {
	PeakMemoryMB     float64 `json:"peakMemoryMb"`
	PeakPostgresMB   float64 `json:"peakPostgresMb"`
	PeakLiveMB       float64 `json:"peakLiveMb"`         // what lived on the heap of server, agents and machines when garbage was collected
	PeakStacksMB     float64 `json:"peakStacksMb"`       // of goroutines
	GCSeconds        float64 `json:"gcSeconds"`          // of cpuSeconds, the collection of garbage
	CPUSeconds       float64 `json:"cpuSeconds"`         // server, agents and simulated machines
	ServerCPU        float64 `json:"serverCpuSeconds"`   // of cpuSeconds, the control plane with its bus; sampled
	AgentsCPU        float64 `json:"agentsCpuSeconds"`   // the agents
	MachinesCPU      float64 `json:"machinesCpuSeconds"` // the simulated machines, and the requests of who manages them
	PostgresSeconds  float64 `json:"postgresCpuSeconds"`
	CPUPerMachine    float64 `json:"cpuSecondsPerMachine"` // with PostgreSQL's
	SQLPerMachine    float64 `json:"sqlPerMachine"`        // statements, begin and commit included
	TxPerMachine     float64 `json:"transactionsPerMachine"`
	BusPerMachine    float64 `json:"busBytesPerMachine"` // both ways, on the WAN
	APIPerMachine    float64 `json:"apiBytesPerMachine"` // images and enrolment, on the WAN
	MemoryPerMachine float64 `json:"memoryKbPerMachine"` // growth of the process, simulated machines included
	MachinesMB       float64 `json:"machinesMemoryMb"`   // of the simulated machines: what the process gave back when they were gone
	AgentsMB         float64 `json:"agentsMemoryMb"`     // of the agents, likewise
	AgentPerMachine  float64 `json:"agentKbPerMachine"`  // of it, for each machine
	ProductMB        float64 `json:"productMemoryMb"`    // server and agents at the peak: all but the simulated machines
}

// OK tells whether every machine either came to the goal or ended with a named
// cause, and nothing happened that never must. An interrupted trial is not OK.
func (r Report) OK() bool {
	return r.Outcomes[Lost] == 0 && len(r.Violations) == 0 && !r.Interrupted
}

// topStatements is how many statements a report shows to people; its JSON has all.
const topStatements = 15

// Most are the statements that people are shown.
func (r Report) Most() []Statement { return r.Statements[:min(topStatements, len(r.Statements))] }

func (t *trial) report(parts map[string]float64) Report {
	s := t.score
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{
		Version: sprout.Version, Began: s.began.UTC(), Seconds: s.ended.Sub(s.began).Seconds(), Interrupted: s.interrupted,
		Setup: Setup{
			Sites: t.Sites, Machines: t.Machines, Workflow: t.Goal, Link: t.Link.String(), Faults: t.Faults, Seed: t.Seed,
			Concurrency: t.Concurrency, ImageBytes: imageBytes, Processors: runtime.NumCPU(), Go: runtime.Version(),
		},
		Reached:   Reached{Discovered: s.at[Discover], Ready: s.at[Commission], Deployed: s.at[Deploy], Released: s.at[All]},
		PerMinute: Rates{Discovered: s.rate(Discover), Ready: s.rate(Commission), Deployed: s.rate(Deploy)},
		Outcomes:  s.outcomes, Early: s.early, Violations: s.violations, Faults: s.faults, BootRetries: s.bootRetries,
		LinkTorn: t.ground.line("").Torn(), Steps: stepsOf(s.steps), Timeline: s.points,
	}
	for _, c := range s.causes {
		r.Causes = append(r.Causes, *c)
	}
	slices.SortFunc(r.Causes, func(a, b Cause) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Code, b.Code), cmp.Compare(a.Step, b.Step))
	})
	r.Cost, r.Statements = t.cost()
	r.Cost.ServerCPU, r.Cost.AgentsCPU, r.Cost.MachinesCPU = parts["server"], parts["agents"], parts["machines"]
	return r
}

// rate is machines a minute that came to a goal. s.mu is held.
func (s *score) rate(g Goal) float64 {
	took := s.lastAt[g].Sub(s.began).Minutes()
	if s.at[g] == 0 || took <= 0 {
		return 0
	}
	return float64(s.at[g]) / took
}

// cost adds up what was used since the first machine. The score's mu is held.
func (t *trial) cost() (Cost, []Statement) {
	s := t.score
	sql, transactions, top := s.sql.counts()
	var c Cost
	for _, p := range s.points {
		c.PeakMemoryMB = max(c.PeakMemoryMB, p.MemoryMB)
		c.PeakLiveMB, c.PeakStacksMB = max(c.PeakLiveMB, p.LiveMB), max(c.PeakStacksMB, p.StacksMB)
		c.PeakPostgresMB = max(c.PeakPostgresMB, p.PostgresMB)
	}
	last := s.points[len(s.points)-1]
	c.CPUSeconds, c.PostgresSeconds = last.CPUSeconds-s.first.CPUSeconds, last.PostgresCPU-s.first.PostgresCPU
	c.GCSeconds = last.GCSeconds - s.first.GCSeconds
	n := float64(max(s.at[Discover], 1))
	c.CPUPerMachine = (c.CPUSeconds + c.PostgresSeconds) / n
	c.SQLPerMachine, c.TxPerMachine = float64(sql)/n, float64(transactions)/n
	api, bus := t.ground.carried()
	c.BusPerMachine, c.APIPerMachine = float64(bus)/n, float64(api)/n
	c.MemoryPerMachine = 1024 * (c.PeakMemoryMB - s.first.MemoryMB) / n
	return c, top
}

// order of the parts in the table of steps.
var partOrder = []string{"whole", "machine", "site", "centre"}

func stepsOf(all map[stepKey][]float32) []Step {
	var steps []Step
	for k, took := range all {
		slices.Sort(took)
		steps = append(steps, Step{
			At: k.at, Name: k.name, Count: len(took), P50: percentile(took, 50), P95: percentile(took, 95), P99: percentile(took, 99), Max: percentile(took, 100),
		})
	}
	slices.SortFunc(steps, func(a, b Step) int {
		return cmp.Or(slices.Index(partOrder, a.At)-slices.Index(partOrder, b.At), cmp.Compare(a.Name, b.Name))
	})
	return steps
}

// percentile returns the smallest value that p percent of sorted do not exceed
// (nearest rank).
func percentile(sorted []float32, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return float64(sorted[max(rank, 1)-1])
}

// Summary says in one line how it went.
func (r Report) Summary() string {
	return fmt.Sprintf("%d machines: %d finished, %d retried, %d failed with a named cause, %d lost", r.Setup.Machines,
		r.Outcomes[Finished], r.Outcomes[Retried], r.Outcomes[Failed], r.Outcomes[Lost])
}
