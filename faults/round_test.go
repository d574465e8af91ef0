package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/sim"
)

// A subject is one machine, as its operator knows it.
type subject struct {
	name string
	mac  string
	id   sprout.MachineID
	slot *sim.Slot

	image string // digest of what a deployed one holds
}

// A cell is one machine at one place with one fault.
type cell struct {
	place
	fault
	*subject
	workflow sprout.WorkflowID // none of a discovery
	hold     *hold             // nil: the machine itself is held
	presses  int               // of the power button
	outcome  string
	err      error
}

const (
	reachWithin  = 100 * time.Second // for a machine to come to its place; less than a step may take that is held
	settleWithin = 12 * time.Minute  // for a workflow to end; longer than what the product waits for a dead process or a silent ramdisk
	mostRetries  = 3
)

// Line is the cell as it is printed.
func (c *cell) line() string {
	line := fmt.Sprintf("FAULT %s %s %s %s", c.who, c.place, c.how, c.outcome)
	if c.err != nil {
		line += ": " + c.err.Error()
	}
	return line
}

// key tells which machine the cell gets. Those of one fault after another have the
// machine of their place; faults that each happen to one machine come together.
func (c *cell) key() string {
	if c.machine {
		return c.place.String() + " " + c.who + " " + c.how
	}
	return c.place.String()
}

// round breaks one thing while a machine is at each of the places, and sees how
// each of them ends. Bringing them there takes a turn.
func (g *ground) round(cells []*cell, turn *sync.Mutex) {
	f, asked := cells[0].fault, time.Now()
	turn.Lock()
	began := time.Now()
	g.each(cells, g.prepare)
	prepared := time.Now()
	g.each(cells, g.reach)
	turn.Unlock()
	reached := time.Now()
	must(g.t, g.happen(f, cells))
	happened := time.Now()
	g.each(cells, g.settle)
	whole := func(from, to time.Time) time.Duration { return to.Sub(from).Round(time.Second) }
	g.t.Logf("%s %s at %d places: %s for its turn, %s to prepare, %s to be there, %s broken, %s to the end", f.who, f.how, len(cells),
		whole(asked, began), whole(began, prepared), whole(prepared, reached), whole(reached, happened), whole(happened, time.Now()))
}

// each does it with all cells at once; one that fails is not gone on with.
func (g *ground) each(cells []*cell, do func(context.Context, *cell) error) {
	var all sync.WaitGroup
	for _, c := range cells {
		if c.err != nil {
			continue
		}
		all.Go(func() {
			if c.err = do(g.t.Context(), c); c.err != nil && c.outcome == "" {
				c.outcome = "failed"
			}
		})
	}
	all.Wait()
}

// happen breaks it, lets everything that is held go on, and mends it.
func (g *ground) happen(f fault, cells []*cell) error {
	var rushed <-chan struct{}
	if f.rush > 0 {
		rushed = g.gate.after(min(f.rush, (len(cells)+1)/2))
	} else if err := g.breaks(f); err != nil {
		return err
	}
	g.each(cells, func(_ context.Context, c *cell) error {
		if c.fault.each != nil {
			if err := c.fault.each(g, c); err != nil {
				return err
			}
		}
		g.gate.release(pass{string(c.id), c.place})
		if c.after == nil || c.fault.each != nil { // else it is what is stopped
			c.slot.Machine.Release()
		}
		return nil
	})
	if f.rush > 0 {
		select {
		case <-rushed:
		case <-time.After(reachWithin):
			return errors.New("the site does not take so many steps")
		}
		if err := g.breaks(f); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(cells, func(c *cell) bool { return c.lasts }) {
		_ = sprout.Pause(g.t.Context(), g.lasts)
	}
	g.each(cells, func(_ context.Context, c *cell) error {
		if c.after == nil {
			return nil
		}
		return c.after(g, c)
	})
	if f.mends != nil {
		if err := f.mends(g); err != nil {
			return fmt.Errorf("cannot mend %s: %w", f.who, err)
		}
	}
	return nil
}

func (g *ground) breaks(f fault) error {
	if f.breaks == nil {
		return nil
	}
	if err := f.breaks(g); err != nil {
		return fmt.Errorf("cannot %s %s: %w", f.how, f.who, err)
	}
	return nil
}

func (g *ground) awaitSuccess(ctx context.Context, id sprout.WorkflowID) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	w, err := g.awaitEnd(ctx, id)
	if err == nil && w.State != sprout.Succeeded {
		err = fmt.Errorf("%s %s: %w", w.Kind, w.State, w.Error)
	}
	return err
}

