package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

// A machineAction is a command that does one thing to machines: to those that
// are named, or to those that flags select. Several go in one request.
type machineAction struct {
	*env
	in       api.BulkMachines
	selector api.MachineSelector
	plan     bool
	yes      bool
	wait     bool
	asks     bool // what it does may destroy: it is planned and confirmed before
	started  bool // it starts a workflow
	// one does it to a single machine that was named, by the operation for that,
	// and answers; a workflow that it starts is returned in its place.
	one func(ctx context.Context, ref string) (*sprout.Workflow, error)
}

const machinesOrSelection = "the names of machines, or flags that select them"

// add gives the command the flags that select, plan and wait.
func (a *machineAction) add(c *cobra.Command) {
	f := c.Flags()
	addMatch(c, &a.selector.MachineMatch) // of update some are what is to be set
	f.BoolVar(&a.selector.All, "all", false, "every machine there is")
	f.BoolVar(&a.plan, "plan", false, "say for each machine what would happen and what it costs, and do nothing")
	addYes(c, &a.yes)
	if a.started {
		f.BoolVar(&a.wait, "wait", false, "show each step until it has ended")
	}
}

// run does it, once it is known to which machines and, where that is asked for,
// after it was confirmed.
func (a *machineAction) run(c *cobra.Command, args []string) error {
	selects := !reflect.ValueOf(a.selector).IsZero()
	switch {
	case selects && len(args) > 0:
		return usage(c, "%s takes names of machines or flags that select them, not both", c.CommandPath())
	case !selects && len(args) == 0:
		return usage(c, "%s needs %s", c.CommandPath(), machinesOrSelection)
	}
	a.in.Body.Machines = args
	if selects {
		a.in.Body.Select = &a.selector
	}
	if a.plan {
		return a.showOnly(c.Context())
	}
	if !a.yes && (a.asks || selects) {
		if err := a.planned(c.Context(), selects); err != nil || len(a.in.Body.Machines) == 0 {
			return err
		}
	}
	if len(args) == 1 {
		return a.single(c.Context(), args[0])
	}
	return a.many(c.Context())
}

// single does it to one machine that was named.
func (a *machineAction) single(ctx context.Context, ref string) error {
	w, err := a.one(ctx, ref)
	switch {
	case err != nil || w == nil:
		return err
	case a.wait:
		return a.env.wait(ctx, []sprout.Workflow{*w})
	}
	return a.say(w, "%s", startedWords(*w))
}

// ask sends the request, as a plan or to be done.
func (a *machineAction) ask(ctx context.Context, plan bool) (api.BulkResult, error) {
	in := a.in
	in.Body.Plan = plan
	result, err := call(ctx, a.env, api.MachineBulk, in)
	var known *sprout.Error
	if errors.As(err, &known) { // "deploy.image" is the field "image" of the command
		known.Field = strings.TrimPrefix(strings.TrimPrefix(known.Field, a.in.Body.Action+"."), "select.")
	}
	return result, err
}

func (a *machineAction) showOnly(ctx context.Context) error {
	r, err := a.ask(ctx, true)
	if err != nil {
		return err
	}
	if err := a.answer(r, func() { a.showPlan(a.stdout, r, len(r.Items)) }); err != nil {
		return err
	}
	return a.judge(r)
}

// planned shows what is going to happen, and has it confirmed where it destroys
// or was not named machine by machine. What is done then is done to exactly the
// machines that were shown: they are named from here on.
func (a *machineAction) planned(ctx context.Context, selects bool) error {
	r, err := a.ask(ctx, true)
	if err != nil {
		return err
	}
	var able []string
	for _, item := range r.Items {
		if item.Outcome == api.BulkPlanned {
			able = append(able, string(item.Machine))
		}
	}
	switch {
	case len(r.Items) == 1 && len(able) == 0:
		return r.Items[0].Fault.Err()
	case len(able) == 0:
		a.in.Body.Machines, a.in.Body.Select = nil, nil
		return a.report(r)
	case r.Cost.Destructive == 0 && (!selects || len(able) == 1):
	default:
		a.showPlan(a.stderr, r, mostShown)
		if err := a.confirm(ctx, len(able), a.whatItDoes(r)); err != nil {
			return err
		}
	}
	if selects {
		a.in.Body.Machines, a.in.Body.Select = able, nil
	}
	return nil
}

