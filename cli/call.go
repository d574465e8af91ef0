package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// call carries out an operation on the connected server.
func call[In, Out any](ctx context.Context, e *env, op api.Op[In, Out], in In) (Out, error) {
	c, err := e.client()
	if err != nil {
		var none Out
		return none, err
	}
	return client.Call(ctx, c, op, in)
}

// say prints one line for people; programs get the thing itself.
func (e *env) say(thing any, format string, args ...any) error {
	return e.answer(thing, func() { fmt.Fprintf(e.stdout, format+"\n", args...) })
}

// A result is what came of one thing: for programs, and in words for people.
type result struct {
	thing any
	words string
}

// each runs do for every argument, and goes on after a failure; failures are
// printed as they happen. Programs get what came of one argument as it is, and
// of several as a list. If some fail and some do not, that is an exit code of
// its own.
func (e *env) each(args []string, do func(arg string) (result, error)) error {
	var failed error
	all := []any{}
	for _, arg := range args {
		d, err := do(arg)
		if err != nil {
			failed = cmp.Or(failed, err)
			if len(args) > 1 {
				fmt.Fprintf(e.stderr, "%s %s: %v\n", e.paint(e.stderr, red, "sprout:"), arg, err)
				e.tryThis(err)
			}
			continue
		}
		all = append(all, d.thing)
		if !e.machineReadable() {
			fmt.Fprintln(e.stdout, d.words)
		}
	}
	switch {
	case len(args) == 1 && failed != nil:
		return failed
	case e.machineReadable() && len(args) == 1:
		return e.answer(all[0], nil)
	case e.machineReadable():
		if err := e.answer(all, nil); err != nil {
			return err
		}
	}
	return e.some(len(args), len(all), failed)
}

// some is the error of several things of which so many came to their end; it
// has been shown.
func (e *env) some(of, good int, failed error) error {
	switch {
	case failed == nil:
		return nil
	case good == 0:
		return exit{exitOf(failed), errShown}
	}
	fmt.Fprintf(e.stderr, "%s %d of %d failed\n", e.paint(e.stderr, red, "sprout:"), of-good, of)
	return exit{exitPartly, errShown}
}

// A gone is the answer for programs where something is no more.
type gone struct {
	Name    string `json:"name"`
	Deleted bool   `json:"deleted,omitempty"`
	Revoked bool   `json:"revoked,omitempty"`

	Cancelled bool `json:"cancelled,omitempty"`
}

// units are the suffixes of sizes; a bare letter is decimal as disks are sold,
// with an i it is binary.
var units = []struct {
	suffix string
	bytes  int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3},
	{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20},
	{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"B", 1}, {"", 1},
}

// parseSize reads a size such as 16GiB or 500GB.
func parseSize(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || value < 0 {
			break
		}
		return int64(value * float64(u.bytes)), nil
	}
	return 0, sprout.InvalidField(flag, "%q is no size such as 16GiB or 500GB", text)
}

// size writes bytes for people, as disks are sold (decimal).
func size(n int64) string {
	for _, u := range units {
		if u.bytes >= 1e3 && u.bytes%1000 == 0 && n >= u.bytes && len(u.suffix) == 2 {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.bytes), u.suffix)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// memory writes bytes as memory is sold (binary).
func memory(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30))
}

// parseExpiry reads a duration with days: 90d, 12h.
func parseExpiry(flag, text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 {
			return n * 86400, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		return 0, sprout.InvalidField(flag, "%q is no time such as 90d, 12h or 30m", text)
	}
	return int(d / time.Second), nil
}

// ago writes how long ago t was.
func ago(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return duration(time.Since(*t)) + " ago"
}

// duration writes d with one unit.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
