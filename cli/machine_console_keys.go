package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"sprout"
	"sprout/api"
	"sprout/client"
)

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
