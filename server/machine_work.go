package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/alloc"
	"sprout/api"
	"sprout/provision"
	"sprout/store"
	"sprout/workflow"
)

// within puts the field of an error below another: "machines[2]" + "name".
func within(path string, err error) error {
	var known *sprout.Error
	if path == "" || !errors.As(err, &known) {
		return err
	}
	deeper := *known
	deeper.Field = strings.TrimSuffix(path+"."+known.Field, ".")
	return &deeper
}

// allowed refuses a workflow before it starts: on a locked machine, and in a
// state from which the event that crowns it is not legal.
func allowed(verb string, m sprout.Machine, event sprout.Event, also ...sprout.State) error {
	if m.Locked {
		return sprout.Errorf(sprout.Conflict, "cannot %s machine %s: it is locked", verb, m.Name).WithRemedy("sprout machine unlock %s", m.Name)
	}
	if slices.Contains(also, m.State) {
		return nil
	}
	if _, err := sprout.Next(m.State, event); err == nil {
		return nil
	}
	var from []string
	for _, state := range sprout.States {
		if _, err := sprout.Next(state, event); err == nil || slices.Contains(also, state) {
			from = append(from, string(state))
		}
	}
	e := sprout.Errorf(sprout.Conflict, "cannot %s machine %s: it is %s, and must be %s", verb, m.Name, m.State, strings.Join(from, " or "))
	e.Field = "state"
	return e.WithRemedy("%s", wayFrom(m))
}

// drivable refuses what must start the machine where nobody but a person can.
func drivable(verb string, m sprout.Machine) error {
	switch {
	case m.BMC == nil:
		return sprout.Errorf(sprout.Conflict, "cannot %s machine %s: it has no BMC by which Sprout could start it", verb, m.Name).
			WithRemedy("sprout machine update %s --bmc-driver redfish --bmc-url … --bmc-user … --bmc-password …", m.Name)
	case m.BMC.Driver == "manual":
		return sprout.Errorf(sprout.Conflict, "cannot %s machine %s: its power is manual, so Sprout cannot start it", verb, m.Name).
			WithRemedy("sprout machine update %s --bmc-driver redfish --bmc-url … --bmc-user … --bmc-password …", m.Name)
	}
	return nil
}

// wayFrom is the command that leads on from a state.
func wayFrom(m sprout.Machine) string {
	switch m.State {
	case sprout.Discovered, sprout.Registered:
		return "sprout machine commission " + m.Name
	case sprout.Ready:
		return "sprout machine allocate " + m.Name
	case sprout.Allocated, sprout.Deployed:
		return "sprout machine release " + m.Name
	case sprout.Broken:
		return "sprout machine mark-fixed " + m.Name
	default:
		return "sprout machine show " + m.Name
	}
}

// locked returns an effect that checks again when the workflow is recorded:
// the machine may have moved since it was looked at.
func (s *Server) locked(id sprout.MachineID, check func(sprout.Machine) error) workflow.Effect[pgx.Tx] {
	return func(ctx context.Context, tx pgx.Tx) error {
		m, err := s.store.LockMachine(ctx, tx, id)
		if err != nil {
			return err
		}
		return check(m)
	}
}

func (s *Server) machineCommission(ctx context.Context, in *api.CommissionMachine) (sprout.Workflow, error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return sprout.Workflow{}, err
	}
	check := func(m sprout.Machine) error {
		if err := allowed("commission", m, sprout.Commissioned, sprout.Discovered); err != nil {
			return err
		}
		return drivable("commission", m)
	}
	if err := check(m); err != nil {
		return sprout.Workflow{}, err
	}
	input := provision.CommissionInput{Machine: m.ID, SkipTests: in.Body.SkipTests}
	return s.start(ctx, api.MachineCommission.Name, provision.Commission, m, input, s.locked(m.ID, check))
}

