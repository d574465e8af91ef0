package cli

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"sprout"
)

const (
	progressEvery = 5 * time.Second // how often progress is said where there is no terminal
	waitPatience  = 3 * time.Second // a wait that ends sooner is not said there
	refreshEvery  = 500 * time.Millisecond
)

// A watcher prints what changes in workflows: a line for each step that ended.
// On a terminal what each does now stands below, and moves; elsewhere it is
// said as a line once it takes long.
type watcher struct {
	e     *env
	out   io.Writer
	live  *mpb.Progress // nil without a terminal
	names int           // width of the column of names

	mu   sync.Mutex
	seen map[sprout.WorkflowID]*watched
}

// watched is what was printed of one workflow, and what it does now.
type watched struct {
	now   atomic.Pointer[sprout.Workflow] // read by the terminal's goroutine without the lock
	steps map[string]string               // step key → outcome
	doing string                          // step and what it waits for
	since time.Time                       // of doing
	told  bool                            // doing was said
	said  time.Time                       // progress was said
	bar   *mpb.Bar
}

func newWatcher(e *env, workflows []sprout.Workflow) *watcher {
	w := &watcher{e: e, out: e.stdout, seen: map[sprout.WorkflowID]*watched{}}
	if e.machineReadable() {
		w.out = e.stderr
	}
	if isTerminal(w.out) {
		w.live = mpb.New(mpb.WithOutput(w.out), mpb.WithRefreshRate(refreshEvery))
		w.out = w.live // lines go above what moves
	}
	for _, workflow := range workflows {
		w.names = max(w.names, runewidth.StringWidth(workflow.MachineName))
		seen := &watched{steps: map[string]string{}}
		seen.now.Store(&workflow)
		if w.live != nil {
			seen.bar = w.live.MustAdd(0, w.filler(seen), mpb.BarFillerTrim())
		}
		w.seen[workflow.ID] = seen
	}
	return w
}

// filler draws what a workflow does now, as wide as the terminal allows.
func (w *watcher) filler(seen *watched) mpb.BarFiller {
	return mpb.BarFillerFunc(func(out io.Writer, room decor.Statistics) error {
		now := seen.now.Load()
		text := fmt.Sprintf("%-*s  %-18s  %s", w.names, now.MachineName, now.Step, liveWords(*now))
		_, err := io.WriteString(out, runewidth.Truncate(text, max(room.AvailableWidth-1, 1), "…"))
		return err
	})
}

// liveWords says what a workflow does now: its progress, or what it waits for
// and how long it may.
func liveWords(now sprout.Workflow) string {
	if words := progressWords(now.Progress); words != "" {
		return words
	}
	if now.Wait == nil || now.Wait.For == "" {
		return string(now.State)
	}
	words := "waiting " + duration(time.Since(now.Wait.Since))
	if now.Wait.Until.After(now.Wait.Since) {
		words += " of " + duration(now.Wait.Until.Sub(now.Wait.Since))
	}
	return words + " for " + now.Wait.For
}

// start begins to say what takes long; the returned function ends it and prints
// what is left.
func (w *watcher) start() (stop func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(refreshEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.sayLong()
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-ended
		if w.live != nil {
			w.live.Wait()
		}
	}
}

// see takes a new version of a workflow.
func (w *watcher) see(now sprout.Workflow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen[now.ID]
	for _, s := range now.Steps {
		key := fmt.Sprintf("%s %s %d %d", s.At, s.Name, s.Attempt, s.StartedAt.UnixNano())
		if seen.steps[key] != s.Outcome {
			seen.steps[key] = s.Outcome
			w.sayStep(now, s)
		}
	}
	if doing := now.Step + waitsFor(now); doing != seen.doing {
		seen.doing, seen.since, seen.told = doing, time.Now(), false
	}
	seen.now.Store(&now)
}

// sayStep says how a step ended. That it began shows in what it waits for, and
// that there was nothing to undo in nothing.
func (w *watcher) sayStep(now sprout.Workflow, s sprout.StepRecord) {
	if s.Outcome == "running" || s.Outcome == "skipped" {
		return
	}
	at, words := time.Now(), s.Outcome
	if s.Outcome == "failed" {
		words = w.e.paint(w.e.stdout, red, words)
	}
	if s.EndedAt != nil {
		at = *s.EndedAt
		words += " in " + stepTook(s)
	}
	if s.Detail != "" {
		words += ": " + s.Detail
	}
	w.say(at, now, s.Name, words)
}

// sayLong says progress and long waits where there is no terminal.
func (w *watcher) sayLong() {
	if w.live != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seen := range w.seen {
		now := *seen.now.Load()
		if now.State.Ended() {
			continue
		}
		if words := progressLine(now.Progress); words != "" {
			if time.Since(seen.said) >= progressEvery {
				seen.said = time.Now()
				w.say(seen.said, now, now.Step, words)
			}
			continue
		}
		if what := waitsFor(now); what != "" && !seen.told && time.Since(seen.since) >= waitPatience {
			seen.told = true
			w.say(time.Now(), now, now.Step, "waiting for "+what+until(now.Wait.Until))
		}
	}
}

func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", until " + t.Local().Format("15:04:05")
}

func (w *watcher) say(at time.Time, now sprout.Workflow, step, words string) {
	fmt.Fprintf(w.out, "%s  %-*s  %-18s  %s\n", at.Local().Format("15:04:05"), w.names, now.MachineName, step, words)
}

// over takes away what moves of a workflow that is no longer followed.
func (w *watcher) over(id sprout.WorkflowID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bar := w.seen[id].bar; bar != nil {
		bar.Abort(true)
	}
}
