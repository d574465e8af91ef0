package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
	"sprout/docs"
)

func problemCommand(e *env) *cobra.Command {
	var in api.ListProblems
	var limit int
	var watch bool
	c := &cobra.Command{
		Use: "list", Short: api.ProblemList.Help, Aliases: []string{"ls"}, Args: takes(0, 0, "no arguments"), Example: "  sprout problem list\n  sprout problem list --watch\n  sprout problem list --all -o wide   # one line each, also what is over",
		RunE: func(c *cobra.Command, _ []string) error {
			if watch {
				return e.watchProblems(c.Context(), in, limit)
			}
			problems, err := gather(c.Context(), e, api.ProblemList, in, limit)
			if err != nil {
				return err
			}
			if e.format == "table" && e.jq == "" && len(problems) > 0 {
				e.listProblems(problems)
				return nil
			}
			return list(e, problems, "nothing is wrong", problemColumns())
		},
	}
	f := c.Flags()
	f.StringVar(&in.Site, "site", "", "only of this site")
	f.StringVar(&in.Machine, "machine", "", "only of this machine")
	f.Var(&wordsOf[sprout.Code]{&in.Code}, "code", "only with one of these codes")
	f.StringVar((*string)(&in.Severity), "severity", "", "only critical, or only warning")
	addSort(c, &in)
	c.Flags().IntVar(&limit, "limit", 0, "at most so many (default all)")
	c.Flags().BoolVar(&in.All, "all", false, "also what is over")
	watchFlag(c, &watch)
	return group("problem", "What is wrong, and what helps.", c, problemShowCommand(e), problemExplainCommand(e))
}

func problemShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show PROBLEM", Short: api.ProblemShow.Help, Args: takes(1, 1, "the id of a problem, or its beginning"),
		Example: "  sprout problem show prb_06fx3m\n  sprout problem show prb_06fx3m -o json",
		RunE: func(c *cobra.Command, args []string) error {
			p, err := call(c.Context(), e, api.ProblemShow, api.ProblemRef{Problem: args[0]})
			if err != nil {
				return err
			}
			return e.answer(p, func() { e.showProblem(p) })
		},
	}
}

func (e *env) showProblem(p api.ShownProblem) {
	lines := []line{
		{"Code", e.paint(e.stdout, red, string(p.Code))}, {"Means", p.Means}, {"Severity", string(p.Severity)}, {"Subject", p.Name + " (" + p.Subject + ")"},
		{"Since", moment(p.Since) + " (" + ago(&p.Since) + ")"},
	}
	if p.ClearedAt != nil {
		lines = append(lines, line{"Over since", moment(*p.ClearedAt)})
	}
	writeLines(e.stdout, append(lines, []line{
		{"Reason", p.Reason}, {"Evidence", p.Evidence}, {"Try", p.Remedy}, {"More", "sprout problem explain " + string(p.Code)}, {"Page", p.Type}, {"Id", string(p.ID)},
	}...))
}

// problemExplainCommand needs no server: the pages are in the program.
func problemExplainCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "explain [CODE]", Short: "Explain a problem code: how it shows, where to look, what helps.", Args: takes(0, 1, "a problem code, or none to list them"),
		Example: "  sprout problem explain tftp-stalled\n  sprout problem explain",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return list(e, sprout.Problems, "", []column[sprout.ProblemKind]{
					{Name: "CODE", Value: func(p sprout.ProblemKind) string { return string(p.Code) }},
					{Name: "SEVERITY", Value: func(p sprout.ProblemKind) string { return string(p.Severity) }},
					{Name: "MEANS", Value: func(p sprout.ProblemKind) string { return p.Means }},
				})
			}
			page, err := docs.Problem(sprout.Code(args[0]))
			if err != nil {
				return err
			}
			return e.answer(map[string]string{"code": args[0], "page": page}, func() { fmt.Fprint(e.stdout, page) })
		},
	}
}

func problemColumns() []column[sprout.Problem] {
	return []column[sprout.Problem]{
		{Name: "SINCE", Value: func(p sprout.Problem) string { return moment(p.Since) }},
		{Name: "SUBJECT", Value: func(p sprout.Problem) string { return p.Name }},
		{Name: "CODE", Value: func(p sprout.Problem) string { return string(p.Code) }},
		{Name: "REASON", Value: func(p sprout.Problem) string { return p.Reason }},
		{Name: "TRY", Value: func(p sprout.Problem) string { return p.Remedy }},
		{Name: "CLEARED", Value: func(p sprout.Problem) string { return ago(p.ClearedAt) }, Wide: true},
		{Name: "EVIDENCE", Value: func(p sprout.Problem) string { return p.Evidence }, Wide: true},
		{Name: "ID", Value: func(p sprout.Problem) string { return string(p.ID) }, Wide: true},
	}
}

func (e *env) watchProblems(ctx context.Context, in api.ListProblems, limit int) error {
	return follow(ctx, e, followed[sprout.Problem]{
		In:   api.WatchEvents{OfSite: in.OfSite, Machine: in.Machine, Noun: []sprout.Noun{sprout.NounProblem}},
		Load: func(ctx context.Context) ([]sprout.Problem, error) { return gather(ctx, e, api.ProblemList, in, limit) },
		ID:   func(p sprout.Problem) string { return string(p.ID) },
		Keep: func(p sprout.Problem) bool {
			return (in.All || p.ClearedAt == nil) && (len(in.Code) == 0 || slices.Contains(in.Code, p.Code)) && (in.Severity == "" || in.Severity == p.Severity)
		},
		Columns: problemColumns(), None: "nothing is wrong",
	})
}

// listProblems shows each problem on a few lines: reason and remedy are sentences.
func (e *env) listProblems(problems []sprout.Problem) {
	for i, p := range problems {
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		over := ""
		if p.ClearedAt != nil {
			over = ", over since " + moment(*p.ClearedAt)
		}
		fmt.Fprintf(e.stdout, "%s  %s, %s, since %s (%s)%s\n", p.Name, e.paint(e.stdout, red, string(p.Code)), p.Severity, moment(p.Since), ago(&p.Since), over)
		writeLines(e.stdout, []line{{"  Reason", p.Reason}, {"  Evidence", p.Evidence}, {"  Try", p.Remedy}, {"  More", "sprout problem explain " + string(p.Code)}, {"  Id", string(p.ID)}})
	}
}

func (e *env) showProblems(problems []sprout.Problem) {
	for _, p := range problems {
		fmt.Fprintf(e.stdout, "\n%s %s, since %s\n", e.paint(e.stdout, red, "Problem"), p.Code, moment(p.Since))
		writeLines(e.stdout, []line{{"  Reason", p.Reason}, {"  Evidence", p.Evidence}, {"  Try", p.Remedy}, {"  More", "sprout problem explain " + string(p.Code)}})
	}
}
