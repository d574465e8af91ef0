package server

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/provision"
	"sprout/workflow"
)

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
	if m.VirtualMedia {
		return m.MayBootMedia()
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
	case sprout.Rescued:
		return "sprout machine unrescue " + m.Name
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
	return s.commission(ctx, m, in.Body)
}

func (s *Server) commission(ctx context.Context, m sprout.Machine, c api.Commission) (sprout.Workflow, error) {
	if err := mayCommission(m); err != nil {
		return sprout.Workflow{}, err
	}
	runs, err := s.testRuns(ctx, m, c)
	if err != nil {
		return sprout.Workflow{}, err
	}
	subnet, err := s.mediaSubnet(ctx, s.look(), m)
	if err != nil {
		return sprout.Workflow{}, err
	}
	if c.FastTrack > 0 && m.VirtualMedia {
		return sprout.Workflow{}, sprout.InvalidField("fastTrack", "cannot have %s wait in the ramdisk: it boots by virtual media, with an address that it has only meanwhile", m.Name).
			WithRemedy("sprout machine commission %s", m.Name)
	}
	input := provision.CommissionInput{Machine: m.ID, Tests: runs, SkipTests: c.SkipTests, SkipReason: strings.TrimSpace(c.SkipReason), Subnet: subnet, FastTrack: c.FastTrack}
	return s.start(ctx, api.MachineCommission.Name, provision.Commission, m, input, s.locked(m.ID, mayCommission))
}

func mayCommission(m sprout.Machine) error {
	if err := allowed("commission", m, sprout.Commissioned, sprout.Discovered); err != nil {
		return err
	}
	return drivable("commission", m)
}

// mediaSubnet is where the address of a machine comes from that boots by virtual
// media: where the site's agent is, to which its ramdisk speaks, else the only one
// there is. Empty: it boots by network.
func (s *Server) mediaSubnet(ctx context.Context, around *surroundings, m sprout.Machine) (sprout.SubnetID, error) {
	if !m.VirtualMedia {
		return "", nil
	}
	networks, err := around.networksOf(ctx, m.Site)
	if err != nil {
		return "", err
	}
	agent, err := s.store.AgentOf(ctx, m.Site)
	if err != nil && sprout.KindOf(err) != sprout.NotFound {
		return "", err
	}
	if at, err := netip.ParseAddr(agent.Address); err == nil {
		for _, n := range networks {
			for _, sub := range n.Subnets {
				if sub.CIDR.Contains(at) {
					return sub.ID, nil
				}
			}
		}
	}
	chosen, _, err := subnetFor(networks, m.SiteName, "")
	return chosen.ID, err
}

func (s *Server) machineDeploy(ctx context.Context, in *api.DeployMachine) (plan api.Plan, err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return plan, err
	}
	return s.deploy(ctx, s.look(), m, in.Body.Deployment, in.Body.Plan)
}

func mayDeploy(m sprout.Machine) error {
	if m.Protected && m.State == sprout.Deployed {
		return protected("deploy", m)
	}
	if err := allowed("deploy", m, sprout.Installed); err != nil {
		return err
	}
	return drivable("deploy", m)
}

// deploy starts an install, or only says what it would do.
func (s *Server) deploy(ctx context.Context, around *surroundings, m sprout.Machine, d api.Deployment, only bool) (plan api.Plan, err error) {
	if err := mayDeploy(m); err != nil {
		return plan, err
	}
	input, subnet, err := s.deployInput(ctx, around, m, d)
	if err != nil {
		return plan, err
	}
	if only {
		if err := idle("deploy", m); err != nil {
			return plan, err
		}
		return around.planDeploy(ctx, m, input, subnet)
	}
	if input.Disks, err = around.toWrite(ctx, m, input); err != nil {
		return plan, err
	}
	w, err := s.start(ctx, api.MachineDeploy.Name, provision.Deploy, m, input, s.locked(m.ID, mayDeploy), func(ctx context.Context, tx pgx.Tx) error {
		return s.store.HoldImage(ctx, tx, input.Image)
	})
	plan.Workflow = &w
	return plan, err
}

