package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sprout"
)

// groups is every group of commands under the heading that help shows it by. A
// new group is a file of its own and one word here.
func groups() []heading {
	return []heading{
		{"Machines and what they need:", []func(*env) *cobra.Command{
			siteCommand, networkCommand, subnetCommand, rangeCommand, dnsCommand, machineCommand, bmcCommand, allocationCommand, quotaCommand, ruleCommand, modelCommand, testCommand, bootCommand, imageCommand, workflowCommand, problemCommand, eventsCommand, addressCommand, dhcpCommand, leaseCommand,
		}},
		{"The control plane and its sites:", []func(*env) *cobra.Command{
			statusCommand, loginCommand, contextCommand, agentCommand, tokenCommand, auditCommand, providerCommand, serverCommand,
		}},
		{"To try and to build:", []func(*env) *cobra.Command{devCommand, labCommand, simCommand, ramdiskCommand, versionCommand}},
	}
}

// A heading is some groups of commands under one title.
type heading struct {
	title string
	makes []func(*env) *cobra.Command
}

func rootCommand(e *env) *cobra.Command {
	root := group("sprout", "Turn racks of powered-off servers into installed hosts.")
	root.SilenceErrors, root.SilenceUsage = true, true
	run := root.RunE
	root.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return run(c, args)
		}
		e.showFirst(c)
		return nil
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVarP(&e.format, "output", "o", "table", "how to print: table, wide, json or yaml")
	flags.StringVar(&e.jq, "jq", "", "print what this jq program makes of the JSON answer")
	flags.StringVar(&e.url, "server", "", "URL of the control plane (or SPROUT_SERVER)")
	flags.StringVar(&e.token, "token", "", "bearer token (or SPROUT_TOKEN)")
	flags.StringVar(&e.ca, "ca", "", "file of the authority that the control plane's certificate must be of (or SPROUT_CA)")
	flags.StringVar(&e.context, "context", "", "context to use in place of the current one (or SPROUT_CONTEXT)")
	flags.BoolVarP(&e.verbose, "verbose", "v", false, "log what is done")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if e.verbose {
			e.level.Set(slog.LevelDebug)
		}
		return e.checkOutput()
	}
	for _, h := range groups() {
		root.AddGroup(&cobra.Group{ID: h.title, Title: h.title})
		for _, make := range h.makes {
			c := make(e)
			c.GroupID = h.title
			root.AddCommand(c)
		}
	}
	// A group that only holds commands is not run: its usage has one line.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", `{{if or (not .HasAvailableSubCommands) (index .Annotations "runs")}}`, 1))
	complete(e, root)
	return root
}

// group makes a command that only holds others. A word that none of them has is
// refused, with the nearest that one has.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknownCommand(c, args[0])
	}
	c.AddCommand(subs...)
	return c
}

func unknownCommand(c *cobra.Command, word string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	err := sprout.Errorf(sprout.Invalid, "%q is no command of %s", word, c.CommandPath())
	if near := nearest(word, names); near != "" {
		return err.WithRemedy("%s %s", c.CommandPath(), near)
	}
	return err.WithRemedy("%s --help", c.CommandPath())
}

// helpOfNothing refuses to help with a word that is no command: the library would
// show the help of what is above it, as if all were well.
func helpOfNothing(root *cobra.Command, args []string) error {
	c, rest, err := root.Find(args)
	asked := slices.Contains(rest, "--help") || slices.Contains(rest, "-h")
	if err != nil || !asked || !c.HasAvailableSubCommands() || strings.HasPrefix(rest[0], "-") {
		return nil
	}
	return unknownCommand(c, rest[0])
}

// flagError says which flag is wrong and what it takes, or the nearest that exists.
func flagError(c *cobra.Command, cause error) error {
	var value *pflag.InvalidValueError
	if errors.As(cause, &value) {
		return sprout.InvalidField("--"+value.GetFlag().Name, "%q is not %s", value.GetValue(), kindOfFlag(value.GetFlag()))
	}
	err := sprout.Errorf(sprout.Invalid, "%v", cause)
	word, unknown := strings.CutPrefix(cause.Error(), "unknown flag: --")
	if !unknown {
		return err.WithRemedy("%s --help", c.CommandPath())
	}
	if near := nearest(word, flagNames(c)); near != "" {
		return err.WithRemedy("--%s", near)
	}
	return err.WithRemedy("%s --help", c.CommandPath())
}

// kindOfFlag says what a flag takes.
func kindOfFlag(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int", "int64", "uint16":
		return "a whole number"
	case "duration":
		return "a duration such as 90s or 10m"
	case "bool":
		return "true or false"
	case eraseMethod:
		return "one of " + strings.Join(sprout.EraseMethods(), ", ")
	}
	return "a " + f.Value.Type()
}

// takes checks the number of arguments: between least and most (negative: any).
// what names them for the message.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		if len(args) > most && most >= 0 {
			return usage(c, "%q is one argument too many: %s takes %s", args[most], c.CommandPath(), what)
		}
		return usage(c, "%s needs %s", c.CommandPath(), what)
	}
}

// usage makes the error of a command line that is wrong.
func usage(c *cobra.Command, format string, args ...any) *sprout.Error {
	return sprout.Errorf(sprout.Invalid, "%s", fmt.Sprintf(format, args...)).WithRemedy("%s --help", c.CommandPath())
}

func versionCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version.", Args: takes(0, 0, "no arguments"),
		Example: "  sprout version\n  sprout version -o json",
		RunE: func(*cobra.Command, []string) error {
			return e.answer(map[string]string{"version": sprout.Version}, func() { fmt.Fprintln(e.stdout, sprout.Version) })
		},
	}
}
