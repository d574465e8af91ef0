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
	"sprout/provision"
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
		c.slot.Machine.Release()
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
	if f.lasts {
		_ = sprout.Pause(g.t.Context(), g.lasts)
	}
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

// plug racks a machine that nobody knows.
func (g *ground) plug() (*subject, error) {
	n := len(g.all) + 1
	s := &subject{name: fmt.Sprintf("m%03d", n), image: g.image.RawDigest, mac: fmt.Sprintf("52:54:00:%02x:%02x:%02x", g.wire.Relay.As4()[1], n>>8, n&0xff)}
	slot, err := g.rack.Plug(sim.Config{
		Spec: sim.Spec{Name: s.name, MACs: []string{s.mac}, BootMode: []sprout.BootMode{sprout.BIOS, sprout.UEFI}[n%2]}, Wire: g.wire,
	})
	if s.slot = slot; err == nil {
		g.all = append(g.all, s)
	}
	return s, err
}

// prepare finds the cell its machine, and brings it to the state from which its
// workflow starts.
func (g *ground) prepare(ctx context.Context, c *cell) (err error) {
	g.mu.Lock()
	s := g.machines[c.key()]
	if s == nil || c.Kind == discover || c.Step == accept {
		if s, err = g.plug(); err == nil {
			g.machines[c.key()] = s
		}
	}
	g.mu.Unlock()
	c.subject = s
	if err != nil || c.Kind == discover {
		return err
	}
	if c.Step == accept {
		return g.find(ctx, c)
	}
	if s.id == "" {
		var in api.CreateMachine
		in.Body.Name, in.Body.Site, in.Body.MACs = s.name, "far", []string{s.mac}
		in.Body.BMC = &sprout.BMC{Driver: "redfish", URL: s.slot.URL, Username: bmcUser, Password: bmcPassword}
		made, err := ask(ctx, g, api.MachineCreate, in)
		if err != nil {
			return err
		}
		s.id = made.ID
	}
	return g.bring(ctx, c)
}

// accept is the step that takes in a machine which was discovered. It does nothing
// with one that somebody has described.
const accept = "accept"

// find has the machine discovered, and tells how to switch it.
func (g *ground) find(ctx context.Context, c *cell) error {
	found := &cell{subject: c.subject, place: place{Kind: discover}}
	if err := g.set(ctx, found); err != nil {
		return err
	}
	if err := g.settleDiscovery(ctx, found); err != nil {
		return err
	}
	in := api.UpdateMachine{MachineRef: api.MachineRef{Machine: string(c.id)}}
	in.Body.BMC = &sprout.BMC{Driver: "redfish", URL: c.slot.URL, Username: bmcUser, Password: bmcPassword}
	_, err := ask(ctx, g, api.MachineUpdate, in)
	return err
}

// bring takes the machine through the workflows before the cell's own.
func (g *ground) bring(ctx context.Context, c *cell) error {
	for range 6 {
		m, err := ask(ctx, g, api.MachineShow, api.MachineRef{Machine: string(c.id)})
		if err != nil {
			return err
		}
		next := ""
		switch {
		case c.Kind == provision.Commission && (m.State == sprout.Registered && !c.machine || m.State == sprout.Ready):
			return nil // one whose own trouble it waits for must be of a known model: see limit
		case c.Kind == provision.Deploy && m.State == sprout.Allocated, c.Kind == provision.Release && m.State == sprout.Deployed,
			c.Kind == provision.Rescue && m.State == sprout.Deployed, c.Kind == provision.Unrescue && m.State == sprout.Rescued:
			return nil
		case m.State == sprout.Registered:
			next = provision.Commission
		case m.State == sprout.Ready:
			var in api.AllocateMachine
			in.Body.Site, in.Body.Name, in.Body.Owner = "far", c.name, "faults"
			if _, err := ask(ctx, g, api.MachineAllocate, in); err != nil {
				return err
			}
			continue
		case m.State == sprout.Allocated:
			next = provision.Deploy
		case m.State == sprout.Deployed && c.Kind == provision.Unrescue:
			next = provision.Rescue
		case m.State == sprout.Rescued:
			next = provision.Unrescue
		case m.State == sprout.Deployed:
			next = provision.Release
		default:
			return fmt.Errorf("the machine is %s", m.State)
		}
		id, err := g.begin(ctx, c.subject, next)
		if err != nil {
			return err
		}
		if err := g.awaitSuccess(ctx, id); err != nil {
			return err
		}
		if err := g.limit(ctx); err != nil {
			return err
		}
	}
	return errors.New("the machine does not come to the state to start from")
}

// shortLimits are how many seconds steps may take that wait for a machine which may
// never come: the usual is half an hour.
var shortLimits = map[string]int64{"boot-ramdisk": 150, "phone-home": 150}

// limit shortens them on the machines' model, once it is known.
func (g *ground) limit(ctx context.Context) error {
	g.limiting.Lock()
	defer g.limiting.Unlock()
	if g.limited {
		return nil
	}
	in := api.SetModel{ModelRef: api.ModelRef{Model: "Sprout Simulated"}}
	in.Body.Limits = shortLimits
	_, err := ask(ctx, g, api.ModelSet, in)
	g.limited = err == nil
	return err
}

// begin begins a workflow on the machine.
func (g *ground) begin(ctx context.Context, s *subject, kind string) (sprout.WorkflowID, error) {
	ref := api.MachineRef{Machine: string(s.id)}
	switch kind {
	case provision.Commission:
		w, err := ask(ctx, g, api.MachineCommission, api.CommissionMachine{MachineRef: ref})
		return w.ID, err
	case provision.Deploy:
		in := api.DeployMachine{MachineRef: ref}
		in.Body.Image = g.image.Name
		plan, err := ask(ctx, g, api.MachineDeploy, in)
		if err != nil {
			return "", err
		}
		return plan.Workflow.ID, nil
	case provision.Release:
		in := api.ReleaseMachine{MachineRef: ref}
		in.Body.Erase = true
		plan, err := ask(ctx, g, api.MachineRelease, in)
		if err != nil {
			return "", err
		}
		return plan.Workflow.ID, nil
	case provision.Rescue:
		in := api.RescueMachine{MachineRef: ref}
		in.Body.SSHKeys = []string{"ssh-ed25519 AAAA faults"}
		w, err := ask(ctx, g, api.MachineRescue, in)
		return w.ID, err
	case provision.Unrescue:
		w, err := ask(ctx, g, api.MachineUnrescue, ref)
		return w.ID, err
	}
	return "", fmt.Errorf("nobody has told this test how to begin a %s", kind)
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
		case w.Error == nil || w.Error.Code == sprout.InternalFailure || w.Error.Code == "":
			return fmt.Errorf("%s %s without a cause that has a name: %w", w.Kind, w.State, w.Error)
		}
		causes = append(causes, string(w.Error.Code))
		_, err = ask(ctx, g, api.WorkflowRetry, api.WorkflowRef{Workflow: string(c.workflow)})
		if err != nil && sprout.KindOf(err) != sprout.Conflict { // it was retried, and the answer got lost
			return err
		}
	}
	return fmt.Errorf("it fails however often it is retried: %v", causes)
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
	_, text, ok := strings.Cut(e.Detail, " from ")
	ip, err := netip.ParseAddr(text)
	return ip, ok && err == nil
}
