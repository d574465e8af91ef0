package cli

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
)

// addYes adds the flag of a command that asks before it does something.
func addYes(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "do not ask before what cannot be taken back")
}

// confirm asks a person to go on with what cannot be taken back: by the word
// yes, or by typing how many things it is about. Where nobody can be asked it is
// refused.
func (e *env) confirm(ctx context.Context, count int, what string) error {
	if !e.interactive() {
		return exit{exitUnconfirmed, sprout.Errorf(sprout.Conflict, "%s and was not confirmed: nothing was done", what).
			WithRemedy("--yes to do it, --plan to see first what it does")}
	}
	word := "yes"
	if count > 1 {
		word = strconv.Itoa(count)
	}
	fmt.Fprintf(e.stderr, "\n%s %s. Type %s to go on: ", e.paint(e.stderr, yellow, "This"), what, word)
	said := make(chan string, 1)
	go func() { // ends with the process at the latest: a read of a terminal cannot be ended
		line, _ := bufio.NewReader(e.stdin).ReadString('\n')
		said <- line
	}()
	select {
	case line := <-said:
		if isYes(line, count) {
			return nil
		}
		return exit{exitUnconfirmed, sprout.Errorf(sprout.Conflict, "nothing was done")}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isYes tells whether an answer means to go on. A mere "y" is typed too easily.
func isYes(answer string, count int) bool {
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "yes" || count > 1 && answer == strconv.Itoa(count)
}