// machineAllocate gives the machine that fits best to an owner. Machines that
// others take meanwhile are passed over.
func (s *Server) machineAllocate(ctx context.Context, in *api.AllocateMachine) (sprout.Machine, error) {
	b := in.Body
	site, err := s.siteOf(ctx, b.Site)
	if err != nil {
		return sprout.Machine{}, err
	}
	machines, err := all(func(p store.Page) ([]sprout.Machine, string, error) {
		return s.store.Machines(ctx, store.MachineFilter{Site: site, Page: p})
	})
	if err != nil {
		return sprout.Machine{}, err
	}
	name, err := s.nameOf(ctx, b.Name)
	if err != nil {
		return sprout.Machine{}, err
	}
	fit, removed := s.providers.Alloc.Choose(alloc.Request{
		Site: site, Name: name, Architecture: b.Architecture, BootMode: b.BootMode, MinCores: b.MinCores, MinMemory: b.MinMemory,
		MinDisk: b.MinDisk, MinDisks: b.MinDisks, MinNICs: b.MinNICs, Tags: b.Tags, Pool: b.Pool, Zone: b.Zone,
	}, machines)
	owner := b.Owner
	if owner == "" {
		owner = actor(ctx)
	}
	for _, m := range fit {
		got, err := s.give(ctx, m, owner)
		if sprout.KindOf(err) != sprout.Conflict || err == nil {
			return got, err
		}
	}
	return sprout.Machine{}, noneFits(len(machines), removed)
}

// nameOf turns a reference into the machine's name, "" for "".
func (s *Server) nameOf(ctx context.Context, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	m, err := s.findMachine(ctx, ref)
	return m.Name, err
}

func (s *Server) give(ctx context.Context, m sprout.Machine, owner string) (sprout.Machine, error) {
	return s.changeMachine(ctx, api.MachineAllocate.Name, string(m.ID), func(ctx context.Context, tx pgx.Tx, m sprout.Machine, r *sprout.AuditRecord) error {
		if m.Locked || m.Activity != nil {
			return sprout.Errorf(sprout.Conflict, "cannot allocate machine %s: it is busy", m.Name)
		}
		r.Detail = "to " + owner
		if _, err := s.store.MoveMachine(ctx, tx, m.ID, sprout.Allocate, actor(ctx), "to "+owner); err != nil {
			return err
		}
		_, err := s.store.UpdateMachine(ctx, tx, m.ID, store.MachineChange{Owner: &owner})
		return err
	})
}

// noneFits says which constraint removed how many machines, and which were near.
func noneFits(of int, removed []alloc.Removal) error {
	var why []string
	for _, r := range removed {
		if r.Removed == 0 {
			continue
		}
		line := fmt.Sprintf("%q removed %d", r.Constraint, r.Removed)
		if len(r.Nearest) > 0 {
			line += " (nearest: " + strings.Join(r.Nearest, ", ") + ")"
		}
		why = append(why, line)
	}
	if of == 0 {
		why = append(why, "there are none at all")
	}
	return sprout.Errorf(sprout.Conflict, "cannot allocate: none of %d machines fits: %s", of, strings.Join(why, "; ")).WithRemedy("sprout machine list -o wide")
}

func (s *Server) machineDeploy(ctx context.Context, in *api.DeployMachine) (plan api.Plan, err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return plan, err
	}
	check := func(m sprout.Machine) error {
		if m.Protected && m.State == sprout.Deployed {
			return protected("deploy", m)
		}
		if err := allowed("deploy", m, sprout.Installed); err != nil {
			return err
		}
		return drivable("deploy", m)
	}
	if err := check(m); err != nil {
		return plan, err
	}
	input, err := s.deployInput(ctx, m, in)
	if err != nil {
		return plan, err
	}
	if m.State == sprout.Deployed {
		plan.Destroys = append(plan.Destroys, fmt.Sprintf("the system that is installed (%s)", m.Image))
	}
	plan.Destroys = append(plan.Destroys, "everything on "+diskInWords(m, in.Body.Disk))
	if in.Body.Plan {
		return plan, nil
	}
	w, err := s.start(ctx, api.MachineDeploy.Name, provision.Deploy, m, input, s.locked(m.ID, check))
	plan.Workflow = &w
	return plan, err
}

