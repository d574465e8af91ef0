package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func eventsCommand(e *env) *cobra.Command {
	var in api.WatchEvents
	var nouns []string
	var during time.Duration
	c := &cobra.Command{
		Use: "events", Short: "Watch what changes, until interrupted.", Args: takes(0, 0, "no arguments"),
		Example: "  sprout events --site lon1\n  sprout events --noun machine,problem -o json\n  sprout events --since \"$LAST\" --for 10m --jq 'select(.state == \"deployed\") | .name'",
		RunE: func(c *cobra.Command, _ []string) error {
			for _, n := range nouns {
				in.Noun = append(in.Noun, sprout.Noun(n))
			}
			ctx := c.Context()
			if during > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, during)
				defer cancel()
			}
			return e.watchEvents(ctx, in)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Site, "site", "", "only of this site")
	f.StringVar(&in.Machine, "machine", "", "only about this machine")
	f.StringSliceVar(&nouns, "noun", nil, "only of these kinds: site, agent, machine, network, image, workflow, problem, boot, allocation")
	f.StringVar(&in.LastEventID, "since", "", "first what happened since the event with this id")
	f.BoolVar(&in.Resource, "resource", false, "each with its subject as it is now, for -o json")
	f.DurationVar(&during, "for", 0, "end after this time, as 10m")
	return c
}

func (e *env) watchEvents(ctx context.Context, in api.WatchEvents) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	for event, err := range c.Watch(ctx, in) {
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case e.machineReadable():
			if err := e.answerEvent(event); err != nil {
				return err
			}
		default:
			e.showEvent(event)
		}
	}
	return nil
}

// showEvent prints an event as a line; where the stream begins is for programs.
func (e *env) showEvent(event sprout.WatchEvent) {
	at := time.Now()
	if event.At != nil {
		at = *event.At
	}
	words := []string{at.Local().Format("15:04:05")}
	switch event.What {
	case sprout.Opened:
		return
	case sprout.Reset:
		words = append(words, event.Reason)
	default:
		for _, cell := range []struct {
			width int
			text  string
		}{{8, event.SiteName}, {8, string(event.Noun)}, {20, event.Name}, {10, string(event.What)}, {12, event.State}, {0, event.Subject}} {
			words = append(words, runewidth.FillRight(dash(cell.text), cell.width))
		}
	}
	if e.format == "wide" {
		words = append(words, event.ID)
	}
	fmt.Fprintln(e.stdout, strings.TrimRight(strings.Join(words, "  "), " "))
}
