package provision

import (
	"context"
	"fmt"
	"net/netip"

	"sprout"
	"sprout/ipam"
	"sprout/power"
	"sprout/workflow"
)

// byNetwork is what the steps say that only virtual media need.
const byNetwork = "skipped: it boots by network"

// forMedia is the subnet of the address that the run gives a machine which boots
// by virtual media, and so has no DHCP that would; empty: it boots by network.
func forMedia[T any](c *workflow.Call[T]) (sprout.SubnetID, error) {
	var in struct {
		Subnet sprout.SubnetID `json:"subnet"`
	}
	return in.Subnet, c.Input(&in)
}

// reserveForMedia gives the machine that address. At its release it may hold one,
// that of its system.
func (p centre[T]) reserveForMedia(ctx context.Context, c *workflow.Call[T]) error {
	subnet, err := forMedia(c)
	if err != nil || subnet == "" {
		c.Detail(byNetwork)
		return err
	}
	if !c.Claimed() {
		return workflow.Slow()
	}
	var data centreData
	if err := c.Data(&data); err != nil {
		return err
	}
	m, err := p.machineOf(ctx, c.Run)
	if err != nil {
		return err
	}
	if held, err := p.IPAM().Held(ctx, m.ID); err != nil || c.Run.Kind == Release && len(held) > 0 {
		return err
	}
	said, err := p.giveForMedia(ctx, subnet, m, &data)
	if err != nil {
		return err
	}
	c.Detail("%s", said)
	return c.Keep(data)
}

// giveForMedia notes in data what the machine has for its boot, which is new where it
// has none, and returns it in words.
func (p centre[T]) giveForMedia(ctx context.Context, subnet sprout.SubnetID, m sprout.Machine, data *centreData) (string, error) {
	mac, err := bootMAC(m)
	if err != nil {
		return "", err
	}
	a, err := p.IPAM().Allocate(ctx, ipam.Request{Subnet: subnet, Machine: m.ID, MAC: mac})
	if err != nil {
		return "", err
	}
	data.Given = []sprout.Address{a}
	return fmt.Sprintf("%s for %s", a.IP, mac), nil
}

// givenForMedia is the address that the run gave the machine for its boot; zero: none.
func givenForMedia[T any](c *workflow.Call[T]) (ip netip.Addr, err error) {
	var data centreData
	if err := c.Data(&data); err != nil || len(data.Given) == 0 {
		return ip, err
	}
	return data.Given[0].IP, nil
}

// releaseForMedia gives it back: a machine that is commissioned holds no other.
func (p centre[T]) releaseForMedia(ctx context.Context, c *workflow.Call[T]) error {
	subnet, err := forMedia(c)
	if err != nil || subnet == "" {
		c.Detail(byNetwork)
		return err
	}
	if !c.Claimed() {
		return workflow.Slow()
	}
	return p.releaseAddress(ctx, c)
}

// undoReserveForMedia gives back what this run took; a system that is installed
// keeps its address.
func (p centre[T]) undoReserveForMedia(ctx context.Context, c *workflow.Call[T]) error {
	var data centreData
	if err := c.Data(&data); err != nil || len(data.Given) == 0 {
		return err
	}
	return p.releaseAddress(ctx, c)
}

// bootOnce chooses what the machine's next start boots: the network, or what its
// BMC inserts in place of what another boot left in.
func (p site[T]) bootOnce(ctx context.Context, c *workflow.Call[T], bmc power.Provider) error {
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	if data.Media == "" {
		return bmc.BootOnce(ctx, power.BootNetwork, "")
	}
	if err := p.CheckMedia(ctx, id); err != nil {
		return err
	}
	if err := bmc.InsertMedia(ctx, data.Media); err != nil {
		return err
	}
	c.Detail("from virtual media")
	return bmc.BootOnce(ctx, power.BootMedia, "")
}

// ejectMedia takes out what the machine booted from as soon as its ramdisk runs,
// all of it in memory: firmware that prefers a CD would boot it again.
func (p site[T]) ejectMedia(ctx context.Context, c *workflow.Call[T]) error {
	data, err := dataOf(c)
	if err != nil || data.Media == "" {
		c.Detail(byNetwork)
		return err
	}
	if !c.Claimed() {
		return workflow.Slow()
	}
	_, bmc, err := p.bmc(ctx, c)
	if err != nil {
		return err
	}
	return bmc.EjectMedia(ctx)
}
