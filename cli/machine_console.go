package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func machineConsoleCommand(e *env) *cobra.Command {
	var readOnly, types bool
	var during time.Duration
	c := &cobra.Command{
		Use: "console MACHINE", Short: "Show what a machine's serial console says, and type at it.", Args: takes(1, 1, "the name of a machine"),
		Long: "Show what a machine's serial console says now, by way of its BMC, and type at it where this is a terminal: Enter and then ~. leaves.\n" +
			"A BMC has one console: any number of people may look at it together, and one of them at a time may type. Elsewhere, or with\n" +
			"--read-only, what it says is printed until Ctrl-C. What it said earlier is not kept, but for the boot timeline\n" +
			"(sprout machine update --record-console).",
		Example: "  sprout machine console web-01\n  sprout machine console web-01 --read-only --for 10m >web-01.log\n  printf 'root\\r' | sprout machine console web-01 --type --for 5s",
		RunE: func(c *cobra.Command, args []string) error {
			if readOnly && types {
				return usage(c, "%s takes --read-only or --type, not both", c.CommandPath())
			}
			terminal := isTerminal(e.stdin) && isTerminal(e.stdout)
			in := api.OpenConsole{MachineRef: machineRef(args[0]), Type: types || terminal && !readOnly && !e.machineReadable()}
			ctx := c.Context()
			if during > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, during)
				defer cancel()
			}
			return e.showConsole(ctx, in, in.Type && isTerminal(e.stdin))
		},
	}
	f := c.Flags()
	f.BoolVar(&readOnly, "read-only", false, "only look: others may type meanwhile")
	f.BoolVar(&types, "type", false, "type what comes by standard input, also where that is no terminal")
	f.DurationVar(&during, "for", 0, "end after this time, as 10m")
	return c
}

// showConsole prints a console until it ends, and types where it was asked to. raw:
// the terminal's keys are the machine's.
func (e *env) showConsole(ctx context.Context, in api.OpenConsole, raw bool) error {
	to, err := e.client()
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	for event, err := range to.Console(ctx, in) {
		switch {
		case ctx.Err() != nil:
			return failureIn(ctx)
		case err != nil:
			return err
		case event.What == sprout.ConsoleOpened:
			e.greetConsole(in, event, raw)
			if event.View != "" {
				restore, err := e.rawTerminal(raw)
				if err != nil {
					return err
				}
				defer restore()
				go e.typeConsole(ctx, to, in.MachineRef, event.View, raw, leave)
			}
		case event.What == sprout.ConsoleEnds && event.Failed:
			err = sprout.Errorf(sprout.Unavailable, "the console of %s has ended: %s", in.Machine, event.Reason)
		}
		if err := e.printConsole(event); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	return failureIn(ctx)
}

// failureIn is why ctx ended, where that is no leaving.
func failureIn(ctx context.Context) error {
	if cause := context.Cause(ctx); sprout.KindOf(cause) != sprout.Internal {
		return cause
	}
	return nil
}

func (e *env) greetConsole(in api.OpenConsole, event sprout.ConsoleEvent, raw bool) {
	words := "the console of " + in.Machine + " is open"
	switch {
	case raw:
		words += ": Enter and then ~. leaves, ~? tells more"
	case !in.Type && event.Typist != "":
		words += " to read, and " + event.Typist + " types: Ctrl-C leaves"
	case !in.Type:
		words += " to read: Ctrl-C leaves"
	}
	fmt.Fprintln(e.stderr, words)
}

func (e *env) printConsole(event sprout.ConsoleEvent) error {
	switch {
	case e.machineReadable():
		event.View = "" // a secret
		return e.answerEvent(event)
	case event.What == sprout.ConsoleSays:
		_, err := e.stdout.Write(event.Data)
		return err
	case event.What == sprout.ConsoleLost:
		fmt.Fprintf(e.stderr, "\r\n[%d bytes of the console were lost on the way]\r\n", event.Lost)
	case event.What == sprout.ConsoleEnds && !event.Failed:
		fmt.Fprintf(e.stderr, "\r\nthe console has ended: %s\r\n", event.Reason)
	}
	return nil
}
