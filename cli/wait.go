package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"sprout"
	"sprout/api"
)

// wait shows workflows until all have ended, and fails if one did not succeed.
func (e *env) wait(ctx context.Context, workflows []sprout.Workflow) error {
	ended, err := e.watchAll(ctx, workflows)
	if err != nil {
		return err
	}
	failed := e.conclude(ctx, ended)
	if !e.machineReadable() {
		return failed
	}
	var answer any = ended
	if len(ended) == 1 {
		answer = ended[0]
	}
	return errors.Join(e.answer(answer, nil), failed)
}

// watchAll shows workflows until all have ended, and returns them as they then
// are: their steps side by side, or of many only the sum. When ctx ends, the
// workflows run on.
func (e *env) watchAll(ctx context.Context, workflows []sprout.Workflow) ([]sprout.Workflow, error) {
	follow := e.followEach
	if len(workflows) > mostFollowed {
		follow = e.followCrowd
	}
	ended, err := follow(ctx, workflows)
	if err != nil && ctx.Err() != nil {
		return nil, e.leftRunning(workflows)
	}
	return ended, err
}

func (e *env) followEach(ctx context.Context, workflows []sprout.Workflow) ([]sprout.Workflow, error) {
	c, err := e.client()
	if err != nil {
		return nil, err
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
	return ended, err
}

// leftRunning says, to who looks no longer, that the work goes on.
func (e *env) leftRunning(workflows []sprout.Workflow) error {
	var ids []string
	for _, w := range workflows {
		ids = append(ids, string(w.ID))
	}
	what, follow, undo := workflows[0].Kind+" of "+workflows[0].MachineName, "sprout workflow wait "+strings.Join(ids, " "), "sprout workflow cancel "+strings.Join(ids, " ")
	switch {
	case len(ids) > mostFollowed:
		what = fmt.Sprintf("%s of %d machines", workflows[0].Kind, len(ids))
		follow, undo = "sprout workflow list --state running", "sprout workflow cancel WORKFLOW…"
	case len(ids) > 1:
		what = fmt.Sprintf("%s and %d more", what, len(ids)-1)
	}
	fmt.Fprintf(e.stderr, "\nYou stopped watching; the work goes on: %s\n", what)
	writeLines(e.stderr, []line{{"  watch again", follow}, {"  undo it", undo}})
	return exit{exitInterrupted, errShown}
}

// conclude says how each workflow ended; of many it names those that failed.
func (e *env) conclude(ctx context.Context, ended []sprout.Workflow) error {
	var good, bad int
	for _, w := range ended {
		if w.State == sprout.Succeeded {
			good++
			if len(ended) <= mostFollowed {
				e.sayCondition(ctx, w)
			}
			continue
		}
		bad++
		fmt.Fprintf(e.stderr, "%s %s of %s %s\n", e.paint(e.stderr, red, "sprout:"), w.Kind, w.MachineName, w.State)
		if w.Error != nil {
			writeLines(e.stderr, indent(failureLines(*w.Error)))
		}
	}
	if len(ended) > mostFollowed && !e.machineReadable() {
		fmt.Fprintf(e.stdout, "%s: %d succeeded, %d did not%s\n", machines(len(ended)), good, bad, spread(ended))
	}
	switch {
	case bad == 0:
		return nil
	case good == 0:
		return exit{exitFailed, errShown}
	}
	return exit{exitPartly, errShown}
}

// spread says how long those took that succeeded.
func spread(ended []sprout.Workflow) string {
	var good []sprout.Workflow
	for _, w := range ended {
		if w.State == sprout.Succeeded && w.EndedAt != nil {
			good = append(good, w)
		}
	}
	if len(good) == 0 {
		return ""
	}
	slices.SortFunc(good, func(a, b sprout.Workflow) int {
		return cmp.Compare(a.EndedAt.Sub(a.CreatedAt), b.EndedAt.Sub(b.CreatedAt))
	})
	slowest := good[len(good)-1]
	return fmt.Sprintf("; half took at most %s, the slowest, %s, %s", took(good[(len(good)-1)/2]), slowest.MachineName, took(slowest))
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
