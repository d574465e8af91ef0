package redfish

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sprout"
	"sprout/power"
)

// resetTypes lists what may bring a machine to a power state, best first
// (ResetType of the Redfish Resource schema).
var resetTypes = map[sprout.PowerState][]string{
	sprout.PowerOn:  {"On", "ForceOn"},
	sprout.PowerOff: {"ForceOff"},
}

// Power reads the power state. PoweringOn and PoweringOff count as what the machine
// still is, and as passing.
func (p *Driver) Power(ctx context.Context) (power.Reading, error) {
	s, err := p.readSystem(ctx)
	if err != nil {
		return power.Reading{Power: sprout.PowerUnknown}, err
	}
	passing := s.PowerState == "PoweringOn" || s.PowerState == "PoweringOff"
	return power.Reading{Power: s.power(), Passing: passing, Says: p.scrub(fmt.Sprintf("PowerState %q", s.PowerState))}, nil
}

// Switch orders power on or off, hard.
func (p *Driver) Switch(ctx context.Context, want sprout.PowerState) error {
	s, err := p.readSystem(ctx)
	if err != nil {
		return err
	}
	resetType, err := p.resetType(ctx, s, want)
	if err != nil {
		return err
	}
	p.log.Info("reset", "type", resetType)
	_, err = p.call(ctx, http.MethodPost, s.Actions.Reset.Target, map[string]string{"ResetType": resetType}, "")
	return err
}

// resetType picks the verb among those that the BMC allows, which it says on
// the action or, newer, in an ActionInfo (DSP0266 section 7.13).
func (p *Driver) resetType(ctx context.Context, s *system, want sprout.PowerState) (string, error) {
	reset := s.Actions.Reset
	if reset.Target == "" {
		return "", p.fail(sprout.BMCFailed, "cannot switch power: the BMC offers no Reset action", p.base.Host+p.found.system)
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

// Choose sets the boot override of the next start. An empty mode, or a BMC without
// the property, leaves the mode alone.
func (p *Driver) Choose(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	if bootTargets[device] == "" {
		return sprout.InvalidField("device", "cannot boot from %q: it must be network, disk or media", device)
	}
	return p.probing(func() error {
		s, err := p.readSystem(ctx)
		if err != nil {
			return err
		}
		wanted, err := p.override(s.Boot, device, mode)
		if err != nil {
			return err
		}
		if err := p.patchBoot(ctx, wanted); err != nil {
			return err
		}
		p.wanted = wanted
		return nil
	})
}

// The kinds of tags that BMCs want back which do not take the one they gave.
func ofBody(body string) string { return body }
func strong(read string) string { return strings.TrimPrefix(read, "W/") }
func anyTag(string) string      { return "*" }
func noTag(string) string       { return "" }

// patchBoot writes the override, to where the BMC takes it. What somebody changed
// since it was read is read again.
func (p *Driver) patchBoot(ctx context.Context, wanted map[string]string) error {
	for try := 0; ; try++ {
		at, s, err := p.bootObject(ctx)
		if err != nil {
			return err
		}
		res, err := p.patchTagged(ctx, at, map[string]any{"Boot": wanted}, s.etags)
		if res != nil && res.status == http.StatusPreconditionFailed && try == 0 {
			continue
		}
		return err
	}
}

// bootObject is the resource that has the override: the system, or its settings.
func (p *Driver) bootObject(ctx context.Context) (string, *system, error) {
	s, err := p.readSystem(ctx)
	if err != nil || !p.found.quirk.settings || s.Settings.Object.ID == "" {
		return p.found.system, s, err
	}
	at := s.Settings.Object.ID
	s, _, err = p.systemAt(ctx, at)
	return at, s, err
}

// patchTagged sends a change with the tag that was read or, where the BMC is known
// not to take that, with one after the other of what it may take.
func (p *Driver) patchTagged(ctx context.Context, at string, body any, read []string) (res *response, err error) {
	first, last := "", ""
	if len(read) > 0 {
		first, last = read[0], read[len(read)-1]
	}
	kinds := p.found.quirk.etags
	if len(kinds) == 0 {
		return p.call(ctx, http.MethodPatch, at, body, first)
	}
	for i, kind := range kinds {
		res, err = p.call(ctx, http.MethodPatch, at, body, kind(last))
		if res == nil || res.status != http.StatusPreconditionFailed && res.status != http.StatusPreconditionRequired {
			p.found.quirk.etags = kinds[i:] // asked with at once, from now on
			return res, err
		}
	}
	return res, err
}

// override decides what to write into the system's Boot property.
func (p *Driver) override(now boot, device power.BootDevice, mode sprout.BootMode) (map[string]string, error) {
	target := bootTargets[device]
	if p.found.quirk.usbCD && device == power.BootMedia && slices.Contains(now.Targets, "UsbCd") {
		target = "UsbCd"
	}
	wanted := map[string]string{"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Once"}
	if len(now.Targets) > 0 && !slices.Contains(now.Targets, target) {
		code := sprout.BMCFailed
		if device == power.BootMedia {
			code = sprout.MediaRefused
		}
		return nil, p.fail(code, "cannot boot from "+target+": the BMC does not offer it", "allowed: "+strings.Join(now.Targets, ", "))
	}
	name := bootModes[mode]
	if now.Mode != nil && name == "" && p.found.quirk.sayMode {
		name = *now.Mode
	}
	if name == "" || now.Mode == nil {
		return wanted, nil
	}
	if p.found.quirk.modeFixed {
		if *now.Mode == name {
			return wanted, nil
		}
		return nil, p.fail(sprout.BMCFailed, "cannot boot in "+name+" mode: the BMC does not let the mode be changed; set it in the firmware's own setup",
			"BootSourceOverrideMode is "+*now.Mode+", and is not writable")
	}
	if len(now.Modes) > 0 && !slices.Contains(now.Modes, name) {
		return nil, p.fail(sprout.BMCFailed, "cannot boot in "+name+" mode: the BMC does not offer it", "allowed: "+strings.Join(now.Modes, ", "))
	}
	wanted["BootSourceOverrideMode"] = name
	return wanted, nil
}

// Chosen reads the override back.
func (p *Driver) Chosen(ctx context.Context) (power.Reading, error) {
	_, s, err := p.bootObject(ctx)
	if err != nil {
		return power.Reading{}, err
	}
	kept, mode := s.Boot, ""
	if kept.Mode != nil {
		mode = *kept.Mode
	}
	yes := kept.Target == p.wanted["BootSourceOverrideTarget"] &&
		(p.found.quirk.anyEnabled || kept.Enabled == p.wanted["BootSourceOverrideEnabled"]) &&
		(p.wanted["BootSourceOverrideMode"] == "" || mode == p.wanted["BootSourceOverrideMode"])
	raw, _ := json.Marshal(p.wanted) // a map of strings
	return power.Reading{Yes: yes, Says: p.scrub(fmt.Sprintf("target %q, enabled %q, mode %q after it was told %s", kept.Target, kept.Enabled, mode, raw))}, nil
}

// longestName is how many bytes are kept of what a BMC calls itself.
const longestName = 100

// About is what the BMC has told of itself since it was last looked for.
func (p *Driver) About() sprout.BMCAbout {
	a := p.found.about
	for _, said := range []*string{&a.Vendor, &a.Model, &a.Firmware} {
		text := strings.ReplaceAll(p.scrub(*said), "\x00", "")
		*said = strings.ToValidUTF8(text[:min(len(text), longestName)], "")
	}
	a.Quirks = slices.Clone(a.Quirks)
	return a
}
