package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/alloc"
	"sprout/api"
)

func allocationCommand(e *env) *cobra.Command {
	return group("allocation", "Machines that are given together: all or none, for a time, or waited for.",
		allocationCreateCommand(e), allocationListCommand(e), allocationShowCommand(e), allocationWaitCommand(e), allocationExtendCommand(e), allocationCancelCommand(e))
}

func allocationRef(ref string) api.AllocationRef { return api.AllocationRef{Allocation: ref} }

func allocationCreateCommand(e *env) *cobra.Command {
	var in api.CreateAllocation
	var words constraintWords
	var during string
	var wait bool
	c := &cobra.Command{
		Use: "create", Short: api.AllocationCreate.Help, Args: takes(0, 0, "no arguments: machines are described by flags"),
		Long: "Choose ready machines that meet constraints, and give them to an owner: as many as --count says, or none. Where there are too few\n" +
			"it says how many machines each constraint removed; with --queue it waits for them, and is served when its turn comes. With --for\n" +
			"they are reserved: those that are not deployed when it is over go back. For one machine at once: sprout machine allocate.",
		Example: "  sprout allocation create --count 3 --spread zone --cores 16 --owner shop\n" +
			"  sprout allocation create --count 8 --tag gpu --for 4h\n" +
			"  sprout allocation create --count 2 --pool web --queue --wait",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := words.read(&in.Body.Constraints); err != nil {
				return err
			}
			seconds, err := reservedFor(during)
			if err != nil {
				return err
			}
			if wait && !in.Body.Queue {
				return usage(c, "--wait is for --queue: without it all is given at once, or nothing")
			}
			in.Body.For = seconds
			a, err := call(c.Context(), e, api.AllocationCreate, in)
			if err != nil {
				return err
			}
			if wait {
				return e.waitAllocation(c.Context(), a)
			}
			return e.answer(a, func() { e.sayAllocation(a) })
		},
	}
	words.add(c, &in.Body.Constraints)
	f := c.Flags()
	f.IntVar(&in.Body.Count, "count", 1, "how many machines: all of them, or none")
	f.StringVar(&in.Body.Spread, "spread", "", "zone: evenly over failure zones")
	f.StringVar(&in.Body.Owner, "owner", "", "whom they are for (default the token's name)")
	f.StringVar(&during, "for", "", "how long they are reserved, as 4h or 7d (default no end)")
	f.BoolVar(&in.Body.Queue, "queue", false, "wait for machines where there are too few now")
	f.BoolVar(&wait, "wait", false, "with --queue: return once they are given")
	return c
}

// reservedFor reads how many seconds --for says; "" and never are 0: no end.
func reservedFor(text string) (int64, error) {
	if text == "" || text == "never" {
		return 0, nil
	}
	seconds, err := parseExpiry("--for", text)
	return int64(seconds), err
}

// sayAllocation says in a line or two what has become of an allocation.
func (e *env) sayAllocation(a api.AllocationReport) {
	switch a.State {
	case sprout.AllocationQueued:
		fmt.Fprintf(e.stdout, "%s waits, place %d: %s\n", a.ID, a.Place, a.Wait.Why)
		writeLines(e.stdout, []line{{"  watch it", "sprout allocation wait " + string(a.ID)}, {"  give up", "sprout allocation cancel " + string(a.ID)}})
	case sprout.AllocationGiven:
		until := ""
		if a.ExpiresAt != nil {
			until = ", until " + moment(*a.ExpiresAt)
		}
		fmt.Fprintf(e.stdout, "%s: %s to %s%s: %s\n", a.ID, machines(len(a.Machines)), a.Owner, until, strings.Join(allocated(a.Machines), ", "))
	case sprout.AllocationOver, sprout.AllocationExpired, sprout.AllocationCancelled:
		fmt.Fprintf(e.stdout, "%s is %s\n", a.ID, a.State)
	}
}

func allocated(list []sprout.AllocatedMachine) (names []string) {
	for _, m := range list {
		names = append(names, m.SiteName+"/"+m.Name)
	}
	return names
}

