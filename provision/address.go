package provision

import (
	"context"

	"sprout"
	"sprout/ipam"
	"sprout/workflow"
)

// recordTTL is short: a machine's address may go to another after its release.
const recordTTL = 60

// reserveAddress takes an address for the machine's boot interface. The site's
// DHCP learns of it from the address management.
func (p centre[T]) reserveAddress(ctx context.Context, c *workflow.Call[T]) error {
	var in DeployInput
	if err := c.Input(&in); err != nil {
		return err
	}
	m, err := p.Machine(ctx, in.Machine)
	if err != nil {
		return err
	}
	site, err := p.Site(ctx, m.Site)
	if err != nil {
		return err
	}
	mac, err := bootMAC(m)
	if err != nil {
		return err
	}
	name := m.Name + "." + site.Domain
	a, err := p.IPAM().Allocate(ctx, ipam.Request{Subnet: in.Subnet, Machine: m.ID, MAC: mac, Name: name})
	if err != nil {
		return err
	}
	c.Detail("%s for %s", a.IP, mac)
	return c.Keep(centreData{Address: &a, Name: name})
}

// bootMAC returns the interface that a machine was seen to boot from, else its
// first one.
func bootMAC(m sprout.Machine) (string, error) {
	for _, i := range m.Interfaces {
		if i.Boot {
			return i.MAC, nil
		}
	}
	if len(m.Interfaces) == 0 {
		return "", sprout.Errorf(sprout.Conflict, "cannot give %s an address: it has no interface", m.Name)
	}
	return m.Interfaces[0].MAC, nil
}

// releaseAddress frees what the machine holds.
func (p centre[T]) releaseAddress(ctx context.Context, c *workflow.Call[T]) error {
	id, err := MachineOf(c.Run)
	if err != nil {
		return err
	}
	return p.IPAM().Release(ctx, id)
}

func (p centre[T]) publishName(ctx context.Context, c *workflow.Call[T]) error {
	var data centreData
	if err := c.Data(&data); err != nil {
		return err
	}
	a := data.Address
	c.Detail("%s → %s", data.Name, a.IP)
	return p.DNS().Set(ctx, sprout.Record{Site: a.Site, Name: data.Name, IP: a.IP, VRF: a.VRF, TTL: recordTTL})
}

// withdrawName takes back the names of every address that the machine holds.
func (p centre[T]) withdrawName(ctx context.Context, c *workflow.Call[T]) error {
	m, err := p.machineOf(ctx, c.Run)
	if err != nil {
		return err
	}
	held, err := p.IPAM().Held(ctx, m.ID)
	if err != nil {
		return err
	}
	for _, a := range held {
		if a.Name == "" {
			continue
		}
		if err := p.DNS().Delete(ctx, a.Site, a.Name); err != nil {
			return err
		}
	}
	return nil
}
