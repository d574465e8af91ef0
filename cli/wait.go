package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sync/errgroup"

	"sprout"
	"sprout/api"
)

// progressEvery is how often progress is said where there is no terminal.
const progressEvery = 5 * time.Second

// wait shows the steps of workflows, side by side, until all have ended. It
// fails if one did not succeed. When ctx ends, the workflows run on.
func (e *env) wait(ctx context.Context, workflows []sprout.Workflow) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	w := newWatcher(e, workflows)
	ended := make([]sprout.Workflow, len(workflows))
	var running errgroup.Group
	for i, workflow := range workflows {
		running.Go(func() error {
			var err error
			ended[i], err = c.Follow(ctx, workflow.ID, w.see)
			w.over(workflow.ID)
			return err
		})
	}
	err = running.Wait()
	w.close()
	if errors.Is(err, context.Canceled) {
		return e.leftRunning(workflows)
	}
	if err != nil {
		return err
	}
	return e.conclude(ctx, ended)
}

func (e *env) leftRunning(workflows []sprout.Workflow) error {
	fmt.Fprintln(e.stderr)
	for _, w := range workflows {
		fmt.Fprintf(e.stderr, "%s of %s goes on; follow it: sprout workflow wait %s; stop it: sprout workflow cancel %s\n", w.Kind, w.MachineName, w.ID, w.ID)
	}
	return errShown
}

// conclude says how each workflow ended.
func (e *env) conclude(ctx context.Context, ended []sprout.Workflow) error {
	var failed error
	for _, w := range ended {
		if w.State == sprout.Succeeded {
			e.sayCondition(ctx, w)
			continue
		}
		failed = errShown
		fmt.Fprintf(e.stderr, "%s %s of %s %s\n", e.paint(e.stderr, red, "sprout:"), w.Kind, w.MachineName, w.State)
		if w.Error != nil {
			var lines []line
			for _, l := range failureLines(*w.Error) {
				lines = append(lines, line{"  " + l.Name, l.Value})
			}
			writeLines(e.stderr, lines)
		}
	}
	if !e.machineReadable() {
		return failed
	}
	var answer any = ended
	if len(ended) == 1 {
		answer = ended[0]
	}
	return errors.Join(e.answer(answer, nil), failed)
}

// sayCondition says what the machine is, now that its workflow succeeded.
func (e *env) sayCondition(ctx context.Context, w sprout.Workflow) {
	if e.machineReadable() {
		return
	}
	words := fmt.Sprintf("%s %s", w.Kind, w.State)
	if m, err := call(ctx, e, api.MachineShow, machineRef(string(w.Machine))); err == nil {
		words = "is " + string(m.State)
		if at := machineAddresses(m); at != "" {
			words += " at " + at
		}
	}
	fmt.Fprintf(e.stdout, "%s %s (%s)\n", e.paint(e.stdout, green, w.MachineName), words, took(w))
}

// A watcher prints what changes in workflows: a line for each step, and long
// work as bars on a terminal or as a line every few seconds.
type watcher struct {
	e        *env
	out      io.Writer
	progress *mpb.Progress // nil without a terminal

	mu   sync.Mutex
	seen map[sprout.WorkflowID]*watched
}

// watched is what was printed of one workflow.
type watched struct {
	steps map[string]string // step key → outcome
	waits map[string]bool   // step and what it waits for
	bar   *mpb.Bar
	step  string // of the bar
	said  time.Time
}

func newWatcher(e *env, workflows []sprout.Workflow) *watcher {
	w := &watcher{e: e, out: e.stdout, seen: map[sprout.WorkflowID]*watched{}}
	if e.machineReadable() {
		w.out = e.stderr
	}
	if isTerminal(w.out) {
		w.progress = mpb.New(mpb.WithOutput(w.out), mpb.WithWidth(40))
		w.out = w.progress // lines go above the bars
	}
	for _, workflow := range workflows {
		w.seen[workflow.ID] = &watched{steps: map[string]string{}, waits: map[string]bool{}}
	}
	return w
}

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
	if waits := waitsFor(now); waits != "" && !seen.waits[now.Step+waits] {
		seen.waits[now.Step+waits] = true
		w.say(now, now.Step, "waiting for "+waits)
	}
	w.sayProgress(now, seen)
}

// sayStep says how a step ended. That it began shows in what it waits for, and
// that there was nothing to undo in nothing.
func (w *watcher) sayStep(now sprout.Workflow, s sprout.StepRecord) {
	if s.Outcome == "running" || s.Outcome == "skipped" {
		return
	}
	words := s.Outcome
	if s.EndedAt != nil && s.Outcome != "running" {
		words += " in " + stepTook(s)
	}
	if s.Detail != "" {
		words += ": " + s.Detail
	}
	w.say(now, s.Name, words)
}

func (w *watcher) say(now sprout.Workflow, step, words string) {
	fmt.Fprintf(w.out, "%s  %-12s  %-18s  %s\n", time.Now().Format("15:04:05"), now.MachineName, step, words)
}

func (w *watcher) sayProgress(now sprout.Workflow, seen *watched) {
	p := now.Progress
	if p == nil || p.Total == 0 || now.State.Ended() {
		w.endBar(seen)
		return
	}
	if w.progress == nil {
		if time.Since(seen.said) >= progressEvery {
			seen.said = time.Now()
			w.say(now, now.Step, progressLine(p))
		}
		return
	}
	if seen.bar != nil && seen.step != now.Step {
		w.endBar(seen)
	}
	if seen.bar == nil {
		seen.bar, seen.step = w.addBar(now), now.Step
	}
	seen.bar.SetTotal(p.Total, false)
	seen.bar.SetCurrent(p.Done)
	seen.said = time.Now()
}

func (w *watcher) addBar(now sprout.Workflow) *mpb.Bar {
	name := fmt.Sprintf("%s %s ", now.MachineName, now.Step)
	return w.progress.AddBar(now.Progress.Total, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Name(name)),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageSpeed(decor.SizeB1000(0), "% .1f")))
}

func (w *watcher) endBar(seen *watched) {
	if seen.bar != nil {
		seen.bar.Abort(true)
		seen.bar = nil
	}
}

// over ends the bar of a workflow that is no longer followed.
func (w *watcher) over(id sprout.WorkflowID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endBar(w.seen[id])
}

// close prints what is left.
func (w *watcher) close() {
	if w.progress != nil {
		w.progress.Wait()
	}
}
