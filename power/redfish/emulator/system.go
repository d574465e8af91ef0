package emulator

import (
	"net/http"
	"slices"
	"strings"
	"time"

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

// getSystems answers with the one system, wherever it is.
func (b *BMC) getSystems(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, members("/Systems", "ComputerSystem", b.place()))
}

func (b *BMC) place() string {
	if b.Faults().Moved {
		return "/Systems/Self"
	}
	return "/Systems/1"
}

func (b *BMC) getSystem(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != base+b.place() {
		refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "The resource at the URI "+r.URL.Path+" was not found.")
		return
	}
	s := b.system()
	odd := b.Faults().ETag
	w.Header().Set("ETag", told(odd, etag(s)))
	if odd == "body" {
		s["@odata.etag"] = etag(b.system())
	}
	reply(w, http.StatusOK, s)
}

// getSettings is where some makes have the override written.
func (b *BMC) getSettings(w http.ResponseWriter, r *http.Request) {
	if !b.Faults().Settings {
		refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "The resource at the URI "+r.URL.Path+" was not found.")
		return
	}
	s := object{"@odata.id": base + "/Systems/1/SD", "Id": "SD", "Boot": b.boot()}
	w.Header().Set("ETag", etag(b.system()))
	reply(w, http.StatusOK, s)
}

// told is the tag that a make tells for a resource's own.
func told(odd, own string) string {
	switch odd {
	case "":
		return own
	case "strong":
		return "W/" + own
	}
	return `"` + own + `"` // quoted twice
}

// takes tells whether a make takes a change with the tag, and how it says no.
func (b *BMC) takes(match string) int {
	own, odd := etag(b.system()), b.Faults().ETag
	want := map[string]string{"body": own, "strong": own, "any": "*", "none": ""}
	switch w, is := want[odd]; {
	case !is && (match == "" || match == "*" || match == own), is && match == w:
		return 0
	case match == "":
		return http.StatusPreconditionRequired
	}
	return http.StatusPreconditionFailed
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
		"PowerState":         b.powerState(),
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
	f := b.Faults()
	if !f.NoMedia && !f.OldMedia {
		s["VirtualMedia"] = link("/Systems/1/VirtualMedia")
	}
	if f.Settings {
		s["@Redfish.Settings"] = object{"SettingsObject": link("/Systems/1/SD")}
	}
	return s
}

// powerState is the power as it is told, which may be late.
func (b *BMC) powerState() string {
	now := powerNames[b.machine.Power()]
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(b.until) {
		return b.was
	}
	return now
}

// lateFrom begins the time in which the power is told as it was.
func (b *BMC) lateFrom(was string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults.LatePower > 0 {
		b.was, b.until = was, time.Now().Add(b.faults.LatePower)
	}
}

func (b *BMC) boot() object {
	b.mu.Lock()
	defer b.mu.Unlock()
	boot := object{
		"BootSourceOverrideTarget":                          b.override.Target,
		"BootSourceOverrideTarget@Redfish.AllowableValues":  b.targets(),
		"BootSourceOverrideEnabled":                         b.override.Enabled,
		"BootSourceOverrideEnabled@Redfish.AllowableValues": bootEnabling,
	}
	if b.faults.AnyEnabled {
		boot["BootSourceOverrideEnabled"] = "Continuous"
	}
	if !b.faults.NoMode {
		boot["BootSourceOverrideMode"] = b.override.Mode
		boot["BootSourceOverrideMode@Redfish.AllowableValues"] = b.modes()
	}
	return boot
}

func (b *BMC) targets() []string {
	if b.faults.UsbCD {
		return append(slices.Clone(bootTargets), "UsbCd")
	}
	return bootTargets
}

// patchSystem changes the boot override; nothing else of a system can be.
func (b *BMC) patchSystem(w http.ResponseWriter, r *http.Request) {
	if status := b.takes(r.Header.Get("If-Match")); status != 0 {
		refuse(w, status, "PreconditionFailed", "The ETag supplied did not match the ETag required to change this resource.")
		return
	}
	if b.Faults().Settings != strings.HasSuffix(r.URL.Path, "/SD") {
		refuse(w, http.StatusBadRequest, "OperationSupportedInFutureStateURI", "Support of this operation for Boot properties is moved to "+base+"/Systems/1/SD.")
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
		"BootSourceOverrideTarget":  {&next.Target, b.targets()},
		"BootSourceOverrideEnabled": {&next.Enabled, bootEnabling},
		"BootSourceOverrideMode":    {&next.Mode, b.modes()},
	}
	if b.faults.ModeLost {
		next.Mode = b.modes()[0]
	}
	for name, value := range patch {
		if b.faults.ModeFixed && name == "BootSourceOverrideMode" {
			return next, "PropertyNotWritable: the property BootSourceOverrideMode is a read only property."
		}
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
