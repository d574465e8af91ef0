package trial

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"sprout"
)

// An Outcome is how it ended with a machine.
type Outcome string

const (
	Finished    Outcome = "finished"    // it came to the goal
	Retried     Outcome = "retried"     // something failed, named its cause, and was tried again with success
	Failed      Outcome = "failed"      // it ended with a named cause
	Lost        Outcome = "lost"        // neither: the defect that a trial looks for
	Interrupted Outcome = "interrupted" // the trial was stopped before
)

// A Result is the end of one machine.
type Result struct {
	Machine string        `json:"machine"`
	Site    string        `json:"site"`
	Outcome Outcome       `json:"outcome"`
	Retries int           `json:"retries,omitempty"`
	Faults  []string      `json:"faults,omitempty"` // that really happened to it, as its journal says
	Causes  []sprout.Code `json:"causes,omitempty"` // of the workflows that were retried
	Stage   string        `json:"stage,omitempty"`  // at which it ended early
	Code    sprout.Code   `json:"code,omitempty"`
	Reason  string        `json:"reason,omitempty"`
}

func (r *Result) fail(stage string, err error) {
	r.Outcome, r.Stage, r.Code, r.Reason = Failed, stage, causeOf(err), err.Error()
	if r.Code == "" {
		r.Outcome = Lost
	}
}

func (r *Result) lose(stage string, err error) {
	r.Outcome, r.Stage, r.Reason = Lost, stage, err.Error()
}

// A Progress is how far a trial is.
type Progress struct {
	Elapsed    time.Duration
	Machines   int
	Discovered int
	Ready      int
	Deployed   int
	Released   int
	Ended      int     // machines of which nothing more will come
	Failures   int     // workflows that failed, and machines that ended early
	PerMinute  float64 // machines that ended well, over the last half minute
}

// A Point is a moment of the completion plot.
type Point struct {
	Seconds    float64 `json:"seconds"`
	Discovered int     `json:"discovered"`
	Ready      int     `json:"ready"`
	Deployed   int     `json:"deployed"`
	Ended      int     `json:"ended"`
	Usage
}

// A Cause is why workflows failed.
type Cause struct {
	Code    sprout.Code `json:"code"`
	Step    string      `json:"step,omitempty"`
	Count   int         `json:"count"`
	Example string      `json:"example"`
}

// A stepKey names a step: who timed it, and what it is called.
type stepKey struct{ at, name string }

// A score counts what happens in a trial.
type score struct {
	machines int
	sql      *statements

	mu          sync.Mutex
	began       time.Time
	ended       time.Time
	interrupted bool
	at          map[Goal]int
	lastAt      map[Goal]time.Time
	outcomes    map[Outcome]int
	early       []Result // machines that did not come to the goal
	steps       map[stepKey][]float32
	causes      map[stepKey]*Cause
	faults      map[string]int
	bootRetries int
	homes       map[netip.Addr]string
	violations  []string
	points      []Point
	first       Usage // before the first machine
}

// earlyKept bounds the list of machines that did not come to the goal.
const earlyKept = 100

func newScore(c Config) *score {
	return &score{
		machines: c.Machines, sql: &statements{}, at: map[Goal]int{}, lastAt: map[Goal]time.Time{}, outcomes: map[Outcome]int{},
		steps: map[stepKey][]float32{}, causes: map[stepKey]*Cause{}, faults: map[string]int{}, homes: map[netip.Addr]string{},
	}
}

func (s *score) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = now
	s.sql.reset()
}

// start is when the trial began.
func (s *score) start() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began
}

func (s *score) finish(now time.Time, interrupted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.interrupted = now, interrupted
}

// reached counts a machine that has come to a goal.
func (s *score) reached(g Goal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[g]++
	s.lastAt[g] = time.Now()
}

func (s *score) end(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[r.Outcome]++
	if r.Stage != "" && len(s.early) < earlyKept {
		s.early = append(s.early, r)
	}
}

func (s *score) took(at, step string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := stepKey{at, step}
	s.steps[k] = append(s.steps[k], float32(d.Seconds()))
}

// failed counts the failure of a workflow, and tells whether it names its cause.
func (s *score) failed(f sprout.Failure) (named bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := stepKey{string(f.Code), f.Step}
	if s.causes[k] == nil {
		s.causes[k] = &Cause{Code: f.Code, Step: f.Step, Example: f.Reason}
	}
	s.causes[k].Count++
	return causeOf(&f) != ""
}

func (s *score) fault(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[name]++
}

// bootFailed counts a firmware that found nothing to boot and tried again.
func (s *score) bootFailed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bootRetries++
}

// violated notes what must never happen.
func (s *score) violated(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// address notes who has an address; two machines with one is a violation.
func (s *score) address(ip netip.Addr, machine string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, ok := s.homes[ip]; ok && other != machine {
		s.violations = append(s.violations, fmt.Sprintf("%s and %s both have the address %s", other, machine, ip))
	}
	s.homes[ip] = machine
}

// freed notes that a machine, which is off, does not use the address any more.
func (s *score) freed(ip netip.Addr, machine string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.homes[ip] == machine {
		delete(s.homes, ip)
	}
}

// sample adds a point: its time is when machines are counted, for to read what is used
// takes a while.
func (s *score) sample(u Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.points) == 0 {
		s.first = u
	}
	s.points = append(s.points, Point{
		Seconds: time.Since(s.began).Seconds(), Discovered: s.at[Discover], Ready: s.at[Commission], Deployed: s.at[Deploy], Ended: s.over(), Usage: u,
	})
}

// over counts machines of which nothing more will come. s.mu is held.
func (s *score) over() (n int) {
	for _, count := range s.outcomes {
		n += count
	}
	return n
}

// rateOver is the time over which the rate of the progress line is taken.
const rateOver = 30 * time.Second

func (s *score) progress(now time.Time) Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := Progress{
		Elapsed: now.Sub(s.began), Machines: s.machines, Discovered: s.at[Discover], Ready: s.at[Commission], Deployed: s.at[Deploy],
		Released: s.at[All], Ended: s.over(), Failures: s.outcomes[Failed] + s.outcomes[Lost],
	}
	for _, c := range s.causes {
		p.Failures += c.Count
	}
	from := Point{}
	for i := len(s.points) - 1; i >= 0; i-- {
		from = s.points[i]
		if now.Sub(s.began).Seconds()-from.Seconds >= rateOver.Seconds() {
			break
		}
	}
	if span := p.Elapsed.Seconds() - from.Seconds; span > 0 {
		p.PerMinute = 60 * float64(p.Ended-from.Ended) / span
	}
	return p
}
