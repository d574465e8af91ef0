package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sprout/api"
)

func imagePruneCommand(e *env) *cobra.Command {
	var in api.PruneImages
	var yes bool
	var days int
	c := &cobra.Command{
		Use: "prune", Short: "Remove images that nothing needs, and files that are no image's.", Args: takes(0, 0, ""),
		Long: "Remove images that nothing needs: that no alias means, that no machine is deployed with, being deployed with or to be tried again with, and that are older than\n" +
			"--days. Each that is kept says why. Files that are left of imports that were ended go too. Sites fetch an image only for a deploy.",
		Example: "  sprout image prune --plan\n  sprout image prune --days 7\n  sprout image prune --yes",
		RunE: func(c *cobra.Command, _ []string) error {
			in.Body.Days = &days
			if !in.Body.Plan && !yes {
				found, err := e.confirmPruning(c, in)
				if err != nil {
					return err
				}
				if goers(found) == 0 {
					return e.answer(found, func() { e.showPruning(found) })
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
func (e *env) confirmPruning(c *cobra.Command, in api.PruneImages) (api.Pruning, error) {
	in.Body.Plan = true
	found, err := call(c.Context(), e, api.ImagePrune, in)
	n := goers(found)
	if err != nil || n == 0 {
		return found, err
	}
	if e.interactive() {
		e.showPruning(found)
	}
	return found, e.confirm(c.Context(), n, fmt.Sprintf("removes %s, %s", suffixed(n, "images and files", "image or file"), size(found.Bytes)))
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
	verb := "removed"
	if slices.ContainsFunc(p.Items, func(i api.PruneItem) bool { return i.Outcome == "would-remove" }) {
		verb = "to be removed"
	}
	fmt.Fprintf(e.stderr, "%d %s, %s\n", goers(p), verb, size(p.Bytes))
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
