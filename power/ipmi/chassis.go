package ipmi

import (
	"context"
	"errors"
	"fmt"

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

// Power reads the power state (section 28.2).
func (p *Driver) Power(ctx context.Context) (power.Reading, error) {
	state := sprout.PowerUnknown
	err := p.command(ctx, "ask for the power", func(s *session) error {
		res, err := s.GetChassisStatus(ctx)
		if err == nil {
			state = map[bool]sprout.PowerState{true: sprout.PowerOn, false: sprout.PowerOff}[res.PowerIsOn]
		}
		return err
	})
	return power.Reading{Power: state, Says: "chassis status " + string(state) + " at " + p.at()}, err
}

// Switch orders power on or off, hard.
func (p *Driver) Switch(ctx context.Context, want sprout.PowerState) error {
	p.log.Info("chassis control", "power", want)
	return p.command(ctx, "turn the machine "+string(want), func(s *session) error {
		_, err := s.ChassisControl(ctx, controls[want])
		return err
	})
}

// selectors are the boot devices of the boot flags (table 28-14, parameter 5).
var selectors = map[power.BootDevice]types.BootDeviceSelector{
	power.BootNetwork: types.BootDeviceSelectorForcePXE, power.BootDisk: types.BootDeviceSelectorForceHardDrive,
}

// Choose sets the boot flags of the next start. IPMI has no flags without a mode: an
// empty one is the machine's, or else BIOS.
func (p *Driver) Choose(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	if _, ok := selectors[device]; !ok {
		return sprout.InvalidField("device", "cannot boot from %q: it must be network or disk", device)
	}
	if mode == "" {
		mode = p.config.Mode
	}
	if err := p.login(ctx); err != nil { // which tells of quirks
		return err
	}
	p.wanted = p.quirk.flags(device, mode)
	p.stayValid(ctx)
	return p.command(ctx, "choose the next boot", func(s *session) error { return s.SetSystemBootOptionsParamFor(ctx, &p.wanted) })
}

// Chosen reads the boot flags back.
func (p *Driver) Chosen(ctx context.Context) (power.Reading, error) {
	var kept types.BootOptionParam_BootFlags
	err := p.command(ctx, "read the next boot back", func(s *session) error { return s.GetSystemBootOptionsParamFor(ctx, &kept) })
	if err != nil {
		return power.Reading{}, err
	}
	return power.Reading{
		Yes: p.quirk.same(p.wanted, kept), Says: fmt.Sprintf("boot flags % x at %s after it was told % x", kept.Pack(), p.at(), p.wanted.Pack()),
	}, nil
}

// keepFlags says that the boot flags are not to expire 60 s after they were set
// (table 28-14, parameter 3): firmware may take longer to read them.
const keepFlags = 1 << 3

// stayValid asks for that where the BMC can: not all have the parameter.
func (p *Driver) stayValid(ctx context.Context) {
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
