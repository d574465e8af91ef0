package cli

import (
	"context"
	"slices"
	"strings"

	"sprout"
	"sprout/api"
)

// siteLoss is what goes with a site. Machines and networks do not: they have to go
// before it.
func (e *env) siteLoss(ctx context.Context, ref string) (loss, error) {
	site, err := call(ctx, e, api.SiteShow, api.SiteRef{Site: ref})
	if err != nil {
		return loss{}, err
	}
	at := api.OfSite{Site: string(site.ID)}
	machines, err := gather(ctx, e, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{Site: at.Site, State: sprout.States}}, 0) // also what is retired
	if err != nil {
		return loss{}, err
	}
	networks, err := gather(ctx, e, api.NetworkList, api.ListNetworks{ListOfSite: api.ListOfSite{OfSite: at}}, 0)
	if err != nil {
		return loss{}, err
	}
	agents, err := gather(ctx, e, api.AgentList, api.ListOfSite{OfSite: at}, 0)
	if err != nil {
		return loss{}, err
	}
	l := loss{ID: string(site.ID), Name: site.Name, Destroys: []string{"the site's names in DNS, its leases, its workflows, and what was seen of boots there"}}
	l.Destroys = append(l.Destroys, names("agents", "agent", agents, func(a sprout.Agent) string { return a.Name })...)
	l.UsedBy = append(l.UsedBy, machineNames("machines", "machine", machines)...)
	l.UsedBy = append(l.UsedBy, names("networks", "network", networks, func(n sprout.Network) string { return n.Name })...)
	if len(l.UsedBy) > 0 {
		l.Refused = "what it is used by has to be deleted before"
	}
	return l, nil
}

// imageLoss counts the machines that run an image: they go on, and cannot be
// deployed with it again.
func (e *env) imageLoss(ctx context.Context, ref string) (loss, error) {
	i, err := call(ctx, e, api.ImageShow, api.ImageRef{Image: ref})
	if err != nil {
		return loss{}, err
	}
	deployed, err := gather(ctx, e, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{State: []sprout.State{sprout.Deployed, sprout.Rescued}}}, 0)
	if err != nil {
		return loss{}, err
	}
	running, err := gather(ctx, e, api.WorkflowList, api.ListWorkflows{Kind: "deploy", State: []sprout.WorkflowState{sprout.Running, sprout.Unwinding}}, 1)
	if err != nil {
		return loss{}, err
	}
	deployed = slices.DeleteFunc(deployed, func(m sprout.Machine) bool { return m.ImageDigest != i.Digest && m.Image != i.Name })
	l := loss{
		ID: string(i.ID), Name: i.Name, Destroys: []string{size(i.Bytes) + " of " + i.Digest + ", unless another image has the same bytes"},
		UsedBy: machineNames("machines run it, and go on", "machine runs it, and goes on", deployed),
	}
	switch {
	case len(i.Aliases) > 0:
		l.Refused = "it is what " + strings.Join(i.Aliases, ", ") + " means: sprout image alias set " + i.Aliases[0] + " IMAGE moves it"
	case len(running) > 0:
		l.Refused = running[0].MachineName + " is being deployed: sprout workflow wait " + string(running[0].ID)
	}
	return l, nil
}

func (e *env) networkLoss(ctx context.Context, ref string) (loss, error) {
	n, err := call(ctx, e, api.NetworkShow, api.NetworkRef{Network: ref})
	if err != nil {
		return loss{}, err
	}
	l, err := e.lossOf(ctx, n.Site, n.Subnets, n.Configured)
	l.ID, l.Name = string(n.ID), n.SiteName+"/"+n.Name
	l.Destroys = names("subnets", "subnet", n.Subnets, func(s sprout.Subnet) string { return s.CIDR.String() })
	return l, err
}

