package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sprout"
	"sprout/api"
	"sprout/client"
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

// rawTerminal has the terminal hand on every key; restore ends that.
func (e *env) rawTerminal(raw bool) (restore func(), err error) {
	stdin, is := e.stdin.(*os.File)
	if !raw || !is {
		return func() {}, nil
	}
	was, err := term.MakeRaw(int(stdin.Fd()))
	if err != nil {
		return nil, fmt.Errorf("cannot use the terminal: %w", err)
	}
	return func() {
		_ = term.Restore(int(stdin.Fd()), was) // nothing else can be done about it
		fmt.Fprint(e.stderr, "\r\n")
	}, nil
}

// typeConsole types what comes by standard input until that ends or somebody
// leaves.
func (e *env) typeConsole(ctx context.Context, to *client.Client, m api.MachineRef, view string, raw bool, leave context.CancelCauseFunc) {
	keys := make(chan []byte, 64)
	go func() {
		defer close(keys)
		e.readKeys(ctx, raw, keys, leave)
	}()
	in := api.TypeConsole{MachineRef: m}
	in.Body.View = view
	for {
		in.Body.Keys = gatherKeys(ctx, keys)
		if len(in.Body.Keys) == 0 {
			return // what the console says is shown further
		}
		typed, err := client.Call(ctx, to, api.MachineConsoleType, in)
		for sprout.KindOf(err) == sprout.Unavailable && sprout.Pause(ctx, typeAgain) == nil { // twice the same is typed once
			typed, err = client.Call(ctx, to, api.MachineConsoleType, in)
		}
		if err != nil {
			leave(err)
			return
		}
		in.Body.At = typed.Typed
	}
}

// typeAgain is when keys are sent again that did not reach the machine.
const typeAgain = 500 * time.Millisecond

// gatherKeys returns the next keys, with those that came since; none at the end.
func gatherKeys(ctx context.Context, keys <-chan []byte) (all []byte) {
	select {
	case all = <-keys:
	case <-ctx.Done():
		return nil
	}
	for len(all) < sprout.MostKeys/2 {
		select {
		case more, ok := <-keys:
			if !ok {
				return all
			}
			all = append(all, more...)
		default:
			return all
		}
	}
	return all
}

// readKeys reads standard input; in a raw terminal it obeys the escapes.
func (e *env) readKeys(ctx context.Context, raw bool, keys chan<- []byte, leave context.CancelCauseFunc) {
	filter := keyFilter{lineStart: true}
	for {
		buffer := make([]byte, sprout.MostKeys/4)
		n, err := e.stdin.Read(buffer)
		read := buffer[:n]
		if raw {
			var what byte
			read, what = filter.pass(read)
			switch what {
			case '.':
				leave(nil)
				return
			case '?':
				fmt.Fprint(e.stderr, "\r\n~.  leaves\r\n~~  types ~\r\n~?  tells this; each after Enter\r\n")
			}
		}
		if len(read) > 0 {
			select {
			case keys <- read:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			if raw || err != io.EOF {
				leave(nil)
			}
			return
		}
	}
}

// A keyFilter takes the escapes out of what is typed: ~ after Enter, as ssh has it.
type keyFilter struct{ lineStart, tilde bool }

// pass returns the keys that are for the machine, and which escape came: '.', '?'
// or none, 0.
func (f *keyFilter) pass(typed []byte) (keys []byte, escape byte) {
	for _, b := range typed {
		switch {
		case f.tilde && (b == '.' || b == '?'):
			f.tilde, f.lineStart = false, true
			if b == '.' {
				return keys, b
			}
			escape = b
			continue
		case f.tilde && b != '~':
			keys = append(keys, '~')
		case f.lineStart && !f.tilde && b == '~':
			f.tilde = true
			continue
		}
		f.tilde, f.lineStart = false, b == '\r' || b == '\n'
		keys = append(keys, b)
	}
	return keys, escape
}
