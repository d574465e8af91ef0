package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sprout"
	"sprout/netconfig"
	"sprout/workflow"
)

// atSite makes the step that hands one piece of work to the machine's site,
// whole, and waits until the site says how it ended.
func (p centre[T]) atSite(kind string, within time.Duration, input func(ctx context.Context, c *workflow.Call[T], m sprout.Machine) (any, error)) func(context.Context, *workflow.Call[T]) error {
	return func(ctx context.Context, c *workflow.Call[T]) error {
		var data centreData
		if err := c.Data(&data); err != nil {
			return err
		}
		work := sprout.WorkID(c.Run.ID, c.Run.Retries+1, len(data.Others))
		if ended, ok := p.ended(c, work); ok {
			again, err := p.giveOther(ctx, c, &data, ended.Result)
			if err != nil {
				return err
			}
			data.Ended, data.Shell = !again, ended.Result.Shell
			if err := c.Keep(data); err != nil {
				return err
			}
			c.Detail("%s", strings.Join(data.Others, "; "))
			if !again {
				return outcome(ended.Result)
			}
			work = sprout.WorkID(c.Run.ID, c.Run.Retries+1, len(data.Others))
		}
		m, err := p.machineOf(ctx, c.Run)
		if err != nil {
			return err
		}
		if data.Work != work {
			if data.Limits, err = p.send(ctx, c, m, kind, work, within, input); err != nil {
				return err
			}
			data.Work = work
			if err := c.Keep(data); err != nil {
				return err
			}
		}
		return workflow.WaitFor(SignalWorkEnded, 30*time.Second, p.siteInWords(ctx, m))
	}
}

// ended takes the signal that the work has ended, if it is about this try.
func (p centre[T]) ended(c *workflow.Call[T], work string) (WorkEnded, bool) {
	payload, ok := c.Take(SignalWorkEnded)
	if !ok {
		return WorkEnded{}, false
	}
	var ended WorkEnded
	if err := json.Unmarshal(payload, &ended); err != nil || ended.Work != work {
		return WorkEnded{}, false
	}
	return ended, true
}

func outcome(r sprout.WorkResult) error {
	if r.State == sprout.Succeeded {
		return nil
	}
	if r.Failure != nil {
		f := *r.Failure
		return &f
	}
	return sprout.Fail(sprout.InternalFailure, fmt.Sprintf("the site ended its work as %s and gave no reason", r.State), "")
}

// send delegates the work with the limits of its steps. It and this step end
// after all of those, but not before within.
func (p centre[T]) send(ctx context.Context, c *workflow.Call[T], m sprout.Machine, kind, work string, within time.Duration, input func(ctx context.Context, c *workflow.Call[T], m sprout.Machine) (any, error)) ([]sprout.StepLimit, error) {
	in, err := input(ctx, c, m)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the work of %s: %w", c.Run.ID, err)
	}
	basis, err := p.Basis(ctx, m, kind)
	if err != nil {
		return nil, err
	}
	if d, ok := in.(sprout.DeployWork); ok {
		basis.Size.Image, basis.Size.Raw = d.Image.Bytes, d.Image.RawBytes
	}
	if w, ok := in.(sprout.CommissionWork); ok {
		basis.Size.Tests = testsTake(w.Tests, m.Inventory)
	}
	limits := StepLimits(kind, basis)
	all := workSlack
	for _, l := range limits {
		all += l.Duration()
	}
	all = max(all, within)
	c.Within(all)
	w := sprout.Work{
		ID: work, Kind: kind, Workflow: sprout.WorkflowID(c.Run.ID), Machine: m.ID,
		Deadline: c.Run.StepStarted.Add(all - time.Minute), Limits: limits, Input: raw,
	}
	c.Commit(func(ctx context.Context, tx T) error { return p.Delegate(ctx, tx, m.Site, w) })
	return limits, nil
}

// LimitsOf returns the limits that a centre's run has delegated its work with.
func LimitsOf(run workflow.Run) []sprout.StepLimit {
	var data centreData
	if len(run.Data) == 0 || json.Unmarshal(run.Data, &data) != nil {
		return nil // it has delegated nothing yet
	}
	return data.Limits
}

// siteInWords says what the centre waits for, and that the site is away if it is.
func (p centre[T]) siteInWords(ctx context.Context, m sprout.Machine) string {
	a, err := p.Agent(ctx, m.Site)
	switch {
	case err != nil:
		return fmt.Sprintf("queued: site %s has no agent yet", m.SiteName)
	case !a.Online && a.LastSeen != nil:
		return fmt.Sprintf("queued: site %s offline since %s", m.SiteName, a.LastSeen.Format("15:04:05"))
	default:
		return "site " + m.SiteName
	}
}

