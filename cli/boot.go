package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func bootCommand(e *env) *cobra.Command {
	return group("boot", "What each boot of a machine was seen to do: the flight recorder.", bootListCommand(e), bootShowCommand(e))
}

func bootListCommand(e *env) *cobra.Command {
	var in api.ListOfMachine
	return listOf(e, api.BootList, &in, listing[sprout.BootAttempt]{
		Example: "  sprout boot list web-01", None: "no boot of it was seen yet",
		Columns: []column[sprout.BootAttempt]{
			{Name: "ATTEMPT", Value: func(a sprout.BootAttempt) string { return string(a.ID) }},
			{Name: "STARTED", Value: func(a sprout.BootAttempt) string { return moment(a.StartedAt) }},
			{Name: "LASTED", Value: func(a sprout.BootAttempt) string { return duration(a.LastAt.Sub(a.StartedAt)) }},
			{Name: "SEEN", Value: func(a sprout.BootAttempt) string { return fmt.Sprint(a.Seen) }},
			{Name: "LAST", Value: func(a sprout.BootAttempt) string { return a.Last }},
			{Name: "MAC", Value: func(a sprout.BootAttempt) string { return a.MAC }, Wide: true},
		},
	}, "list MACHINE", 1, "the name of a machine", func(args []string) { in.Machine = args[0] })
}

func bootShowCommand(e *env) *cobra.Command {
	var attempt string
	c := &cobra.Command{
		Use: "show MACHINE", Short: api.BootShow.Help, Args: takes(1, 1, "the name of a machine"),
		Example: "  sprout boot show web-01\n  sprout boot show web-01 --attempt att_01 -o json",
		RunE: func(c *cobra.Command, args []string) error {
			boot, err := call(c.Context(), e, api.BootShow, api.BootRef{MachineRef: machineRef(args[0]), Attempt: attempt})
			if err != nil {
				return err
			}
			return e.answer(boot, func() { e.showBoot(boot) })
		},
	}
	c.Flags().StringVar(&attempt, "attempt", api.LatestBoot, "which boot: an id, its unique beginning, or latest")
	return c
}

func (e *env) showBoot(boot sprout.BootAttempt) {
	kept := ""
	if boot.Seen > len(boot.Events) {
		kept = fmt.Sprintf("%d, of which the newest %d are kept", boot.Seen, len(boot.Events))
	}
	writeLines(e.stdout, []line{
		{"Attempt", string(boot.ID)}, {"MAC", boot.MAC}, {"Started", moment(boot.StartedAt)},
		{"Lasted", duration(boot.LastAt.Sub(boot.StartedAt))}, {"Seen", kept},
	})
	fmt.Fprintln(e.stdout)
	e.showEvents(boot.Events, boot.StartedAt)
}

// showEvents prints a timeline; times are those since begin.
func (e *env) showEvents(events []sprout.BootEvent, begin time.Time) {
	writeTable(e, events, []column[sprout.BootEvent]{
		{Name: "AFTER", Value: func(b sprout.BootEvent) string { return fmt.Sprintf("%8.1fs", b.At.Sub(begin).Seconds()) }},
		{Name: "WHAT", Value: func(b sprout.BootEvent) string { return b.What }},
		{Name: "BYTES", Value: bootBytes},
		{Name: "SPEED", Value: bootSpeed},
		{Name: "DETAIL", Value: bootDetail},
		{Name: "WHO", Value: func(b sprout.BootEvent) string { return b.Client }, Wide: true},
		{Name: "MAC", Value: func(b sprout.BootEvent) string { return b.MAC }, Wide: true},
		{Name: "AT", Value: func(b sprout.BootEvent) string { return moment(b.At) }, Wide: true},
	})
}

func bootBytes(b sprout.BootEvent) string {
	if b.Bytes == 0 {
		return ""
	}
	return size(b.Bytes)
}

// bootSpeed is megabytes a second, where there were enough to tell.
func bootSpeed(b sprout.BootEvent) string {
	if b.Bytes < 1000 || b.Seconds <= 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MB/s", float64(b.Bytes)/b.Seconds/1e6)
}

func bootDetail(b sprout.BootEvent) string {
	detail := b.Detail
	if strings.HasPrefix(b.What, "http-") && b.File != "" && !strings.Contains(b.What, b.File) {
		detail = b.File + ", " + detail
	}
	if b.Count > 1 {
		detail += fmt.Sprintf(" (%d times)", b.Count)
	}
	return detail
}