// deployInput checks all that can be known before a machine is touched.
func (s *Server) deployInput(ctx context.Context, m sprout.Machine, in *api.DeployMachine) (provision.DeployInput, error) {
	out := provision.DeployInput{Machine: m.ID, Disk: in.Body.Disk, SSHKeys: in.Body.SSHKeys, UserData: in.Body.UserData}
	image, err := s.findImage(ctx, in.Body.Image)
	if err != nil {
		return out, err
	}
	out.Image = image
	if image.Architecture != m.Architecture {
		return out, sprout.InvalidField("image", "%s is for %s, machine %s is %s", image.Name, image.Architecture, m.Name, m.Architecture)
	}
	if m.BootMode != "" && !slices.Contains(image.BootModes, m.BootMode) {
		return out, sprout.InvalidField("image", "%s cannot boot by %s, as machine %s does", image.Name, m.BootMode, m.Name)
	}
	for i, key := range in.Body.SSHKeys {
		if len(strings.Fields(key)) < 2 || strings.ContainsAny(key, "\r\n") {
			return out, sprout.InvalidField(fmt.Sprintf("sshKeys[%d]", i), "%.30q is no public key such as ssh-ed25519 AAAA… name", key)
		}
	}
	out.Subnet, err = s.subnetFor(ctx, m, in.Body.Network)
	return out, err
}

// subnetFor chooses the subnet of a machine's address: the only one there is,
// or the first of the network that was named.
func (s *Server) subnetFor(ctx context.Context, m sprout.Machine, network string) (sprout.SubnetID, error) {
	networks, err := s.store.Networks(ctx, m.Site)
	if err != nil {
		return "", err
	}
	var names []string
	var subnet sprout.SubnetID
	for _, n := range networks {
		if len(n.Subnets) > 0 && (network == "" || network == n.Name || network == string(n.ID)) {
			names, subnet = append(names, n.Name), n.Subnets[0].ID
		}
	}
	switch {
	case len(names) == 0 && network == "":
		return "", sprout.InvalidField("network", "site %s has no network to take an address from", m.SiteName).WithRemedy("sprout network create NAME --site %s --cidr PREFIX", m.SiteName)
	case len(names) == 0:
		return "", sprout.InvalidField("network", "site %s has no network %q", m.SiteName, network).WithRemedy("sprout network list --site %s", m.SiteName)
	case len(names) > 1:
		return "", sprout.InvalidField("network", "site %s has several: name one of %s", m.SiteName, strings.Join(names, ", ")).WithRemedy("--network %s", names[0])
	}
	return subnet, nil
}

// diskInWords names the disk that a rule is going to choose, as far as the
// inventory tells.
func diskInWords(m sprout.Machine, rule sprout.DiskRule) string {
	if m.Inventory == nil {
		return "the chosen disk"
	}
	var fit []string
	for _, d := range m.Inventory.Disks {
		if matches(rule, d) {
			fit = append(fit, strings.TrimSpace(fmt.Sprintf("%s %s (%d MB)", d.Name, d.Serial, d.Bytes/1e6)))
		}
	}
	switch len(fit) {
	case 0:
		return "the disk that matches (none did at the last inventory)"
	case 1:
		return "disk " + fit[0]
	}
	return "one of the disks " + strings.Join(fit, ", ")
}

func matches(rule sprout.DiskRule, d sprout.Disk) bool {
	return !d.ReadOnly && (rule.Serial == "" || rule.Serial == d.Serial) && (rule.WWN == "" || rule.WWN == d.WWN) &&
		(rule.Model == "" || rule.Model == d.Model) && (rule.Name == "" || rule.Name == d.Name) &&
		d.Bytes >= rule.MinBytes && (rule.Rotational == nil || *rule.Rotational == d.Rotational)
}

func (s *Server) machineRelease(ctx context.Context, in *api.ReleaseMachine) (plan api.Plan, err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return plan, err
	}
	check := func(m sprout.Machine) error {
		if m.Protected {
			return protected("release", m)
		}
		return allowed("release", m, sprout.Released)
	}
	if err := check(m); err != nil {
		return plan, err
	}
	plan.Destroys = released(m, in.Body.Erase)
	if in.Body.Plan {
		return plan, nil
	}
	w, err := s.start(ctx, api.MachineRelease.Name, provision.Release, m, provision.ReleaseInput{Machine: m.ID, Erase: in.Body.Erase}, s.locked(m.ID, check))
	plan.Workflow = &w
	return plan, err
}

func released(m sprout.Machine, erase bool) (lost []string) {
	for _, a := range m.Addresses {
		lost = append(lost, strings.TrimSpace(fmt.Sprintf("the address %s %s", a.IP, a.Name)))
	}
	if m.State == sprout.Deployed {
		lost = append(lost, fmt.Sprintf("the running system (%s), which is switched off", m.Image))
	}
	if erase {
		lost = append(lost, "everything on every disk")
	}
	return lost
}
