package client

import (
	"context"
	"iter"
	"reflect"
	"time"

	"sprout"
	"sprout/api"
)

// Console opens a machine's serial console and yields what it says until ctx ends.
// The first event is ConsoleOpened and the last ConsoleEnds, unless the connection
// breaks: that is an Unavailable error. Nothing is tried again: what the console
// said meanwhile nobody has.
func (c *Client) Console(ctx context.Context, in api.OpenConsole) iter.Seq2[sprout.ConsoleEvent, error] {
	return func(yield func(sprout.ConsoleEvent, error) bool) {
		within, cancel := context.WithCancel(ctx)
		defer cancel()
		request, err := newRequest(within, c, api.MachineConsole.Spec(), reflect.ValueOf(in))
		if err != nil {
			yield(sprout.ConsoleEvent{}, err)
			return
		}
		request.Header.Set("Accept", "text/event-stream")
		answer, err := c.do(request)
		if err != nil {
			yield(sprout.ConsoleEvent{}, err)
			return
		}
		defer answer.Body.Close() // cut off: there is no end to read to
		quiet := time.AfterFunc(silence, cancel)
		defer quiet.Stop()
		events := newEventReader(answer.Body, func() { quiet.Reset(silence) })
		for {
			var e sprout.ConsoleEvent
			if _, err := events.next(&e); err != nil {
				yield(e, sprout.Errorf(sprout.Unavailable, "cannot go on with the console of %s: the connection to the control plane at %s broke", in.Machine, c.base))
				return
			}
			if !yield(e, nil) || e.What == sprout.ConsoleEnds {
				return
			}
		}
	}
}
