package emulator

import (
	"net/http"
	"slices"
	"strings"

	"sprout"
	"sprout/power"
)

// The words of Redfish for ours.
var (
	powerNames  = map[sprout.PowerState]string{sprout.PowerOn: "On", sprout.PowerOff: "Off"}
	modeNames   = map[sprout.BootMode]string{sprout.BIOS: "Legacy", sprout.UEFI: "UEFI"}
	targetNames = map[power.BootDevice]string{power.BootNetwork: "Pxe", power.BootDisk: "Hdd", power.BootMedia: "Cd"}

	bootTargets  = []string{"None", "Pxe", "Hdd", "Cd"}
	bootEnabling = []string{"Disabled", "Once", "Continuous"}
)

func modeOf(name string) sprout.BootMode {
	for mode, n := range modeNames {
		if n == name {
			return mode
		}
	}
	return ""
}

func (b *BMC) modes() []string {
	var names []string
	for _, m := range b.facts.Modes {
		names = append(names, modeNames[m])
	}
	return names
}

func (b *BMC) getSystem(w http.ResponseWriter, _ *http.Request) {
	s := b.system()
	w.Header().Set("ETag", etag(s))
	reply(w, http.StatusOK, s)
}

func (b *BMC) system() object {
	s := object{
		"@odata.type":        "#ComputerSystem.v1_10_0.ComputerSystem",
		"@odata.id":          base + "/Systems/1",
		"Id":                 "1",
		"Name":               b.facts.Name,
		"SystemType":         "Physical",
		"UUID":               b.facts.UUID,
		"SerialNumber":       b.facts.Serial,
		"Manufacturer":       b.facts.Manufacturer,
		"Model":              b.facts.Model,
		"PowerState":         powerNames[b.machine.Power()],
		"Status":             object{"State": "Enabled", "Health": "OK"},
		"Boot":               b.boot(),
		"ProcessorSummary":   object{"Count": b.facts.CPUs, "LogicalProcessorCount": b.facts.CPUs},
		"MemorySummary":      object{"TotalSystemMemoryGiB": float64(b.facts.MemoryMB) / 1024},
		"EthernetInterfaces": link("/Systems/1/EthernetInterfaces"),
		"Links":              object{"ManagedBy": links("/Managers/1"), "Chassis": links("/Chassis/1")},
		"Actions": object{"#ComputerSystem.Reset": object{
			"target":                            base + "/Systems/1/Actions/ComputerSystem.Reset",
			"ResetType@Redfish.AllowableValues": resetTypes(),
		}},
	}
	if f := b.Faults(); !f.NoMedia && !f.OldMedia {
		s["VirtualMedia"] = link("/Systems/1/VirtualMedia")
	}
	return s
}

func (b *BMC) boot() object {
	b.mu.Lock()
	defer b.mu.Unlock()
	boot := object{
		"BootSourceOverrideTarget":                          b.override.Target,
		"BootSourceOverrideTarget@Redfish.AllowableValues":  bootTargets,
		"BootSourceOverrideEnabled":                         b.override.Enabled,
		"BootSourceOverrideEnabled@Redfish.AllowableValues": bootEnabling,
	}
	if !b.faults.NoMode {
		boot["BootSourceOverrideMode"] = b.override.Mode
		boot["BootSourceOverrideMode@Redfish.AllowableValues"] = b.modes()
	}
	return boot
}

// patchSystem changes the boot override; nothing else of a system can be.
func (b *BMC) patchSystem(w http.ResponseWriter, r *http.Request) {
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && match != etag(b.system()) {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "The ETag supplied did not match the ETag required to change this resource.")
		return
	}
	var patch struct {
		Boot map[string]string
	}
	if !decode(w, r, &patch) {
		return
	}
	b.mu.Lock()
	wanted, refused := b.overridden(patch.Boot)
	switch {
	case refused != "":
	case b.faults.IgnoreOverride > 0:
		b.faults.IgnoreOverride--
	default:
		b.override = wanted
	}
	b.mu.Unlock()
	if refused != "" {
		refuse(w, http.StatusBadRequest, "PropertyValueNotInList", refused)
		return
	}
	b.log.Info("boot override", "target", wanted.Target, "enabled", wanted.Enabled, "mode", wanted.Mode)
	s := b.system()
	w.Header().Set("ETag", etag(s))
	reply(w, http.StatusOK, s)
}

// overridden is the override after a patch, or why it is refused.
func (b *BMC) overridden(patch map[string]string) (override, string) {
	next := b.override
	fields := map[string]struct {
		into    *string
		allowed []string
	}{
		"BootSourceOverrideTarget":  {&next.Target, bootTargets},
		"BootSourceOverrideEnabled": {&next.Enabled, bootEnabling},
		"BootSourceOverrideMode":    {&next.Mode, b.modes()},
	}
	for name, value := range patch {
		f, known := fields[name]
		if !known || (b.faults.NoMode && name == "BootSourceOverrideMode") {
			return next, "The property " + name + " is not one that can be changed."
		}
		if !slices.Contains(f.allowed, value) {
			return next, "The value " + value + " for the property " + name + " is not in the list of acceptable values: " + strings.Join(f.allowed, ", ") + "."
		}
		*f.into = value
	}
	if next.Target == "None" || next.Enabled == "Disabled" {
		return b.noOverride(), ""
	}
	return next, ""
}
