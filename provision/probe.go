package provision

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"sprout"
	"sprout/workflow"
)

// addressesOf are those that the machine is about to have by the run's work: of a
// deploy its system's, else that of a ramdisk that boots without DHCP.
func addressesOf[T any](c *workflow.Call[T]) ([]netip.Addr, error) {
	if c.Run.Kind == Deploy {
		var in sprout.DeployWork
		err := workOf(c, &in)
		return in.Addresses(), err
	}
	var in struct {
		Address netip.Addr `json:"address"`
	}
	if err := workOf(c, &in); err != nil || !in.Address.IsValid() {
		return nil, err
	}
	return []netip.Addr{in.Address}, nil
}

// probeAddresses looks whether somebody else uses an address that the machine is
// about to have. The centre then gives it another (giveOther).
func (p site[T]) probeAddresses(ctx context.Context, c *workflow.Call[T]) error {
	ips, err := addressesOf(c)
	if err != nil || len(ips) == 0 {
		c.Detail("skipped: no address of IPAM is new to it")
		return err
	}
	if !c.Claimed() {
		return workflow.Slow()
	}
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	var site SiteInput
	if err := c.Input(&site); err != nil {
		return err
	}
	probes, err := p.Probe(ctx, id, ips)
	if err != nil {
		return err
	}
	var said, found []string
	for _, probe := range probes {
		switch probe.State {
		case sprout.ProbeTaken:
			data.Taken = append(data.Taken, sprout.AddressConflict{IP: probe.IP, MAC: probe.MAC, Machine: id, By: "a probe before a " + c.Run.Kind})
			found = append(found, fmt.Sprintf("%s answers for %s", probe.MAC, probe.IP))
		case sprout.ProbeFree:
			said = append(said, fmt.Sprintf("nobody has %s", probe.IP))
		default:
			said = append(said, fmt.Sprintf("%s not probed: %s", probe.IP, probe.Why))
		}
	}
	if len(found) == 0 {
		c.Detail("%s", strings.Join(said, "; "))
		return nil
	}
	if err := c.Keep(data); err != nil {
		return err
	}
	failure := sprout.Fail(sprout.AddressTaken, "somebody else uses an address of the machine", strings.Join(found, "\n"))
	failure.Remedy = "give who answers other addresses, or make a reserved range of theirs, then: sprout workflow retry " + string(site.Work.Workflow)
	return failure
}

// giveOther gives the machine other addresses in place of those that its work
// found to be somebody else's, publishes them, and notes why in data. It tells
// whether it did: not where the work ended for another reason, or where that has
// been done often enough. It may be repeated.
func (p centre[T]) giveOther(ctx context.Context, c *workflow.Call[T], data *centreData, r sprout.WorkResult) (bool, error) {
	if len(r.Taken) == 0 || r.Failure == nil || r.Failure.Code != sprout.AddressTaken {
		return false, nil
	}
	if !c.Claimed() { // the step is quick but for this, which nobody else may do at the same time
		return false, workflow.Slow()
	}
	m, err := p.machineOf(ctx, c.Run)
	if err != nil {
		return false, err
	}
	held, err := p.IPAM().Held(ctx, m.ID)
	if err != nil {
		return false, err
	}
	var why []string
	for _, taken := range r.Taken {
		why = append(why, fmt.Sprintf("%s is used by %s", taken.IP, taken.MAC))
		for _, a := range held {
			if a.IP != taken.IP {
				continue
			}
			if a.Name != "" { // nobody finds it by the address any more
				if err := p.DNS().Delete(ctx, a.Site, a.Name); err != nil {
					return false, err
				}
			}
			taken.Subnet, taken.Machine = a.Subnet, m.ID
			if err := p.IPAM().Quarantine(ctx, taken); err != nil {
				return false, err
			}
		}
	}
	if len(data.Others) == sprout.MostOthers {
		return false, nil
	}
	said, err := p.another(ctx, c, m, data)
	if sprout.KindOf(err) == sprout.Conflict {
		return false, nil // it is to have that one and no other, or none is left
	}
	if err != nil {
		return false, err
	}
	data.Others = append(data.Others, fmt.Sprintf("%s: %s instead", strings.Join(why, ", "), said))
	_, err = p.publish(ctx, *data)
	return true, err
}

// another notes in data what the machine has instead, and returns it in words.
func (p centre[T]) another(ctx context.Context, c *workflow.Call[T], m sprout.Machine, data *centreData) (string, error) {
	if c.Run.Kind != Deploy {
		subnet, err := forMedia(c)
		if err != nil {
			return "", err
		}
		return p.giveForMedia(ctx, subnet, m, data)
	}
	var in DeployInput
	if err := c.Input(&in); err != nil {
		return "", err
	}
	return p.reserve(ctx, in, data)
}