// cancelAtSite has the site undo its work, and waits until it has: what the
// steps before give back must not be in use any more. A site that is away is
// not waited for longer than stopSite; it gets the cancelling when it is back,
// before anything newer. A site without an agent has nobody who could confirm, so
// it is not waited for: the next agent gets the cancelling, and the machine's
// generation, which rises with every workflow, keeps the old work from going on.
func (p centre[T]) cancelAtSite(ctx context.Context, c *workflow.Call[T]) error {
	var data centreData
	if err := c.Data(&data); err != nil {
		return err
	}
	if _, ok := p.ended(c, data.Work); ok || data.Work == "" || data.Ended {
		return nil
	}
	m, err := p.machineOf(ctx, c.Run)
	if err != nil {
		return err
	}
	if data.Stop.IsZero() {
		data.Stop = c.Now
		c.Commit(func(ctx context.Context, tx T) error { return p.CancelWork(ctx, tx, m.Site, data.Work) })
		if err := c.Keep(data); err != nil {
			return err
		}
	}
	switch _, err := p.Agent(ctx, m.Site); {
	case sprout.KindOf(err) == sprout.NotFound:
		c.Detail("site %s has no agent: the cancelling waits for the next one", m.SiteName)
		return nil
	case err != nil:
		return err
	}
	if c.Now.Sub(data.Stop) >= stopSite {
		c.Detail("site %s has not confirmed", m.SiteName)
		return nil
	}
	return workflow.WaitFor(SignalWorkEnded, stopSite, p.siteInWords(ctx, m)+" to stop its work")
}

func (p centre[T]) commissionWork(_ context.Context, c *workflow.Call[T], _ sprout.Machine) (any, error) {
	var in CommissionInput
	if err := c.Input(&in); err != nil {
		return nil, err
	}
	address, err := givenForMedia(c)
	return sprout.CommissionWork{SkipTests: in.SkipTests, SkipReason: in.SkipReason, Tests: in.Tests, FastTrack: in.FastTrack, Address: address}, err
}

func (p centre[T]) releaseWork(_ context.Context, c *workflow.Call[T], _ sprout.Machine) (any, error) {
	var in ReleaseInput
	if err := c.Input(&in); err != nil {
		return nil, err
	}
	address, err := givenForMedia(c)
	return sprout.ReleaseWork{Erase: in.Erase, Method: in.Method, Disks: in.Disks, Address: address}, err
}

func (p centre[T]) deployWork(ctx context.Context, c *workflow.Call[T], m sprout.Machine) (any, error) {
	var in DeployInput
	var data centreData
	if err := c.Input(&in); err != nil {
		return nil, err
	}
	if err := c.Data(&data); err != nil {
		return nil, err
	}
	links, err := p.links(ctx, m, in, data.given())
	if err != nil {
		return nil, err
	}
	work := sprout.DeployWork{
		Image: in.Image, Disk: in.Disk, Disks: in.Disks, Hostname: data.Name, SSHKeys: in.SSHKeys,
		UserData: in.UserData, Sealed: in.Sealed, Links: links, Networks: firstOf(links), Metadata: in.Metadata, Layout: in.Layout,
	}
	if in.Layout != nil {
		work.Onto, work.Disk = &in.Disk, sprout.DiskRule{Serial: upgradeAgent}
	}
	return work, nil
}

// upgradeAgent is the serial of no disk. An agent that knows no layouts would write the
// archive to the disk as if it were its image: it looks for this one, and says so.
const upgradeAgent = "none (the site's agent knows no layouts: upgrade it)"

// links is how the installed system shall configure its network.
func (p centre[T]) links(ctx context.Context, m sprout.Machine, in DeployInput, given []sprout.Address) ([]sprout.LinkSetup, error) {
	config, err := configOf(in, m)
	if err != nil {
		return nil, err
	}
	if wants := len(netconfig.Wanted(config)); wants != len(given) {
		return nil, fmt.Errorf("cannot deploy %s: %d of %d addresses were reserved", m.Name, len(given), wants)
	}
	site, err := p.Site(ctx, m.Site)
	if err != nil {
		return nil, err
	}
	around := netconfig.Surroundings{Subnets: map[sprout.SubnetID]sprout.Subnet{}, Domain: site.Domain}
	for _, a := range given {
		if around.Subnets[a.Subnet], err = p.Subnet(ctx, m.Site, a.Subnet); err != nil {
			return nil, err
		}
	}
	agent, err := p.Agent(ctx, m.Site)
	if err != nil && sprout.KindOf(err) != sprout.NotFound {
		return nil, err
	}
	around.Resolver, _ = netip.ParseAddr(agent.Address) // none yet: none
	return netconfig.Setup(config, given, around), nil
}

// firstOf is what agents before 0.3 configure: one address.
func firstOf(links []sprout.LinkSetup) []sprout.InterfaceSetup {
	for _, l := range links {
		for _, a := range l.Addresses {
			s := sprout.InterfaceSetup{MAC: l.MAC, IP: a.Addr(), Prefix: a.Bits(), DNS: l.DNS, MTU: l.MTU}
			for _, r := range l.Routes {
				if r.To.Bits() == 0 && r.Via.Is4() == s.IP.Is4() {
					s.Gateway = r.Via
				}
			}
			if len(l.Search) > 0 {
				s.Domain = l.Search[0]
			}
			return []sprout.InterfaceSetup{s}
		}
	}
	return nil
}
