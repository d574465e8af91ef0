package provision

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"sprout"
	"sprout/ipam"
	"sprout/netconfig"
	"sprout/workflow"
)

// recordTTL is short: a machine's address may go to another after its release.
const recordTTL = 60

// reserveAddress takes every address that the machine's network configuration
// wants. The site's DHCP learns of them from the address management.
func (p centre[T]) reserveAddress(ctx context.Context, c *workflow.Call[T]) error {
	var in DeployInput
	if err := c.Input(&in); err != nil {
		return err
	}
	var data centreData
	said, err := p.reserve(ctx, in, &data)
	if err != nil {
		return err
	}
	c.Detail("%s", said)
	return c.Keep(data)
}

// reserve notes in data what the machine has for each address that it wants, which
// is new where it has none, and returns it in words.
func (p centre[T]) reserve(ctx context.Context, in DeployInput, data *centreData) (string, error) {
	m, err := p.Machine(ctx, in.Machine)
	if err != nil {
		return "", err
	}
	site, err := p.Site(ctx, m.Site)
	if err != nil {
		return "", err
	}
	config, err := configOf(in, m)
	if err != nil {
		return "", err
	}
	data.Name, data.Given, data.Address = m.Name+"."+site.Domain, nil, nil
	wants := netconfig.Wanted(config)
	names, err := p.namesOf(ctx, m, data.Name, wants)
	if err != nil {
		return "", err
	}
	var said []string
	for i, w := range wants {
		a, err := p.IPAM().Allocate(ctx, ipam.Request{Subnet: w.Subnet, Machine: m.ID, MAC: w.MAC, Name: names[i], IP: w.IP})
		if err != nil {
			return "", err
		}
		if w.IP.IsValid() && a.IP != w.IP {
			return "", sprout.Errorf(sprout.Conflict, "cannot give %s %s: it has %s there until it is released", m.Name, w.IP, a.IP).WithRemedy("sprout machine release %s", m.Name)
		}
		data.Given = append(data.Given, a)
		said = append(said, fmt.Sprintf("%s for %s", a.IP, cmp.Or(w.Interface, w.MAC)))
	}
	return strings.Join(said, ", "), nil
}

// configOf is the machine's network configuration; where it has none, its boot
// interface has an address of the subnet that was chosen.
func configOf(in DeployInput, m sprout.Machine) (sprout.NetworkConfig, error) {
	if in.Network != nil {
		return *in.Network, nil
	}
	mac, err := bootMAC(m)
	return sprout.NetworkConfig{Interfaces: []sprout.InterfaceConfig{
		{MAC: mac, Addresses: []sprout.StaticAddress{{Subnet: string(in.Subnet)}}},
	}}, err
}

// namesOf are the names of the addresses that are wanted.
func (p centre[T]) namesOf(ctx context.Context, m sprout.Machine, host string, wants []netconfig.Want) ([]string, error) {
	families := make([]bool, len(wants))
	for i, w := range wants {
		sub, err := p.Subnet(ctx, m.Site, w.Subnet)
		if err != nil {
			return nil, err
		}
		families[i] = sub.CIDR.Addr().Is4()
	}
	return netconfig.Names(host, wants, families), nil
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
	said, err := p.publish(ctx, data)
	if err == nil {
		c.Detail("%s", said)
	}
	return err
}

// publish publishes the names of all addresses, and returns them in words.
func (p centre[T]) publish(ctx context.Context, data centreData) (string, error) {
	var said []string
	for _, a := range data.given() {
		if a.Name == "" {
			continue
		}
		if err := p.DNS().Set(ctx, sprout.Record{Site: a.Site, Name: a.Name, IP: a.IP, VRF: a.VRF, TTL: recordTTL}); err != nil {
			return "", err
		}
		said = append(said, fmt.Sprintf("%s → %s", a.Name, a.IP))
	}
	if len(said) == 0 {
		said = []string{"no address of IPAM to publish a name for"}
	}
	return strings.Join(said, ", "), nil
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
