package faults_test

import (
	"context"
	"errors"
	"fmt"

	"sprout"
	"sprout/api"
	"sprout/provision"
	"sprout/sim"
)

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
