package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func workflowCommand(e *env) *cobra.Command {
	return group("workflow", "Durable runs of named steps.",
		workflowListCommand(e), workflowShowCommand(e), workflowExplainCommand(e), workflowRetryCommand(e), workflowCancelCommand(e), workflowWaitCommand(e))
}

func workflowRef(ref string) api.WorkflowRef { return api.WorkflowRef{Workflow: ref} }

func workflowListCommand(e *env) *cobra.Command {
	var in api.ListWorkflows
	c := listCommand(e, api.WorkflowList, &in, listing[sprout.Workflow]{
		Example: "  sprout workflow list\n  sprout workflow list --machine web-01 --state failed\n  sprout workflow list --watch", None: "no workflows", Grows: true,
		Watch: &watching[sprout.Workflow]{
			In: func() api.WatchEvents {
				return api.WatchEvents{OfSite: in.OfSite, Machine: in.Machine, Noun: []sprout.Noun{sprout.NounWorkflow}}
			},
			ID: func(w sprout.Workflow) string { return string(w.ID) },
			Keep: func(w sprout.Workflow) bool {
				return (len(in.State) == 0 || slices.Contains(in.State, w.State)) && (in.Kind == "" || w.Kind == in.Kind)
			},
		},
		Columns: []column[sprout.Workflow]{
			{Name: "ID", Value: func(w sprout.Workflow) string { return string(w.ID) }},
			{Name: "KIND", Value: func(w sprout.Workflow) string { return w.Kind }},
			{Name: "MACHINE", Value: func(w sprout.Workflow) string { return w.MachineName }},
			{Name: "STATE", Value: func(w sprout.Workflow) string { return string(w.State) }},
			{Name: "STEP", Value: func(w sprout.Workflow) string { return w.Step }},
			{Name: "WAITS FOR", Value: waitsFor},
			{Name: "CREATED", Value: func(w sprout.Workflow) string { return ago(&w.CreatedAt) }},
			{Name: "ACTOR", Value: func(w sprout.Workflow) string { return w.Actor }, Wide: true},
			{Name: "SITE", Value: func(w sprout.Workflow) string { return w.SiteName }, Wide: true},
		},
	})
	f := c.Flags()
	f.StringVar(&in.Site, "site", "", "only of this site")
	f.StringVar(&in.Machine, "machine", "", "only of this machine")
	f.StringVar(&in.Kind, "kind", "", "only of this kind, as deploy")
	f.Var(&wordsOf[sprout.WorkflowState]{&in.State}, "state", "only in one of these states: "+strings.Join(workflowStates(), ", "))
	return c
}

func waitsFor(w sprout.Workflow) string {
	if w.Wait == nil || w.State.Ended() {
		return ""
	}
	return w.Wait.For
}

func workflowShowCommand(e *env) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "show WORKFLOW", Short: "Show a workflow with every step.", Args: takes(1, 1, "the id of a workflow"), Example: "  sprout workflow show wfl_06h0 --watch\n  sprout workflow show wfl_06h0 --jq .error.code",
		RunE: func(c *cobra.Command, args []string) error {
			w, err := call(c.Context(), e, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: workflowRef(args[0])})
			if err != nil {
				return err
			}
			if watch {
				return follow(c.Context(), e, followed[sprout.Workflow]{
					In: api.WatchEvents{Subject: string(w.ID)}, ID: func(w sprout.Workflow) string { return string(w.ID) },
					Show: (*env).showWorkflow,
					Load: loadOne(func(ctx context.Context) (sprout.Workflow, error) {
						now, err := call(ctx, e, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: workflowRef(string(w.ID))})
						return now.Workflow, err
					}),
				})
			}
			return e.answer(w.Workflow, func() { e.showWorkflow(w.Workflow) })
		},
	}
	watchFlag(c, &watch)
	return c
}

func (e *env) showWorkflow(w sprout.Workflow) {
	writeLines(e.stdout, []line{
		{"Id", string(w.ID)}, {"Kind", w.Kind}, {"Machine", w.MachineName}, {"Site", w.SiteName}, {"State", stateLine(w)},
		{"Step", stepLine(w)}, {"Waits for", waitLine(w)}, {"Progress", progressLine(w.Progress)}, {"Asked by", w.Actor},
		{"Created", moment(w.CreatedAt)}, {"Took", took(w)},
	})
	if len(w.Steps) > 0 {
		fmt.Fprintln(e.stdout)
		writeTable(e, e.worthShowing(w.Steps), []column[sprout.StepRecord]{
			{Name: "STEP", Value: indentSite},
			{Name: "AT", Value: func(s sprout.StepRecord) string { return s.At }},
			{Name: "OUTCOME", Value: stepOutcome},
			{Name: "STARTED", Value: func(s sprout.StepRecord) string { return s.StartedAt.Local().Format("15:04:05") }},
			{Name: "TOOK", Value: stepTook},
			{Name: "DETAIL", Value: func(s sprout.StepRecord) string { return s.Detail }},
		})
	}
	if w.Error != nil {
		fmt.Fprintf(e.stdout, "\n%s\n", e.paint(e.stdout, red, "What went wrong"))
		writeLines(e.stdout, indent(failureLines(*w.Error)))
	}
}

// worthShowing leaves out the steps that had nothing to undo; -o wide shows them.
func (e *env) worthShowing(steps []sprout.StepRecord) []sprout.StepRecord {
	if e.format == "wide" {
		return steps
	}
	var kept []sprout.StepRecord
	for _, s := range steps {
		if s.Outcome != "skipped" {
			kept = append(kept, s)
		}
	}
	return kept
}

