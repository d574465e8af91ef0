package cli

import (
	"context"
	"errors"
	"fmt"

	"sprout"
)

// The exit codes of every command.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitPartly      = 3
	exitUnconfirmed = 4
	exitUnavailable = 5
	exitInterrupted = 130
)

// exitCodes is the table of what each exit code means: help, the reference and
// the tests read it.
var exitCodes = []struct {
	Code  int
	Means string
}{
	{exitDone, "done, or nothing was to be done"},
	{exitFailed, "refused or failed: what is named does not exist, is in the wrong state, or may not be done by this token; a workflow that was waited for failed"},
	{exitUsage, "the command line or its input is wrong: nothing was asked for"},
	{exitPartly, "of several, some were done and some were refused or failed; each is in the output"},
	{exitUnconfirmed, "it destroys something, or is about several selected machines, and was not confirmed: nothing was done; see --plan and --yes"},
	{exitUnavailable, "the control plane cannot be reached or is not ready, or a time limit passed: it may be tried again"},
	{exitInterrupted, "interrupted; what was started goes on"},
}

// An exit is an error with an exit code of its own.
type exit struct {
	code int
	error
}

func (e exit) Unwrap() error { return e.error }

// exitOf returns the exit code of an error.
func exitOf(err error) int {
	var own exit
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.Is(err, errShown):
		return exitFailed
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	kind := sprout.KindOf(err)
	for _, row := range sprout.ErrorKinds {
		if row.Kind == kind {
			return row.Exit
		}
	}
	return exitFailed
}

// fail prints an error the way people can act on and returns the exit code.
func (e *env) fail(err error) int {
	code := exitOf(err)
	switch {
	case errors.Is(err, errShown):
	case code == exitInterrupted:
		fmt.Fprintln(e.stderr, "\nsprout: interrupted")
	default:
		fmt.Fprintf(e.stderr, "%s %v\n", e.paint(e.stderr, red, "sprout:"), err)
		e.tryThis(err)
	}
	return code
}

// tryThis prints the remedy of an error, if it has one.
func (e *env) tryThis(err error) {
	var known *sprout.Error
	if errors.As(err, &known) && known.Remedy != "" {
		fmt.Fprintf(e.stderr, "  try: %s\n", known.Remedy)
	}
}