// reach begins the cell's workflow, and returns when the machine is there: in the
// middle of the step.
func (g *ground) reach(ctx context.Context, c *cell) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	m, skip := c.slot.Machine, len(c.slot.Machine.Journal())
	f, byMachine := ofMachine(c.place)
	switch {
	case c.before != nil:
		if err := c.before(g, c); err != nil {
			return err
		}
	case byMachine:
		f.Kind, f.Times = sim.Hold, 1
		if err := m.Inject(f); err != nil {
			return err
		}
	default:
		c.hold = g.gate.hold(pass{string(c.id), c.place})
	}
	if err := g.set(ctx, c); err != nil {
		return err
	}
	if c.hold != nil {
		select {
		case <-c.hold.reached:
			return nil
		case <-ctx.Done():
			return errors.New("its workflow does not come to the step")
		}
	}
	_, _, err := m.Await(ctx, skip, func(e sim.Entry) bool { return strings.HasPrefix(e.Detail, "fault: ") })
	if err != nil {
		return errors.New("the machine does not come to the step")
	}
	return nil
}

// set sets the machine off on the cell's workflow.
func (g *ground) set(ctx context.Context, c *cell) (err error) {
	if c.Kind == discover {
		c.presses++
		return c.slot.Machine.PowerOn(ctx, c.slot.BMC.TakeBoot())
	}
	c.workflow, err = g.begin(ctx, c.subject, c.Kind)
	return err
}

func (g *ground) losePower(c *cell) error { return c.slot.Machine.PowerOff(context.Background()) }

func (g *ground) losePowerAndBack(c *cell) error {
	if c.slot.Machine.Power() == sprout.PowerOff {
		return nil // it has none to lose
	}
	if err := g.losePower(c); err != nil {
		return err
	}
	return c.slot.Machine.PowerOn(context.Background(), c.slot.BMC.TakeBoot())
}

// goOn lets a machine go on that was held.
func (g *ground) goOn(c *cell) error {
	c.slot.Machine.Release()
	return nil
}

// pullCable and plugCable take a machine off the network and put it back.
func (g *ground) pullCable(c *cell) error {
	c.slot.Machine.CutOff(true)
	return nil
}

func (g *ground) plugCable(c *cell) error {
	c.slot.Machine.CutOff(false)
	return nil
}

// inject has the machine's ramdisk break when it comes to the place.
func inject(kind sim.FaultKind) func(*ground, *cell) error {
	return func(_ *ground, c *cell) error {
		f, _ := ofMachine(c.place)
		f.Kind, f.Times = kind, 1
		return c.slot.Machine.Inject(f)
	}
}

// settle sees how it ends, as an operator would: what failed by a cause with a
// name is retried.
func (g *ground) settle(ctx context.Context, c *cell) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	if c.Kind == discover {
		return g.settleDiscovery(ctx, c)
	}
	var causes []string
	for range mostRetries + 1 {
		w, err := g.awaitEnd(ctx, c.workflow)
		switch {
		case err != nil:
			c.outcome = "stuck"
			return fmt.Errorf("%s is at %s: %w", w.Kind, activity(w), err)
		case w.State == sprout.Succeeded:
			c.outcome = "finished"
			if len(causes) > 0 {
				c.outcome = "retried " + strings.Join(causes, ",")
			}
			return nil
		case !named(w.Error):
			return fmt.Errorf("%s %s without a cause that has a name: %w (%s)", w.Kind, w.State, w.Error, evidenceOf(w.Error))
		}
		causes = append(causes, string(w.Error.Code))
		_, err = ask(ctx, g, api.WorkflowRetry, api.WorkflowRef{Workflow: string(c.workflow)})
		if err != nil && sprout.KindOf(err) != sprout.Conflict { // it was retried, and the answer got lost
			return err
		}
	}
	return fmt.Errorf("it fails however often it is retried: %v", causes)
}