// deployInput checks all that can be known before a machine is touched. subnet
// is the one of its address, in words, where it has no network configuration.
func (s *Server) deployInput(ctx context.Context, around *surroundings, m sprout.Machine, d api.Deployment) (out provision.DeployInput, subnet string, err error) {
	out = provision.DeployInput{Machine: m.ID, Disk: d.Disk, SSHKeys: d.SSHKeys, UserData: d.UserData, Metadata: d.Metadata}
	if err := provision.CheckUserData(d.Metadata, d.UserData); err != nil {
		return out, "", err
	}
	image, err := around.image(ctx, d.Image)
	if err != nil {
		return out, "", err
	}
	if slices.Contains(image.Aliases, d.Image) {
		out.Alias = d.Image
	}
	image.Aliases = nil // of now; the deploy is of the digest
	out.Image = image
	if image.Architecture != m.Architecture {
		return out, "", sprout.InvalidField("image", "%s is for %s, machine %s is %s", image.Name, image.Architecture, m.Name, m.Architecture).
			WithRemedy("one for %s: sprout image list", m.Architecture)
	}
	if out.Layout, err = layoutFor(image, d.Layout); err != nil {
		return out, "", err
	}
	if m.BootMode != "" && !slices.Contains(image.BootModes, m.BootMode) {
		return out, "", sprout.InvalidField("image", "%s cannot boot by %s, as machine %s does", image.Name, m.BootMode, m.Name).
			WithRemedy("one that does: sprout image list")
	}
	if err := checkKeys(d.SSHKeys); err != nil {
		return out, "", err
	}
	if out.Network, err = around.networkFor(ctx, m, d.Network); err != nil || out.Network != nil {
		return out, "", err
	}
	networks, err := around.networksOf(ctx, m.Site)
	if err != nil {
		return out, "", err
	}
	chosen, of, err := subnetFor(networks, m.SiteName, d.Network)
	out.Subnet = chosen.ID
	return out, fmt.Sprintf("%s (%s)", of, chosen.CIDR), err
}

// checkKeys refuses what is no public key.
func checkKeys(keys []string) error {
	for i, key := range keys {
		words := strings.Fields(key)
		if len(words) < 2 || strings.ContainsAny(key, "\r\n") || !slices.ContainsFunc(words, isKeyType) {
			return sprout.InvalidField(fmt.Sprintf("sshKeys[%d]", i), "%.30q is no public key such as ssh-ed25519 AAAA… name", key)
		}
	}
	return nil
}

// isKeyType tells whether a word of a public key is its type (RFC 4253 section 6.6,
// and OpenSSH's sk- for keys in hardware).
func isKeyType(word string) bool {
	return strings.HasPrefix(word, "ssh-") || strings.HasPrefix(word, "ecdsa-sha2-") || strings.HasPrefix(word, "sk-")
}

// subnetFor chooses the subnet of a machine's address: the only one there is,
// or the first of the network that was named. of is the network's name.
func subnetFor(networks []sprout.Network, site, network string) (subnet sprout.Subnet, of string, err error) {
	var names []string
	for _, n := range networks {
		if len(n.Subnets) > 0 && (network == "" || network == n.Name || network == string(n.ID)) {
			names, subnet, of = append(names, n.Name), n.Subnets[0], n.Name
		}
	}
	switch {
	case len(names) == 0 && network == "":
		return subnet, "", sprout.InvalidField("network", "site %s has no network to take an address from", site).WithRemedy("sprout network create NAME --site %s --cidr PREFIX", site)
	case len(names) == 0:
		return subnet, "", sprout.InvalidField("network", "site %s has no network %q", site, network).WithRemedy("sprout network list --site %s", site)
	case len(names) > 1:
		return subnet, "", sprout.InvalidField("network", "site %s has several: name one of %s", site, strings.Join(names, ", ")).WithRemedy("--network %s", names[0])
	}
	return subnet, of, nil
}