func failureLines(f sprout.Failure) []line {
	return []line{{"Failed at", f.Step}, {"Code", string(f.Code)}, {"Reason", f.Reason}, {"Evidence", f.Evidence}, {"Try", f.Remedy}, {"More", "sprout problem explain " + string(f.Code)}}
}

func indent(lines []line) []line {
	for i := range lines {
		lines[i].Name = "  " + lines[i].Name
	}
	return lines
}

func stateLine(w sprout.Workflow) string {
	switch w.Retries {
	case 0:
		return string(w.State)
	case 1:
		return string(w.State) + ", retried once"
	}
	return fmt.Sprintf("%s, retried %d times", w.State, w.Retries)
}

// stepLine names the step that a workflow is at, and where it is taken.
func stepLine(w sprout.Workflow) string {
	if w.State.Ended() {
		return ""
	}
	for _, s := range slices.Backward(w.Steps) {
		if s.Name == w.Step && s.At == "site" {
			return w.Step + ", at the site " + w.SiteName
		}
	}
	return w.Step
}

// indentSite names a step; those of the site stand under the centre's that
// delegated them.
func indentSite(s sprout.StepRecord) string {
	if s.At == "site" {
		return "  " + s.Name
	}
	return s.Name
}

func stepOutcome(s sprout.StepRecord) string {
	if s.Attempt > 1 {
		return fmt.Sprintf("%s, attempt %d", s.Outcome, s.Attempt)
	}
	return s.Outcome
}

// waitLine says what a workflow waits for, since when and until when.
func waitLine(w sprout.Workflow) string {
	if waitsFor(w) == "" {
		return ""
	}
	text := fmt.Sprintf("%s, since %s (%s)", w.Wait.For, moment(w.Wait.Since), ago(&w.Wait.Since))
	if !w.Wait.Until.After(w.Wait.Since) {
		return text
	}
	text += ", until " + moment(w.Wait.Until)
	if left := time.Until(w.Wait.Until); left > 0 {
		text += " (in " + duration(left) + ")"
	}
	return text
}

// progressLine draws how far long work is.
func progressLine(p *sprout.Progress) string {
	if p != nil && p.Waits != "" {
		return "waits for " + p.Waits
	}
	if p == nil || p.Total == 0 {
		return ""
	}
	if p.Unit != "B" {
		return strings.TrimSuffix(fmt.Sprintf("%d of %d %s; %s", p.Done, p.Total, p.Unit, p.About), "; ")
	}
	return fmt.Sprintf("%s %d %%, %.1f MB/s", progressBar(p), percent(p), p.PerSec/1e6)
}

// progressWords is progressLine for one line of a terminal, which may be
// narrow: the figures first, and how long it takes at this speed.
func progressWords(p *sprout.Progress) string {
	if p == nil || p.Waits != "" || p.Total == 0 || p.Unit != "B" {
		return progressLine(p)
	}
	left := ""
	if p.PerSec > 0 {
		left = duration(time.Duration(float64(p.Total-p.Done)/p.PerSec*float64(time.Second))) + " left"
	}
	return fmt.Sprintf("%3d %%  %5.1f MB/s  %-9s %s", percent(p), p.PerSec/1e6, left, progressBar(p))
}

func percent(p *sprout.Progress) int64 { return min(p.Done*100/p.Total, 100) }

func progressBar(p *sprout.Progress) string {
	full := int(percent(p) / 5)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", 20-full) + "]"
}

func took(w sprout.Workflow) string {
	if w.EndedAt == nil {
		return duration(time.Since(w.CreatedAt)) + " so far"
	}
	return duration(w.EndedAt.Sub(w.CreatedAt))
}

func stepTook(s sprout.StepRecord) string {
	if s.EndedAt == nil {
		return duration(time.Since(s.StartedAt)) + " so far"
	}
	return fmt.Sprintf("%.1fs", s.EndedAt.Sub(s.StartedAt).Seconds())
}

func workflowRetryCommand(e *env) *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use: "retry WORKFLOW…", Short: api.WorkflowRetry.Help, Args: takes(1, -1, "the ids of workflows"), Example: "  sprout workflow retry wfl_06h0 --wait",
		RunE: func(c *cobra.Command, args []string) error {
			return e.start(c.Context(), args, wait, func(ref string) (sprout.Workflow, error) {
				return call(c.Context(), e, api.WorkflowRetry, workflowRef(ref))
			})
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "show each step until it has ended")
	return c
}

func workflowCancelCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "cancel WORKFLOW…", Short: api.WorkflowCancel.Help, Args: takes(1, -1, "the ids of workflows"), Example: "  sprout workflow cancel wfl_06h0",
		RunE: func(c *cobra.Command, args []string) error {
			return e.each(args, func(ref string) (result, error) {
				w, err := call(c.Context(), e, api.WorkflowCancel, workflowRef(ref))
				return result{w, fmt.Sprintf("%s of %s is being cancelled: it is %s", w.Kind, w.MachineName, w.State)}, err
			})
		},
	}
}

func workflowWaitCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "wait WORKFLOW…", Short: "Show each step of workflows until they have ended; fails if one fails.",
		Args: takes(1, -1, "the ids of workflows"), Example: "  sprout workflow wait wfl_06h0",
		RunE: func(c *cobra.Command, args []string) error {
			return e.start(c.Context(), args, true, func(ref string) (sprout.Workflow, error) {
				w, err := call(c.Context(), e, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: workflowRef(ref)})
				return w.Workflow, err
			})
		},
	}
}
