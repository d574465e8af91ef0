package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func machineExplainCommand(e *env) *cobra.Command {
	return explainCommand(e, "MACHINE", "the name of a machine", "  sprout machine explain web-01", api.MachineExplain.Help,
		func(ctx context.Context, ref string) (api.Explanation, error) {
			return call(ctx, e, api.MachineExplain, machineRef(ref))
		})
}

func workflowExplainCommand(e *env) *cobra.Command {
	return explainCommand(e, "WORKFLOW", "the id of a workflow", "  sprout workflow explain wfl_01", api.WorkflowExplain.Help,
		func(ctx context.Context, ref string) (api.Explanation, error) {
			return call(ctx, e, api.WorkflowExplain, workflowRef(ref))
		})
}

func explainCommand(e *env, noun, takesOne, example, help string, ask func(ctx context.Context, ref string) (api.Explanation, error)) *cobra.Command {
	return &cobra.Command{
		Use: "explain " + noun, Short: help, Args: takes(1, 1, takesOne), Example: example,
		RunE: func(c *cobra.Command, args []string) error {
			x, err := ask(c.Context(), args[0])
			if err != nil {
				return err
			}
			return e.answer(x, func() { e.showExplanation(x) })
		},
	}
}

func (e *env) showExplanation(x api.Explanation) {
	for _, sentence := range []string{doingWhat(x), waitingFor(x), awayFrom(x), usually(x), whyNot(x)} {
		if sentence != "" {
			fmt.Fprintln(e.stdout, sentence)
		}
	}
	if x.Cause != nil && x.Cause.Evidence != "" {
		fmt.Fprintf(e.stdout, "Evidence: %s.\n", strings.TrimSuffix(x.Cause.Evidence, "."))
	}
	if len(x.Evidence) > 0 {
		fmt.Fprintf(e.stdout, "\nSeen last, in boot attempt %s:\n", x.Attempt)
		for _, b := range x.Evidence {
			fmt.Fprintf(e.stdout, "  %s  %-18s %s\n", b.At.Local().Format(time.TimeOnly), b.What, bootDetail(b))
		}
	}
	if len(x.Console) > 0 {
		fmt.Fprintln(e.stdout, "\nIts console said last:")
		for _, b := range x.Console {
			fmt.Fprintf(e.stdout, "  %s  %s\n", b.At.Local().Format(time.TimeOnly), bootDetail(b))
		}
	}
	if len(x.Help) > 0 {
		fmt.Fprintln(e.stdout, "\nTry:")
		for _, command := range x.Help {
			fmt.Fprintln(e.stdout, "  "+command)
		}
	}
}

// doingWhat says what the machine is, and does or did last.
func doingWhat(x api.Explanation) string {
	is := fmt.Sprintf("%s at %s is %s, power %s.", x.Machine, x.Site, x.State, x.Power)
	w := x.Workflow
	if w == nil {
		return is + " Nothing was asked of it yet."
	}
	who := fmt.Sprintf("%s %s, asked for by %s,", w.Kind, w.ID, w.Actor)
	switch w.State {
	case sprout.Running:
		return fmt.Sprintf("%s %s is at %s for %s now%s.", is, who, w.Step, seconds(w.Seconds), percentDone(w.Progress))
	case sprout.Unwinding:
		return fmt.Sprintf("%s %s is being undone, at %s.", is, who, w.Step)
	case sprout.FailedRun:
		return fmt.Sprintf("%s %s failed at %s%s.", is, who, w.Step, endedAgo(x))
	case sprout.Succeeded, sprout.Cancelled:
	}
	return fmt.Sprintf("%s %s has %s%s.", is, who, map[sprout.WorkflowState]string{sprout.Succeeded: "succeeded", sprout.Cancelled: "been cancelled"}[w.State], endedAgo(x))
}

func endedAgo(x api.Explanation) string {
	if x.Workflow.EndedAt == nil {
		return ""
	}
	return ", " + duration(x.At.Sub(*x.Workflow.EndedAt)) + " ago"
}

func percentDone(p *sprout.Progress) string {
	if p == nil || p.Total <= 0 {
		return ""
	}
	return fmt.Sprintf(", %d %% done", min(p.Done*100/p.Total, 100))
}

func waitingFor(x api.Explanation) string {
	w := x.Workflow
	if w == nil || w.State.Ended() || w.Wait == "" {
		return ""
	}
	if queued, ok := strings.CutPrefix(w.Wait, "queued: "); ok {
		return "It is queued: " + queued + "."
	}
	text := fmt.Sprintf("It waits for %s since %s", w.Wait, w.Since.Local().Format(time.TimeOnly))
	if w.Until != nil {
		text += ", until " + w.Until.Local().Format(time.TimeOnly)
	}
	if l := x.Limit; l != nil {
		text += fmt.Sprintf(": %s, %s", brief(l.Duration()), l.Why)
	}
	return text + "."
}

// awayFrom says that the site of running work is not heard of.
func awayFrom(x api.Explanation) string {
	switch {
	case !x.Offline:
		return ""
	case x.HeardAt == nil:
		return fmt.Sprintf("Site %s has no agent that was ever heard of: the work waits for it.", x.Site)
	}
	return fmt.Sprintf("Site %s is offline since %s: what it has begun goes on there by itself, and is told of when it is back.", x.Site, x.HeardAt.Local().Format(time.TimeOnly))
}

// usually says how long the step takes on such machines, and how this one does.
func usually(x api.Explanation) string {
	u := x.Usual
	if u == nil || x.Workflow == nil {
		return ""
	}
	on := strings.TrimSpace(u.Vendor + " " + u.Model)
	if u.P95 == 0 {
		return fmt.Sprintf("How long %s usually takes on %s: no history yet.", u.Step, on)
	}
	text := fmt.Sprintf("On %s %s usually takes %s, and in 95 of 100 runs at most %s (%d past runs)", on, u.Step, seconds(u.P50), seconds(u.P95), u.Runs)
	if !x.Workflow.State.Ended() && x.Workflow.Seconds > u.P95 {
		text += ": this one takes longer"
	}
	return text + "."
}

func whyNot(x api.Explanation) string {
	if x.Cause == nil {
		return ""
	}
	lead := "So far it looks like"
	if x.Workflow != nil && x.Workflow.State.Ended() {
		lead = "The cause is"
	}
	return fmt.Sprintf("%s %s: %s.", lead, x.Cause.Code, strings.TrimSuffix(x.Cause.Reason, "."))
}

func seconds(s float64) string {
	if s < 60 {
		return fmt.Sprintf("%.1f s", s)
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