// named tells whether a failure says what went wrong. Nobody cancels here, nor
// starts another version: those would be defects. That time ran out is no cause;
// what was waited for meanwhile is, or what the step itself complained of.
func named(f *sprout.Failure) bool {
	if f == nil || slices.Contains([]sprout.Code{"", sprout.InternalFailure, sprout.UnknownStep, sprout.CancelledByUser}, f.Code) {
		return false
	}
	return f.Code != sprout.StepTimeout || strings.Contains(f.Reason, "it waited for ") || f.Evidence != ""
}

func evidenceOf(f *sprout.Failure) string {
	if f == nil {
		return "no evidence"
	}
	return f.Evidence
}

// activity is where a workflow is, for people.
func activity(w sprout.Workflow) string {
	if len(w.Steps) == 0 {
		return "its beginning"
	}
	last := w.Steps[len(w.Steps)-1]
	return fmt.Sprintf("%s of %s (%s)", last.Name, last.At, last.Outcome)
}

// resetAfter is how long somebody looks at a machine that does not get discovered
// before they reset it.
const resetAfter = 30 * time.Second

// settleDiscovery waits until the machine is known with its inventory; one that
// is off or hangs is started by its button.
func (g *ground) settleDiscovery(ctx context.Context, c *cell) error {
	since := time.Now()
	for {
		machines, err := ask(ctx, g, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{State: []sprout.State{sprout.Discovered}}})
		if err != nil {
			return err
		}
		for _, m := range machines.Items {
			if len(m.Interfaces) > 0 && m.Interfaces[0].MAC == c.mac {
				c.id, c.outcome = m.ID, "finished"
				if c.presses > 1 {
					c.outcome = "retried by its power button"
				}
				return g.discovered(ctx, c)
			}
		}
		if c.slot.Machine.Power() == sprout.PowerOff || time.Since(since) > resetAfter {
			_ = g.losePower(c) // never fails
			if err := g.set(ctx, c); err != nil {
				return err
			}
			since = time.Now()
		}
		if sprout.Pause(ctx, time.Second) != nil {
			c.outcome = "stuck"
			return fmt.Errorf("it is not discovered: %w", ctx.Err())
		}
	}
}

// discovered checks the machine that was found, and forgets it: its name may be
// given again, and lists stay short.
func (g *ground) discovered(ctx context.Context, c *cell) error {
	m, err := ask(ctx, g, api.MachineShow, api.MachineRef{Machine: string(c.id)})
	if err != nil {
		return err
	}
	if m.Inventory == nil || len(m.Inventory.Disks) != 1 {
		return fmt.Errorf("it was discovered without its inventory: %+v", m.Inventory)
	}
	return g.losePower(c)
}

// awaitEnd waits until the workflow has ended. On an error the workflow is as it
// was seen last.
func (g *ground) awaitEnd(ctx context.Context, id sprout.WorkflowID) (last sprout.Workflow, err error) {
	for {
		shown, err := ask(ctx, g, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: string(id)}})
		if err == nil {
			last = shown.Workflow
			g.count(last)
			if last.State.Ended() {
				return last, nil
			}
		}
		if sprout.Pause(ctx, 500*time.Millisecond) != nil {
			return last, errors.Join(ctx.Err(), err)
		}
	}
}

// count remembers a workflow that has succeeded.
func (g *ground) count(w sprout.Workflow) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.State == sprout.Succeeded {
		if g.succeeded[w.Kind] == nil {
			g.succeeded[w.Kind] = map[sprout.WorkflowID]bool{}
		}
		g.succeeded[w.Kind][w.ID] = true
	}
}

// ask asks the API until there is an answer: a server may be away just now.
func ask[In, Out any](ctx context.Context, g *ground, op api.Op[In, Out], in In) (out Out, err error) {
	for until := time.Now().Add(3 * time.Minute); ; {
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		out, err = client.Call(one, g.client, op, in)
		cancel()
		kind := sprout.KindOf(err)
		answered := err == nil || slices.Contains([]sprout.Kind{sprout.Invalid, sprout.NotFound, sprout.Conflict, sprout.Denied}, kind)
		if answered || ctx.Err() != nil || time.Now().After(until) || sprout.Pause(ctx, 300*time.Millisecond) != nil {
			return out, err
		}
	}
}

// addressOf reads the address that a machine's journal says it had at a step.
func addressOf(e sim.Entry) (netip.Addr, bool) {
	_, text, ok := strings.Cut(" "+e.Detail, " from ")
	ip, err := netip.ParseAddr(text)
	return ip, ok && err == nil
}