func allocationListCommand(e *env) *cobra.Command {
	var in api.ListAllocations
	c := listCommand(e, api.AllocationList, &in, listing[sprout.Allocation]{
		Example: "  sprout allocation list --state queued,given\n  sprout allocation list --owner shop --watch", None: "nothing is allocated together", Grows: true,
		Watch: &watching[sprout.Allocation]{
			In: func() api.WatchEvents { return api.WatchEvents{Noun: []sprout.Noun{sprout.NounAllocation}} },
			ID: func(a sprout.Allocation) string { return string(a.ID) },
			Keep: func(a sprout.Allocation) bool {
				return (in.Owner == "" || a.Owner == in.Owner) && (len(in.State) == 0 || slices.Contains(in.State, a.State))
			},
		},
		Columns: []column[sprout.Allocation]{
			{Name: "ID", Value: func(a sprout.Allocation) string { return string(a.ID) }},
			{Name: "STATE", Value: stateOfAllocation},
			{Name: "OWNER", Value: func(a sprout.Allocation) string { return a.Owner }},
			{Name: "COUNT", Value: func(a sprout.Allocation) string { return strconv.Itoa(a.Count) }},
			{Name: "SPREAD", Value: func(a sprout.Allocation) string { return a.Spread }},
			{Name: "EXPIRES", Value: func(a sprout.Allocation) string { return expires(a) }},
			{Name: "MACHINES", Value: func(a sprout.Allocation) string { return strings.Join(allocated(a.Machines), ", ") }},
			{Name: "ASKED BY", Value: func(a sprout.Allocation) string { return a.AskedBy }, Wide: true},
			{Name: "CREATED", Value: func(a sprout.Allocation) string { return moment(a.CreatedAt) }, Wide: true},
		},
	})
	c.Flags().StringVar(&in.Owner, "owner", "", "only of this owner")
	c.Flags().Var(&wordsOf[sprout.AllocationState]{&in.State}, "state", "only in one of these states: queued, given, over, expired, cancelled")
	return c
}

func stateOfAllocation(a sprout.Allocation) string {
	if a.Place > 0 {
		return fmt.Sprintf("%s, place %d", a.State, a.Place)
	}
	return string(a.State)
}

// expires says when a reservation ends, or how long it will last.
func expires(a sprout.Allocation) string {
	switch {
	case a.State == sprout.AllocationGiven && a.ExpiresAt != nil:
		return "in " + duration(time.Until(*a.ExpiresAt))
	case a.State == sprout.AllocationQueued && a.Seconds > 0:
		return brief(time.Duration(a.Seconds)*time.Second) + " after it is given"
	}
	return ""
}

func allocationShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show ALLOCATION", Short: api.AllocationShow.Help, Args: takes(1, 1, "the id of an allocation, or its beginning"), Example: "  sprout allocation show alc_06fx3m",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := call(c.Context(), e, api.AllocationShow, allocationRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(a, func() { e.showAllocation(a) })
		},
	}
}

func (e *env) showAllocation(a api.AllocationReport) {
	asked, _ := json.Marshal(a.Constraints) // text and numbers always encode
	lines := []line{
		{"Id", string(a.ID)}, {"State", stateOfAllocation(a.Allocation)}, {"Owner", a.Owner}, {"Machines", strconv.Itoa(a.Count)}, {"Spread", a.Spread},
		{"Constraints", strings.Trim(string(asked), "{}")}, {"Asked", moment(a.CreatedAt) + " by " + a.AskedBy}, {"Expires", expires(a.Allocation)},
	}
	if a.Wait == nil {
		writeLines(e.stdout, lines)
		if len(a.Machines) > 0 {
			fmt.Fprintln(e.stdout)
			writeTable(e, a.Machines, []column[sprout.AllocatedMachine]{
				{Name: "MACHINE", Value: func(m sprout.AllocatedMachine) string { return m.Name }},
				{Name: "SITE", Value: func(m sprout.AllocatedMachine) string { return m.SiteName }},
				{Name: "ZONE", Value: func(m sprout.AllocatedMachine) string { return m.Zone }},
				{Name: "STATE", Value: func(m sprout.AllocatedMachine) string {
					if m.LeftAt != nil {
						return "left " + ago(m.LeftAt)
					}
					return string(m.State)
				}},
			})
		}
		return
	}
	writeLines(e.stdout, append(lines, line{"Waits", a.Wait.Why}))
	if len(a.Wait.Removed) > 0 {
		fmt.Fprintln(e.stdout)
		writeTable(e, a.Wait.Removed, []column[alloc.Removal]{
			{Name: "CONSTRAINT", Value: func(r alloc.Removal) string { return r.Constraint }},
			{Name: "REMOVED", Value: func(r alloc.Removal) string { return strconv.Itoa(r.Removed) }},
			{Name: "NEAREST", Value: func(r alloc.Removal) string { return strings.Join(r.Nearest, ", ") }},
		})
	}
}

func allocationWaitCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "wait ALLOCATION", Short: "Return once an allocation that waits is given, and show its place until then.", Args: takes(1, 1, "the id of an allocation, or its beginning"),
		Example: "  sprout allocation wait alc_06fx3m",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := call(c.Context(), e, api.AllocationShow, allocationRef(args[0]))
			if err != nil {
				return err
			}
			return e.waitAllocation(c.Context(), a)
		},
	}
}

// lookAgain is how often an allocation that waits is looked at without news: why it
// waits changes without any.
const lookAgain = 15 * time.Second

// waitAllocation follows an allocation until it no longer waits, and says what has
// changed of why it does. When ctx ends it waits on.
func (e *env) waitAllocation(ctx context.Context, a api.AllocationReport) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	news := make(chan error, 1)
	go func() {
		for _, err := range c.Watch(watching, api.WatchEvents{Noun: []sprout.Noun{sprout.NounAllocation}}) {
			select {
			case news <- err:
			case <-watching.Done():
				return
			}
		}
	}()
	said := ""
	for a.State == sprout.AllocationQueued {
		if now := fmt.Sprintf("waiting, place %d: %s", a.Place, a.Wait.Why); now != said {
			fmt.Fprintln(e.stderr, now)
			said = now
		}
		again := time.NewTimer(lookAgain)
		select {
		case err = <-news:
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
		if ctx.Err() != nil {
			fmt.Fprintf(e.stderr, "\nYou stopped watching; it waits on: sprout allocation wait %s\n", a.ID)
			return exit{exitInterrupted, errShown}
		}
		if err != nil {
			return err
		}
		now, err := call(ctx, e, api.AllocationShow, allocationRef(string(a.ID)))
		if sprout.KindOf(err) == sprout.Unavailable {
			continue // the control plane comes back
		}
		if err != nil {
			return err
		}
		a = now
	}
	if err := e.answer(a, func() { e.sayAllocation(a) }); err != nil || a.State != sprout.AllocationCancelled {
		return err
	}
	return exit{exitFailed, errShown}
}

func allocationExtendCommand(e *env) *cobra.Command {
	var in api.ExtendAllocation
	var during string
	c := &cobra.Command{
		Use: "extend ALLOCATION", Short: api.AllocationExtend.Help, Args: takes(1, 1, "the id of an allocation, or its beginning"),
		Example: "  sprout allocation extend alc_06fx3m --for 4h\n  sprout allocation extend alc_06fx3m --for never",
		RunE: func(c *cobra.Command, args []string) error {
			if during == "" {
				return usage(c, "%s needs --for, as 4h, or never", c.CommandPath())
			}
			var err error
			if in.Body.For, err = reservedFor(during); err != nil {
				return err
			}
			in.Allocation = args[0]
			a, err := call(c.Context(), e, api.AllocationExtend, in)
			if err != nil {
				return err
			}
			return e.say(a, "%s expires %s", a.ID, cmp.Or(expires(a.Allocation), "never"))
		},
	}
	c.Flags().StringVar(&during, "for", "", "how long from now, as 4h; never: no end")
	return c
}

func allocationCancelCommand(e *env) *cobra.Command {
	return ending{
		noun: "allocation", verb: "cancel", past: "cancelled", help: api.AllocationCancel.Help, example: "alc_06fx3m",
		plan: func(ctx context.Context, ref string) (loss, error) {
			a, err := call(ctx, e, api.AllocationShow, allocationRef(ref))
			if err != nil {
				return loss{}, err
			}
			l := loss{ID: string(a.ID), Name: fmt.Sprintf("%s for %s", machines(a.Count), a.Owner)}
			if a.State == sprout.AllocationQueued {
				l.Destroys = []string{fmt.Sprintf("its place in the queue: %d", a.Place)}
			}
			for _, m := range a.Machines {
				switch {
				case m.LeftAt != nil:
				case m.State == sprout.Allocated:
					l.Destroys = append(l.Destroys, "the reservation of "+m.Name)
				default:
					l.UsedBy = append(l.UsedBy, fmt.Sprintf("%s is %s, and stays: sprout machine release %s", m.Name, m.State, m.Name))
				}
			}
			return l, nil
		},
		end: func(ctx context.Context, ref string) error {
			_, err := call(ctx, e, api.AllocationCancel, allocationRef(ref))
			return err
		},
		gone: func(name string) gone { return gone{Name: name, Cancelled: true} },
	}.command(e)
}