// lossOf is who uses addresses of subnets of a site, or is configured with them.
func (e *env) lossOf(ctx context.Context, site sprout.SiteID, of []sprout.Subnet, machines []string) (l loss, err error) {
	in := api.ListOfSite{OfSite: api.OfSite{Site: string(site)}}
	addresses, err := gather(ctx, e, api.AddressList, api.ListAddresses{ListOfSite: in}, 0)
	if err != nil {
		return l, err
	}
	leases, err := gather(ctx, e, api.LeaseList, in, 0)
	if err != nil {
		return l, err
	}
	has := func(id sprout.SubnetID) bool {
		return slices.ContainsFunc(of, func(s sprout.Subnet) bool { return s.ID == id })
	}
	addresses = slices.DeleteFunc(addresses, func(a sprout.Address) bool { return !has(a.Subnet) })
	leases = slices.DeleteFunc(leases, func(l sprout.Lease) bool { return !has(l.Subnet) })
	l.UsedBy = names("addresses", "address", addresses, func(a sprout.Address) string { return a.IP.String() })
	l.UsedBy = append(l.UsedBy, names("leases", "lease", leases, func(l sprout.Lease) string { return l.IP.String() })...)
	switch {
	case len(l.UsedBy) > 0:
		l.Refused = "its addresses are in use: release their machines before, and wait until leases end"
	case len(machines) > 0:
		l.Refused = "machines are configured with it: sprout machine network set " + machines[0] + " --file FILE"
	}
	l.UsedBy = append(l.UsedBy, names("machines configured with it", "machine configured with it", machines, func(name string) string { return name })...)
	return l, nil
}

func (e *env) agentLoss(ctx context.Context, ref string) (loss, error) {
	a, err := call(ctx, e, api.AgentShow, api.AgentRef{Agent: ref})
	if err != nil {
		return loss{}, err
	}
	running, err := gather(ctx, e, api.WorkflowList, api.ListWorkflows{OfSite: api.OfSite{Site: string(a.Site)}, State: []sprout.WorkflowState{sprout.Running, sprout.Unwinding}}, 0)
	if err != nil {
		return loss{}, err
	}
	machines, err := gather(ctx, e, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{Site: string(a.Site)}}, 0)
	if err != nil {
		return loss{}, err
	}
	return loss{
		ID: string(a.ID), Name: a.Name, Destroys: []string{"its token and its connection: nothing it says is taken any more, and " + a.SiteName + " is managed by nobody until another enrols"},
		UsedBy: slices.Concat(machineNames("machines", "machine", machines),
			names("workflows that wait for it", "workflow that waits for it", running, func(w sprout.Workflow) string { return w.Kind + " of " + w.MachineName })),
	}, nil
}

// tokenLoss finds a token as the server does: by its name or id, or by the unique
// beginning of either.
func (e *env) tokenLoss(ctx context.Context, ref string) (loss, error) {
	tokens, err := gather(ctx, e, api.TokenList, api.Paging{}, 0)
	if err != nil {
		return loss{}, err
	}
	tokens = slices.DeleteFunc(tokens, func(t sprout.Token) bool {
		return t.RevokedAt != nil || !strings.HasPrefix(t.Name, ref) && !strings.HasPrefix(string(t.ID), ref)
	})
	if exact := slices.DeleteFunc(slices.Clone(tokens), func(t sprout.Token) bool { return t.Name != ref && string(t.ID) != ref }); len(exact) > 0 {
		tokens = exact
	}
	switch len(tokens) {
	case 0:
		return loss{}, sprout.Errorf(sprout.NotFound, "cannot find token %q", ref).WithRemedy("sprout token list")
	case 1:
	default:
		var ids []string
		for _, t := range tokens[:min(len(tokens), 5)] {
			ids = append(ids, string(t.ID))
		}
		return loss{}, sprout.InvalidField("token", "%q is %s: say which", ref, strings.Join(ids, " or "))
	}
	t := tokens[0]
	l := loss{ID: string(t.ID), Name: t.Name, Destroys: []string{"the right to act as " + rolesOf(t) + ", and what it watches now"}}
	if t.LastUsedAt != nil {
		l.UsedBy = []string{"whoever has it (" + tokenKinds[t.Kind] + "): last used " + ago(t.LastUsedAt)}
	}
	return l, nil
}

// testLoss is what goes with a test: what it found stays.
func (e *env) testLoss(ctx context.Context, ref string) (loss, error) {
	t, err := call(ctx, e, api.TestShow, testRef(ref))
	if err != nil {
		return loss{}, err
	}
	l := loss{ID: t.Name, Name: t.Name, Destroys: []string{"the executable, " + size(t.Bytes) + " of " + t.Digest + "; what it found stays"}}
	if t.Builtin {
		l.Refused = "it comes with Sprout"
	}
	return l, nil
}
