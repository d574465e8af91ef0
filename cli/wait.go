package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"sprout"
	"sprout/api"
)

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
	stop := w.start()
	for i, workflow := range workflows {
		running.Go(func() error {
			var err error
			ended[i], err = c.Follow(ctx, workflow.ID, w.see)
			w.over(workflow.ID)
			return err
		})
	}
	err = running.Wait()
	stop()
	if errors.Is(err, context.Canceled) {
		return e.leftRunning(workflows)
	}
	if err != nil {
		return err
	}
	return e.conclude(ctx, ended)
}

func (e *env) leftRunning(workflows []sprout.Workflow) error {
	var ids, names []string
	for _, w := range workflows {
		ids, names = append(ids, string(w.ID)), append(names, w.Kind+" of "+w.MachineName)
	}
	fmt.Fprintf(e.stderr, "\nWe stopped looking; the work goes on: %s\n", strings.Join(names, ", "))
	writeLines(e.stderr, []line{{"  follow it", "sprout workflow wait " + strings.Join(ids, " ")}, {"  undo it", "sprout workflow cancel " + strings.Join(ids, " ")}})
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
			writeLines(e.stderr, indent(failureLines(*w.Error)))
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
