package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// FlagsOf lists the flags of each command.
func FlagsOf() map[string][]string {
	all := map[string][]string{}
	documented(rootCommand(newEnv(strings.NewReader(""), io.Discard, io.Discard)), func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			name := strings.TrimPrefix(c.CommandPath(), "sprout ")
			all[name] = append(all[name], f.Name)
		})
	})
	return all
}
