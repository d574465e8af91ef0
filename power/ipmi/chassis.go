package ipmi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bougou/go-ipmi/pkg/command/chassis"
	"github.com/bougou/go-ipmi/pkg/types"

	"sprout"
	"sprout/power"
)

// controls are the chassis controls (section 28.3) that bring a machine to a
// power state. Off is hard.
var controls = map[sprout.PowerState]chassis.ChassisControl{
	sprout.PowerOn: chassis.ChassisControlPowerUp, sprout.PowerOff: chassis.ChassisControlPowerDown,
}

// Status asks the BMC for the power state (section 28.2).
func (p *Provider) Status(ctx context.Context) (sprout.PowerState, error) {
	state := sprout.PowerUnknown
	err := p.command(ctx, "ask for the power", func(s *session) error {
		res, err := s.GetChassisStatus(ctx)
		if err == nil {
			state = map[bool]sprout.PowerState{true: sprout.PowerOn, false: sprout.PowerOff}[res.PowerIsOn]
		}
		return err
	})
	return state, err
}

// Set turns power on or off, hard, and returns once the BMC says it is so; after
// SettleTimeout it fails with PowerNotChanged.
func (p *Provider) Set(ctx context.Context, want sprout.PowerState) error {
	control, ok := controls[want]
	if !ok {
		return sprout.InvalidField("power", "cannot set power to %q: it must be on or off", want)
	}
	is, err := p.Status(ctx)
	if err != nil || is == want {
		return err
	}
	p.log.Info("chassis control", "power", want)
	err = p.command(ctx, "turn the machine "+string(want), func(s *session) error {
		_, err := s.ChassisControl(ctx, control)
		return err
	})
	if err != nil {
		// A BMC may refuse what has just become so by another hand.
		if is, again := p.Status(ctx); again == nil && is == want {
			return nil
		}
		return err
	}
	return p.settle(ctx, want)
}

// settle watches until the power is as wanted.
func (p *Provider) settle(ctx context.Context, want sprout.PowerState) error {
	deadline, start := p.config.After(p.config.SettleTimeout), time.Now()
	for {
		is, err := p.Status(ctx)
		if err != nil || is == want {
			return err
		}
		evidence := fmt.Sprintf("%s accepted chassis control power %s; its chassis status still says %s", p.at(), want, is)
		select {
		case <-p.config.After(p.config.Poll):
		case <-deadline:
			return p.fail(sprout.PowerNotChanged, fmt.Sprintf("cannot turn the machine %s: it did not follow within %s", want, p.config.SettleTimeout), evidence)
		case <-ctx.Done():
			return p.fail(sprout.PowerNotChanged, fmt.Sprintf("cannot turn the machine %s: gave up after %s: %v", want, time.Since(start).Round(time.Millisecond), ctx.Err()), evidence)
		}
	}
}

// selectors are the boot devices of the boot flags (table 28-14, parameter 5).
var selectors = map[power.BootDevice]types.BootDeviceSelector{
	power.BootNetwork: types.BootDeviceSelectorForcePXE, power.BootDisk: types.BootDeviceSelectorForceHardDrive,
}

// BootOnce sets the boot flags of the next start and reads them back. IPMI has no
// flags without a mode: an empty one is the machine's, or else BIOS.
func (p *Provider) BootOnce(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	if _, ok := selectors[device]; !ok {
		return sprout.InvalidField("device", "cannot boot from %q: it must be network or disk", device)
	}
	if mode == "" {
		mode = p.config.Mode
	}
	if err := p.login(ctx); err != nil { // which tells of quirks
		return err
	}
	flags := p.quirk.flags(device, mode)
	p.stayValid(ctx)
	err := p.command(ctx, "choose the next boot", func(s *session) error { return s.SetSystemBootOptionsParamFor(ctx, &flags) })
	if err != nil {
		return err
	}
	var kept types.BootOptionParam_BootFlags
	err = p.command(ctx, "read the next boot back", func(s *session) error { return s.GetSystemBootOptionsParamFor(ctx, &kept) })
	if err != nil {
		return err
	}
	if !p.quirk.same(flags, kept) {
		return p.fail(sprout.BMCFailed, "cannot choose the next boot: the BMC accepted the boot flags but did not keep them",
			fmt.Sprintf("%s: asked for % x; kept % x", p.at(), flags.Pack(), kept.Pack()))
	}
	return nil
}

// keepFlags says that the boot flags are not to expire 60 s after they were set
// (table 28-14, parameter 3): firmware may take longer to read them.
const keepFlags = 1 << 3

// stayValid asks for that where the BMC can: not all have the parameter.
func (p *Provider) stayValid(ctx context.Context) {
	err := p.command(ctx, "keep the boot flags", func(s *session) error {
		_, err := s.SetSystemBootOptionsParam(ctx, &chassis.SetSystemBootOptionsParamRequest{
			ParamSelector: types.BootOptionParamSelector_BMCBootFlagValidBitClear, ParamData: []byte{keepFlags},
		})
		return err
	})
	var failed *sprout.Failure
	if errors.As(err, &failed) {
		p.log.Debug("the BMC lets boot flags expire after a minute", "error", failed.Evidence)
	}
}
