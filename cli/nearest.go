package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sprout/api"
)

// nearest returns the word of the list that word was probably meant to be, or
// "" where none is near: at most a third of its letters (and two at least) may differ.
func nearest(word string, list []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, candidate := range list {
		if d := api.Edits(word, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

func flagNames(c *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) { names = append(names, f.Name) }
	c.Flags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	return names
}
