// Package emulator is a BMC that speaks IPMI 2.0 over LAN for a machine that is
// not there. What is IPMI about it is go-ipmi's own server; this package wires it
// to a machine, and keeps the boot flags, as a BMC does. It must not know how its
// machine is switched, nor who asks.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/bougou/go-ipmi/pkg/bmc"
	"github.com/bougou/go-ipmi/pkg/hal"
	"github.com/bougou/go-ipmi/pkg/hal/mock"
	"github.com/bougou/go-ipmi/pkg/server"
	"github.com/bougou/go-ipmi/pkg/transport/udp"
	"github.com/bougou/go-ipmi/pkg/types"

	"sprout"
	"sprout/power"
)

// A Machine is what the BMC is wired to. Its functions may be called at once, and
// may be repeated.
type Machine struct {
	Power func() sprout.PowerState
	// On starts the machine from device, by its own order if that is empty.
	On func(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error
	// Off stops the machine at once and returns when it has stopped.
	Off func(ctx context.Context) error
}

// Faults are what the BMC does wrong. The zero value is a good BMC.
type Faults struct {
	IgnorePower bool // power commands are accepted and dropped
	IgnoreFlags bool // boot flags are accepted and dropped
}

// A BMC is an emulated service processor with a UDP port of its own.
type BMC struct {
	Addr net.Addr

	server *server.Server
	serves sync.WaitGroup
}

// The account's slot, and the channel that the LAN is.
const (
	userID  = 2
	channel = 1
)

// Open serves the BMC of machine at address, as 127.0.0.1:0, to one user.
func Open(address string, machine Machine, username, password string, faults Faults) (*BMC, error) {
	conn, err := udp.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("cannot serve IPMI at %s: %w", address, err)
	}
	info := bmc.DeviceInfo{DeviceID: 32, DeviceRevision: 1, FirmwareMajor: 1, IPMIVersion: 0x20}
	b := bmc.New(info, [16]byte{}, &board{HAL: mock.New(), chassis: &chassis{machine: machine, faults: faults}})
	user, err := b.Users.Add(userID, username)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot serve IPMI to %q: %w", username, err), conn.Close())
	}
	user.SetPassword([]byte(password))
	user.Enabled = true
	user.ChannelAccess[channel] = bmc.UserChannelAccess{MaxPrivilege: bmc.PrivilegeLevelOperator, Enabled: true}
	e := &BMC{Addr: conn.LocalAddr(), server: server.NewServer(b, conn)}
	e.serves.Go(func() { _ = e.server.Serve(context.Background()) }) // it ends by Close
	return e, nil
}

// URL is where a provider finds the BMC.
func (b *BMC) URL() string { return "ipmi://" + b.Addr.String() }

// Close ends the service and returns when nothing of it runs any more.
func (b *BMC) Close() {
	_ = b.server.Close()
	b.serves.Wait()
}

// A board is go-ipmi's own, but for the chassis.
type board struct {
	*mock.HAL
	chassis *chassis
}

func (b *board) Chassis() hal.ChassisHAL { return b.chassis }

// A chassis turns the machine on and off, and keeps the boot flags.
type chassis struct {
	mock.Chassis // what is not asked for here
	machine      Machine
	faults       Faults

	mu    sync.Mutex
	flags types.BootOptionParam_BootFlags
}

func (c *chassis) PowerState(context.Context) (bool, error) {
	return c.machine.Power() == sprout.PowerOn, nil
}

// SetPower consumes the boot flags at a start, as firmware does.
func (c *chassis) SetPower(ctx context.Context, on bool) error {
	switch {
	case c.faults.IgnorePower:
		return nil
	case !on:
		return c.machine.Off(ctx)
	case c.machine.Power() == sprout.PowerOn:
		return nil
	}
	device, mode := c.take()
	return c.machine.On(ctx, device, mode)
}

// PowerCycle and ColdReset both start the machine anew.
func (c *chassis) PowerCycle(ctx context.Context) error {
	return errors.Join(c.SetPower(ctx, false), c.SetPower(ctx, true))
}

func (c *chassis) ColdReset(ctx context.Context) error { return c.PowerCycle(ctx) }

// WarmReset is the power button: every system obeys at once.
func (c *chassis) WarmReset(ctx context.Context) error { return c.SetPower(ctx, false) }

func (c *chassis) SetBootFlags(_ context.Context, flags *types.BootOptionParam_BootFlags) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.faults.IgnoreFlags {
		c.flags = *flags
	}
	return nil
}

func (c *chassis) GetBootFlags(context.Context) (*types.BootOptionParam_BootFlags, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.flags
	return &kept, nil
}

// devices are the boot devices by their selectors.
var devices = map[types.BootDeviceSelector]power.BootDevice{
	types.BootDeviceSelectorForcePXE: power.BootNetwork, types.BootDeviceSelectorForceHardDrive: power.BootDisk,
}

// take is what the next start boots from; flags that are for once are consumed.
func (c *chassis) take() (power.BootDevice, sprout.BootMode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.flags
	if !now.BootFlagsValid {
		return "", ""
	}
	if !now.Persist {
		c.flags = types.BootOptionParam_BootFlags{}
	}
	if now.BIOSBootType == types.BIOSBootTypeEFI {
		return devices[now.BootDeviceSelector], sprout.UEFI
	}
	return devices[now.BootDeviceSelector], sprout.BIOS
}
