package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sprout/api"
)

func imagePruneCommand(e *env) *cobra.Command {
	var in api.PruneImages
	var yes bool
	var days int
	c := &cobra.Command{
		Use: "prune", Short: "Remove images that nothing needs, and files that are no image's.", Args: takes(0, 0, ""),
		Long: "Remove images that nothing needs: that no alias means, that no machine is deployed with or being deployed with, and that are older than\n" +
			"--days. Each that is kept says why. Files that are left of imports that were ended go too. Sites fetch an image only for a deploy.",
		Example: "  sprout image prune --plan\n  sprout image prune --days 7\n  sprout image prune --yes",
		RunE: func(c *cobra.Command, _ []string) error {
			in.Body.Days = &days
			if !in.Body.Plan && !yes {
				if err := e.confirmPruning(c, in); err != nil {
					return err
				}
			}
			done, err := call(c.Context(), e, api.ImagePrune, in)
			if err != nil {
				return err
			}
			return e.answer(done, func() { e.showPruning(done) })
		},
	}
	c.Flags().IntVar(&days, "days", 30, "keep what is younger than so many days")
	c.Flags().BoolVar(&in.Body.Plan, "plan", false, "say what would be removed and why the others are kept, and remove nothing")
	addYes(c, &yes)
	return c
}

// confirmPruning shows what would go, and asks; nothing to go is nothing to ask.
func (e *env) confirmPruning(c *cobra.Command, in api.PruneImages) error {
	in.Body.Plan = true
	found, err := call(c.Context(), e, api.ImagePrune, in)
	if err != nil {
		return err
	}
	n := goers(found)
	if n == 0 {
		return nil
	}
	if e.interactive() {
		e.showPruning(found)
	}
	return e.confirm(c.Context(), n, fmt.Sprintf("removes %s, %s", suffixed(n, "images and files", "image or file"), size(found.Bytes)))
}

func (e *env) showPruning(p api.Pruning) {
	if len(p.Items) == 0 {
		fmt.Fprintln(e.stderr, "there are no images")
		return
	}
	writeTable(e, p.Items, []column[api.PruneItem]{
		{Name: "IMAGE", Value: func(i api.PruneItem) string { return i.Name }},
		{Name: "SIZE", Value: func(i api.PruneItem) string { return size(i.Bytes) }},
		{Name: "OUTCOME", Value: func(i api.PruneItem) string { return i.Outcome }},
		{Name: "WHY", Value: func(i api.PruneItem) string { return dash(i.Why) }},
	})
	fmt.Fprintf(e.stderr, "%s: %s\n", suffixed(goers(p), "to go", "to go"), size(p.Bytes))
}

// goers counts what a pruning removes.
func goers(p api.Pruning) (n int) {
	for _, i := range p.Items {
		if i.Outcome != "kept" {
			n++
		}
	}
	return n
}
