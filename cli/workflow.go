package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func workflowCommand(e *env) *cobra.Command {
	return group("workflow", "Durable runs of named steps.",
		workflowListCommand(e), workflowShowCommand(e), workflowRetryCommand(e), workflowCancelCommand(e), workflowWaitCommand(e))
}

func workflowRef(ref string) api.WorkflowRef { return api.WorkflowRef{Workflow: ref} }

func workflowListCommand(e *env) *cobra.Command {
	var in api.ListWorkflows
	var state string
	c := &cobra.Command{
		Use: "list", Short: api.WorkflowList.Help, Aliases: []string{"ls"}, Args: takes(0, 0, "no arguments"),
		Example: "  sprout workflow list\n  sprout workflow list --machine web-01 --state failed",
		RunE: func(c *cobra.Command, _ []string) error {
			in.State = sprout.WorkflowState(state)
			all, err := call(c.Context(), e, api.WorkflowList, in)
			if err != nil {
				return err
			}
			return list(e, all, "no workflows", []column[sprout.Workflow]{
				{Name: "ID", Value: func(w sprout.Workflow) string { return string(w.ID) }},
				{Name: "KIND", Value: func(w sprout.Workflow) string { return w.Kind }},
				{Name: "MACHINE", Value: func(w sprout.Workflow) string { return w.MachineName }},
				{Name: "STATE", Value: func(w sprout.Workflow) string { return string(w.State) }},
				{Name: "STEP", Value: func(w sprout.Workflow) string { return w.Step }},
				{Name: "WAITS FOR", Value: waitsFor},
				{Name: "CREATED", Value: func(w sprout.Workflow) string { return ago(&w.CreatedAt) }},
				{Name: "ACTOR", Value: func(w sprout.Workflow) string { return w.Actor }, Wide: true},
				{Name: "SITE", Value: func(w sprout.Workflow) string { return w.SiteName }, Wide: true},
			})
		},
	}
	f := c.Flags()
	f.StringVar(&in.Site, "site", "", "only of this site")
	f.StringVar(&in.Machine, "machine", "", "only of this machine")
	f.StringVar(&state, "state", "", "only in this state: running, unwinding, succeeded, failed or cancelled")
	f.IntVar(&in.Limit, "limit", 0, "at most so many (default 100, the newest)")
	return c
}

func waitsFor(w sprout.Workflow) string {
	if w.Wait == nil || w.State.Ended() {
		return ""
	}
	return w.Wait.For
}

func workflowShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show WORKFLOW", Short: "Show a workflow with every step.", Args: takes(1, 1, "the id of a workflow"), Example: "  sprout workflow show wfl_01",
		RunE: func(c *cobra.Command, args []string) error {
			w, err := call(c.Context(), e, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: workflowRef(args[0])})
			if err != nil {
				return err
			}
			return e.answer(w.Workflow, func() { e.showWorkflow(w.Workflow) })
		},
	}
}

func (e *env) showWorkflow(w sprout.Workflow) {
	writeLines(e.stdout, []line{
		{"Id", string(w.ID)}, {"Kind", w.Kind}, {"Machine", w.MachineName}, {"Site", w.SiteName}, {"State", string(w.State)},
		{"Step", w.Step}, {"Waits for", waitLine(w)}, {"Progress", progressLine(w.Progress)}, {"Asked by", w.Actor},
		{"Created", moment(w.CreatedAt)}, {"Took", took(w)},
	})
	if len(w.Steps) > 0 {
		fmt.Fprintln(e.stdout)
		writeTable(e, w.Steps, []column[sprout.StepRecord]{
			{Name: "STEP", Value: func(s sprout.StepRecord) string { return s.Name }},
			{Name: "AT", Value: func(s sprout.StepRecord) string { return s.At }},
			{Name: "OUTCOME", Value: func(s sprout.StepRecord) string { return s.Outcome }},
			{Name: "TOOK", Value: stepTook},
			{Name: "DETAIL", Value: func(s sprout.StepRecord) string { return s.Detail }},
		})
	}
	if w.Error != nil {
		fmt.Fprintln(e.stdout)
		writeLines(e.stdout, failureLines(*w.Error))
	}
}

func failureLines(f sprout.Failure) []line {
	return []line{{"Failed at", f.Step}, {"Code", string(f.Code)}, {"Reason", f.Reason}, {"Evidence", f.Evidence}, {"Try", f.Remedy}}
}

func waitLine(w sprout.Workflow) string {
	if w.Wait == nil || w.State.Ended() {
		return ""
	}
	return fmt.Sprintf("%s, since %s, until %s", w.Wait.For, moment(w.Wait.Since), moment(w.Wait.Until))
}

func progressLine(p *sprout.Progress) string {
	if p == nil || p.Total == 0 {
		return ""
	}
	percent := min(p.Done*100/p.Total, 100)
	if p.Unit != "B" {
		return fmt.Sprintf("%d of %d %s", p.Done, p.Total, p.Unit)
	}
	bar := strings.Repeat("#", int(percent/5)) + strings.Repeat(".", 20-int(percent/5))
	return fmt.Sprintf("[%s] %d %%, %.1f MB/s", bar, percent, p.PerSec/1e6)
}

func took(w sprout.Workflow) string {
	if w.EndedAt == nil {
		return ""
	}
	return duration(w.EndedAt.Sub(w.CreatedAt))
}

func stepTook(s sprout.StepRecord) string {
	if s.EndedAt == nil {
		return ""
	}
	return fmt.Sprintf("%.1fs", s.EndedAt.Sub(s.StartedAt).Seconds())
}

func workflowRetryCommand(e *env) *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use: "retry WORKFLOW…", Short: api.WorkflowRetry.Help, Args: takes(1, -1, "the ids of workflows"), Example: "  sprout workflow retry wfl_01 --wait",
		RunE: func(c *cobra.Command, args []string) error {
			return e.start(c.Context(), args, wait, func(ref string) (*sprout.Workflow, error) {
				w, err := call(c.Context(), e, api.WorkflowRetry, workflowRef(ref))
				return &w, err
			})
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "show each step until it has ended")
	return c
}

func workflowCancelCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "cancel WORKFLOW…", Short: api.WorkflowCancel.Help, Args: takes(1, -1, "the ids of workflows"), Example: "  sprout workflow cancel wfl_01",
		RunE: func(c *cobra.Command, args []string) error {
			return e.each(args, func(ref string) error {
				w, err := call(c.Context(), e, api.WorkflowCancel, workflowRef(ref))
				if err != nil {
					return err
				}
				return e.say(w, "%s of %s is being cancelled: it is %s", w.Kind, w.MachineName, w.State)
			})
		},
	}
}

func workflowWaitCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "wait WORKFLOW…", Short: "Show each step of workflows until they have ended; fails if one fails.",
		Args: takes(1, -1, "the ids of workflows"), Example: "  sprout workflow wait wfl_01",
		RunE: func(c *cobra.Command, args []string) error {
			return e.start(c.Context(), args, true, func(ref string) (*sprout.Workflow, error) {
				w, err := call(c.Context(), e, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: workflowRef(ref)})
				return &w.Workflow, err
			})
		},
	}
}
