package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Commands lists every command that does something, without the program's name.
func Commands() (all []string) {
	root := rootCommand(newEnv(strings.NewReader(""), io.Discard, io.Discard))
	documented(root, func(c *cobra.Command) {
		if !c.HasSubCommands() || c.Annotations["runs"] != "" {
			all = append(all, strings.TrimPrefix(c.CommandPath(), "sprout "))
		}
	})
	return all
}