// does says of each action what it does.
var does = map[string]string{
	"accept": "accepts", "commission": "commissions", "deploy": "deploys", "release": "releases", "mark-broken": "sets aside as broken",
	"mark-fixed": "takes back as fixed", "retire": "takes out of service for good", "lock": "locks", "unlock": "unlocks", "update": "changes", "delete": "deletes",
}

// whatItDoes is said before a person confirms it.
func (a *machineAction) whatItDoes(r api.BulkResult) string {
	verb := does[a.in.Body.Action]
	if r.Cost.Destructive == 0 {
		return verb + " " + machines(r.Cost.Machines)
	}
	what := "what cannot be had again"
	if c := r.Cost; c.Disks > 0 {
		what = fmt.Sprintf("what is on %d disks (%s)", c.Disks, size(c.Bytes))
		if c.Disks == 1 {
			what = fmt.Sprintf("what is on 1 disk (%s)", size(c.Bytes))
		}
	}
	return fmt.Sprintf("%s %s and destroys %s", verb, machines(r.Cost.Machines), what)
}

func machines(n int) string {
	if n == 1 {
		return "1 machine"
	}
	return fmt.Sprintf("%d machines", n)
}

// many does it in one request, and says what came of each.
func (a *machineAction) many(ctx context.Context) error {
	r, err := a.ask(ctx, false)
	if err != nil {
		return err
	}
	if !a.wait {
		return a.report(r)
	}
	var running []sprout.Workflow
	at := map[sprout.WorkflowID]int{}
	for i, item := range r.Items {
		if item.Workflow != nil {
			running, at[item.Workflow.ID] = append(running, *item.Workflow), i
		} else if !a.machineReadable() {
			fmt.Fprintf(a.stderr, "%s %s: %s\n", a.paint(a.stderr, red, "sprout:"), item.Name, detailOf(item))
		}
	}
	if len(running) == 0 {
		return a.judge(r)
	}
	ended, err := a.watchAll(ctx, running)
	if err != nil {
		return err
	}
	for _, w := range ended {
		r.Items[at[w.ID]].Workflow = &w
	}
	if a.machineReadable() {
		err = a.answer(r, nil)
	} else {
		_ = a.conclude(ctx, ended) // judge says the same of them
	}
	return cmp.Or(err, a.judge(r))
}

// report prints what came of each machine.
func (a *machineAction) report(r api.BulkResult) error {
	if len(r.Items) == 0 && !a.machineReadable() {
		fmt.Fprintln(a.stderr, "no machine is selected: nothing was done")
		return nil
	}
	err := a.answer(r, func() {
		writeTable(a.env, r.Items, []column[api.BulkItem]{
			{Name: "MACHINE", Value: func(i api.BulkItem) string { return i.Name }},
			{Name: "SITE", Value: func(i api.BulkItem) string { return i.Site }},
			{Name: "OUTCOME", Value: func(i api.BulkItem) string { return i.Outcome }},
			{Name: "DETAIL", Value: detailOf, Whole: true},
			{Name: "ID", Value: func(i api.BulkItem) string { return string(i.Machine) }, Wide: true},
		})
	})
	return cmp.Or(err, a.judge(r))
}

func detailOf(i api.BulkItem) string {
	switch {
	case i.Fault != nil:
		return i.Fault.Err().Error()
	case i.Workflow != nil:
		return i.Workflow.Kind + " " + string(i.Workflow.ID)
	}
	return string(i.State)
}

// judge makes the exit code of a result, and says how many were refused and what
// helps the first of them.
func (a *machineAction) judge(r api.BulkResult) error {
	failed := 0
	for _, i := range r.Items {
		if w := i.Workflow; w != nil && (w.State == sprout.FailedRun || w.State == sprout.Cancelled) {
			failed++
		}
	}
	if r.Refused+failed == 0 {
		return nil
	}
	code := exitPartly
	if r.Refused+failed == len(r.Items) {
		code = exitFailed
	}
	if r.Refused == 0 {
		return exit{code, errShown}
	}
	fmt.Fprintf(a.stderr, "%s %d of %s refused\n", a.paint(a.stderr, red, "sprout:"), r.Refused, suffixed(len(r.Items), "machines were", "machine was"))
	for _, i := range r.Items {
		if i.Fault != nil && i.Fault.Remedy != "" {
			a.tryThis(i.Fault.Err())
			break
		}
	}
	return exit{code, errShown}
}

func suffixed(n int, many, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
