package redfish

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sprout"
	"sprout/power"
)

// resetTypes lists what may bring a machine to a power state, best first
// (ResetType of the Redfish Resource schema).
var resetTypes = map[sprout.PowerState][]string{
	sprout.PowerOn:  {"On", "ForceOn"},
	sprout.PowerOff: {"ForceOff"},
}

// Status asks the BMC for the power state. PoweringOn and PoweringOff count as
// what the machine still is.
func (p *Provider) Status(ctx context.Context) (sprout.PowerState, error) {
	if err := p.take(ctx); err != nil {
		return sprout.PowerUnknown, err
	}
	defer p.give()
	s, err := p.readSystem(ctx)
	if err != nil {
		return sprout.PowerUnknown, err
	}
	return s.power(), nil
}

// Set turns power on or off, hard, and returns once the BMC says it is so; after
// SettleTimeout it fails with PowerNotChanged.
func (p *Provider) Set(ctx context.Context, want sprout.PowerState) error {
	if len(resetTypes[want]) == 0 {
		return sprout.InvalidField("power", "cannot set power to %q: it must be on or off", want)
	}
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	s, err := p.stable(ctx)
	if err != nil || s.power() == want {
		return err
	}
	resetType, err := p.resetType(ctx, s, want)
	if err != nil {
		return err
	}
	p.log.Info("reset", "type", resetType)
	if _, err := p.call(ctx, http.MethodPost, s.Actions.Reset.Target, map[string]string{"ResetType": resetType}, ""); err != nil {
		// A BMC may refuse what has just become so by another hand.
		if s, again := p.readSystem(ctx); again == nil && s.power() == want {
			return nil
		}
		return err
	}
	return p.settle(ctx, want, resetType)
}

// heading maps a PowerState that will pass to where it leads.
var heading = map[string]sprout.PowerState{"PoweringOn": sprout.PowerOn, "PoweringOff": sprout.PowerOff}

// stable reads the system, and waits for a change of power that is under way.
func (p *Provider) stable(ctx context.Context) (*system, error) {
	s, err := p.readSystem(ctx)
	if err != nil {
		return nil, err
	}
	goal := heading[s.PowerState]
	if goal == "" {
		return s, nil
	}
	if err := p.settle(ctx, goal, "of somebody else"); err != nil {
		return nil, err
	}
	return p.readSystem(ctx)
}

// settle watches until the power is as wanted.
func (p *Provider) settle(ctx context.Context, want sprout.PowerState, resetType string) error {
	deadline := p.config.After(p.config.SettleTimeout)
	start := time.Now()
	for {
		s, err := p.readSystem(ctx)
		if err != nil {
			return err
		}
		if heading[s.PowerState] == "" && s.power() == want {
			return nil
		}
		select {
		case <-p.config.After(p.config.Poll):
		case <-deadline:
			return p.fail(sprout.PowerNotChanged,
				fmt.Sprintf("cannot turn the machine %s: it did not follow within %s", want, p.config.SettleTimeout),
				fmt.Sprintf("%s accepted ResetType %s; PowerState still %q", p.base.Host, resetType, s.PowerState))
		case <-ctx.Done():
			return p.fail(sprout.PowerNotChanged,
				fmt.Sprintf("cannot turn the machine %s: gave up after %s: %v", want, time.Since(start).Round(time.Millisecond), ctx.Err()),
				fmt.Sprintf("%s accepted ResetType %s; PowerState still %q", p.base.Host, resetType, s.PowerState))
		}
	}
}

// resetType picks the verb among those that the BMC allows, which it says on
// the action or, newer, in an ActionInfo (DSP0266 section 7.13).
func (p *Provider) resetType(ctx context.Context, s *system, want sprout.PowerState) (string, error) {
	reset := s.Actions.Reset
	if reset.Target == "" {
		return "", p.fail(sprout.BMCFailed, "cannot switch power: the BMC offers no Reset action", p.base.Host+p.system)
	}
	allowed := reset.Allowed
	if len(allowed) == 0 && reset.Info != "" {
		var info actionInfo
		if err := p.get(ctx, reset.Info, &info); err != nil {
			return "", err
		}
		allowed = info.allowed("ResetType")
	}
	for _, t := range resetTypes[want] {
		if len(allowed) == 0 || slices.Contains(allowed, t) {
			return t, nil
		}
	}
	return "", p.fail(sprout.BMCFailed, fmt.Sprintf("cannot turn the machine %s: the BMC has no verb for it", want),
		"allowed: "+strings.Join(allowed, ", "))
}

// bootTargets maps our devices to BootSourceOverrideTarget.
var bootTargets = map[power.BootDevice]string{power.BootNetwork: "Pxe", power.BootDisk: "Hdd", power.BootMedia: "Cd"}

// bootModes maps our modes to BootSourceOverrideMode.
var bootModes = map[sprout.BootMode]string{sprout.BIOS: "Legacy", sprout.UEFI: "UEFI"}

// BootOnce sets the boot override for the next start and reads it back. An
// empty mode, or a BMC without the property, leaves the mode alone.
func (p *Provider) BootOnce(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	target := bootTargets[device]
	if target == "" {
		return sprout.InvalidField("device", "cannot boot from %q: it must be network, disk or media", device)
	}
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	for try := 0; ; try++ {
		s, err := p.readSystem(ctx)
		if err != nil {
			return err
		}
		wanted, err := p.override(s.Boot, target, mode)
		if err != nil {
			return err
		}
		res, err := p.call(ctx, http.MethodPatch, p.system, map[string]any{"Boot": wanted}, s.etag)
		if res != nil && res.status == http.StatusPreconditionFailed && try == 0 {
			continue // somebody changed the system since we read it
		}
		if err != nil {
			return err
		}
		return p.confirmOverride(ctx, wanted)
	}
}

// override decides what to write into the system's Boot property.
func (p *Provider) override(now boot, target string, mode sprout.BootMode) (map[string]string, error) {
	wanted := map[string]string{"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Once"}
	if len(now.Targets) > 0 && !slices.Contains(now.Targets, target) {
		code := sprout.BMCFailed
		if target == bootTargets[power.BootMedia] {
			code = sprout.MediaRefused
		}
		return nil, p.fail(code, "cannot boot from "+target+": the BMC does not offer it", "allowed: "+strings.Join(now.Targets, ", "))
	}
	name := bootModes[mode]
	if name == "" || now.Mode == nil {
		return wanted, nil
	}
	if len(now.Modes) > 0 && !slices.Contains(now.Modes, name) {
		return nil, p.fail(sprout.BMCFailed, "cannot boot in "+name+" mode: the BMC does not offer it", "allowed: "+strings.Join(now.Modes, ", "))
	}
	wanted["BootSourceOverrideMode"] = name
	return wanted, nil
}

// overrideLooks is how often the override is read back: some BMCs take a moment.
const overrideLooks = 10

func (p *Provider) confirmOverride(ctx context.Context, wanted map[string]string) error {
	var kept boot
	for range overrideLooks {
		s, err := p.readSystem(ctx)
		if err != nil {
			return err
		}
		kept = s.Boot
		if kept.Target == wanted["BootSourceOverrideTarget"] && kept.Enabled == wanted["BootSourceOverrideEnabled"] {
			return nil
		}
		if err := p.pause(ctx, p.config.Poll); err != nil {
			break
		}
	}
	raw, _ := json.Marshal(wanted)
	return p.fail(sprout.BMCFailed, "cannot choose the next boot: the BMC accepted the override but did not keep it",
		fmt.Sprintf("asked for %s; kept target %q, enabled %q", raw, kept.Target, kept.Enabled))
}
