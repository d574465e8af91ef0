package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"sprout"
)

// A rule names one cause. fits says why, and by which events; it is asked only
// where no rule above it fits.
type rule struct {
	code sprout.Code
	fits func(t *trace) (reason string, proof []sprout.BootEvent, ok bool)
}

// rules is the table of causes. Those that the machine or its BMC says itself
// come first, then the others from the end of a boot to its beginning: what
// happened later proves that what comes before it went well.
var rules = []rule{
	{sprout.NoDiskMatches, says(sprout.NoDiskMatches)},
	{sprout.DiskAmbiguous, says(sprout.DiskAmbiguous)},
	{sprout.DigestMismatch, says(sprout.DigestMismatch)},
	{sprout.PowerLost, isOff},
	{sprout.DiskNotBooted, bootedNetwork},
	{sprout.NoPhoneHome, neverHome},
	{sprout.MediaNotFetched, mediaNotFetched},
	{sprout.MediaNotBooted, mediaNotBooted},
	{sprout.AgentUnreached, cannotReach},
	{sprout.KernelSilent, kernelSilent},
	{sprout.KernelNotFetched, noKernel},
	{sprout.BootRefused, refused},
	{sprout.TFTPStalled, stalled},
	{sprout.WrongLoader, wrongLoader},
	{sprout.LoaderRefused, secureBoot},
	{sprout.LoaderSilent, loaderSilent},
	{sprout.OtherServer, otherServer},
	{sprout.NoLoader, noLoader},
	{sprout.LoaderNotFetched, loaderNotFetched},
	{sprout.NoAddress, noAddress},
	{sprout.OfferIgnored, offerIgnored},
	{sprout.NoDHCP, noDHCP},
	{sprout.NoDiscover, noDiscover},
}

// Codes lists the codes that Diagnose may return.
func Codes() []sprout.Code {
	var all []sprout.Code
	for _, r := range rules {
		all = append(all, r.code)
	}
	return all
}

// says fits where the ramdisk's last order failed by the code.
func says(code sprout.Code) func(*trace) (string, []sprout.BootEvent, bool) {
	return func(t *trace) (string, []sprout.BootEvent, bool) {
		if t.failed < 0 || t.Events[t.failed].Code != code {
			return "", nil, false
		}
		return "the ramdisk could not do as ordered: " + t.Events[t.failed].Detail, t.at(t.failed), true
	}
}

func isOff(t *trace) (string, []sprout.BootEvent, bool) {
	return "the machine is off: it lost power, or turned itself off", t.at(t.on, len(t.Events)-1), t.Power == sprout.PowerOff
}

// bootedNetwork: after its reboot the machine came back by the network.
func bootedNetwork(t *trace) (string, []sprout.BootEvent, bool) {
	if t.reboot < 0 || t.home > t.reboot {
		return "", nil, false
	}
	_, _, firmware := (&trace{Evidence: Evidence{Events: t.Events[t.reboot+1:]}}).firmware()
	if t.system > t.reboot || !firmware && t.script < t.reboot && t.ipxe < t.reboot {
		return "", nil, false
	}
	return "after its reboot the machine asked to boot from the network, and no installed system came up from the disk", t.at(t.reboot, t.discover, t.script), true
}

func neverHome(t *trace) (string, []sprout.BootEvent, bool) {
	if t.reboot < 0 || t.home > t.reboot {
		return "", nil, false
	}
	if t.system > t.reboot {
		return "the installed system runs and asked for an address, but did not phone home: look at its cloud-init", t.at(t.reboot, t.system), true
	}
	return "after its reboot nothing was heard of the machine: its boot loader, its disk or its network configuration", t.at(t.reboot), true
}

// mediaNotFetched: the BMC says that the image is in, and has read none of it.
func mediaNotFetched(t *trace) (string, []sprout.BootEvent, bool) {
	if t.inserted == nil || t.fetched != nil || t.hello >= 0 || t.on < 0 || t.Step == StepHome {
		return "", nil, false
	}
	return "the BMC says that it inserted the image to boot, and never fetched it from the agent", append([]sprout.BootEvent{*t.inserted}, t.at(t.on)...), true
}

func mediaNotBooted(t *trace) (string, []sprout.BootEvent, bool) {
	if t.inserted == nil || t.fetched == nil || t.hello >= 0 || t.on < 0 || t.Step == StepHome {
		return "", nil, false
	}
	return "the BMC fetched the image to boot, and no ramdisk was heard of: the firmware did not boot it, or the ramdisk does not reach the agent",
		append([]sprout.BootEvent{*t.inserted, *t.fetched}, t.at(t.on)...), true
}

// cannotReach: the ramdisk has an address, or was turned away.
func cannotReach(t *trace) (string, []sprout.BootEvent, bool) {
	fetched := max(t.kernel, t.initrd)
	if t.hello >= 0 || fetched < 0 {
		return "", nil, false
	}
	for i, e := range t.Events {
		if e.What == sprout.SawStranger && i > fetched {
			return "the ramdisk spoke to the agent and was refused: " + e.Detail, t.at(fetched, i), true
		}
	}
	return "the ramdisk's kernel runs and asked for an address, but its program never reached the agent", t.at(fetched, t.system), t.system > fetched
}

func kernelSilent(t *trace) (string, []sprout.BootEvent, bool) {
	if t.hello >= 0 || t.initrd < 0 || t.part > t.initrd {
		return "", nil, false
	}
	if t.script > t.initrd {
		return "kernel and initrd were fetched, nothing was heard of the ramdisk, and the machine started over", t.at(t.initrd, t.script), true
	}
	return "kernel and initrd were fetched, and nothing was heard of the ramdisk since", t.at(t.script, t.kernel, t.initrd), true
}

func noKernel(t *trace) (string, []sprout.BootEvent, bool) {
	if t.hello >= 0 || t.script < 0 || t.Events[t.script].What != sprout.SawScript {
		return "", nil, false
	}
	switch {
	case t.part > t.script:
		e := t.Events[t.part]
		return fmt.Sprintf("the transfer of %s ended after %d of %d bytes", e.File, e.Bytes, e.Size), t.at(t.script, t.part), true
	case t.kernel > t.script:
		return "the kernel was fetched, but not the initrd", t.at(t.script, t.kernel), true
	}
	return "the boot script was fetched, but not the kernel that it names", t.at(t.script), true
}

func refused(t *trace) (string, []sprout.BootEvent, bool) {
	if t.hello >= 0 || t.script < 0 || t.Step == StepHome {
		return "", nil, false
	}
	e := t.Events[t.script]
	return "the machine asked what to boot, and was not given the ramdisk: " + e.Detail, t.at(t.script), e.What != sprout.SawScript
}

// stalled: the last transfer timed out and nothing followed.
func stalled(t *trace) (string, []sprout.BootEvent, bool) {
	if t.stalled < 0 || t.stalled < max(t.loader, t.ipxe, t.script, t.hello) {
		return "", nil, false
	}
	e := t.Events[t.stalled]
	return fmt.Sprintf("the transfer of %s stopped after %d of %d bytes: %s", e.File, e.Bytes, e.Size, e.Detail), t.at(t.ack, t.stalled), true
}

// loadersOf is which loader each architecture runs, by the start of its name.
var loadersOf = map[string][]string{
	"0":  {"undionly", "ipxe.pxe", "pxelinux", "lpxelinux"},
	"7":  {"snponly", "ipxe.efi", "shimx64", "grubx64", "bootx64"},
	"9":  {"snponly", "ipxe.efi", "shimx64", "grubx64", "bootx64"},
	"16": {"snponly", "ipxe.efi", "shimx64", "grubx64", "bootx64"},
	"11": {"snponly-arm64", "ipxe-arm64", "shimaa64", "grubaa64", "bootaa64", "arm64"},
	"19": {"snponly-arm64", "ipxe-arm64", "shimaa64", "grubaa64", "bootaa64", "arm64"},
}

// wrongLoader: what was fetched last is none that the architecture runs.
func wrongLoader(t *trace) (string, []sprout.BootEvent, bool) {
	if t.loader < 0 || t.loader < max(t.ipxe, t.script, t.hello) {
		return "", nil, false
	}
	e := t.Events[t.loader]
	asked, arch, ok := t.firmware()
	fit, known := loadersOf[arch]
	name := strings.ToLower(e.File[strings.LastIndexByte(e.File, '/')+1:])
	if !ok || !known || slices.ContainsFunc(fit, func(p string) bool { return strings.HasPrefix(name, p) }) {
		return "", nil, false
	}
	return fmt.Sprintf("the machine's firmware is of architecture %s and fetched %s, which it cannot run", arch, e.File), append([]sprout.BootEvent{asked}, e), true
}

// secureBoot: an EFI loader was fetched whole and nothing runs; the same
// machine may ask over another protocol by then, which proves that its firmware
// gave up on the file.
func secureBoot(t *trace) (string, []sprout.BootEvent, bool) {
	if t.loader < 0 || t.loader < max(t.ipxe, t.script, t.hello) {
		return "", nil, false
	}
	e := t.Events[t.loader]
	if suffix(e.File) != ".efi" {
		return "", nil, false
	}
	reason := "the firmware fetched " + e.File + " whole and did not run it: Secure Boot refuses a loader that is not signed"
	if t.discover > t.loader {
		return reason + "; it went on to ask again", t.at(t.loader, t.discover), true
	}
	return reason, t.at(t.ack, t.loader), true
}

// loaderSilent: a loader was fetched whole, or runs, and asks for nothing.
func loaderSilent(t *trace) (string, []sprout.BootEvent, bool) {
	if t.script >= 0 || t.hello >= 0 {
		return "", nil, false
	}
	if t.ipxe >= 0 && t.ack >= t.ipxe {
		return "iPXE runs and has an address, but never asked for its boot script", t.at(t.loader, t.ack), true
	}
	if t.loader < 0 || t.ipxe > t.loader {
		return "", nil, false
	}
	return t.Events[t.loader].File + " was fetched whole, and asked for nothing after", t.at(t.ack, t.loader), true
}

func otherServer(t *trace) (string, []sprout.BootEvent, bool) {
	if t.other < 0 || t.other < max(t.ack, t.script, t.hello) {
		return "", nil, false
	}
	return fmt.Sprintf("another DHCP server, %s, answered the machine, and it took that one's offer", t.Events[t.other].IP), t.at(t.offer, t.other), true
}

// noLoader: the firmware has an address, or an offer, that names no file.
func noLoader(t *trace) (string, []sprout.BootEvent, bool) {
	last := max(t.offer, t.ack)
	if last < 0 || last < max(t.loader, t.script, t.hello) {
		return "", nil, false
	}
	e := t.Events[last]
	if e.File != "" || e.Client == "system" || e.Client == "" {
		return "", nil, false
	}
	return "the machine's firmware was given an address but no file to boot: " + e.Detail, t.at(last), true
}

// loaderNotFetched: the firmware has an address and a file's name, and no more.
func loaderNotFetched(t *trace) (string, []sprout.BootEvent, bool) {
	if t.ack < 0 || t.ack < max(t.loader, t.stalled, t.script, t.hello, t.full) {
		return "", nil, false
	}
	e := t.Events[t.ack]
	return "the machine's firmware has its address, and never fetched " + e.File, t.at(t.ack), e.File != "" && strings.Contains(e.Client, "-")
}

func noAddress(t *trace) (string, []sprout.BootEvent, bool) {
	if t.full < 0 || t.full < max(t.offer, t.ack, t.script, t.hello) {
		return "", nil, false
	}
	return "the machine asked for an address and got none: " + t.Events[t.full].Detail, t.at(t.full), true
}

func offerIgnored(t *trace) (string, []sprout.BootEvent, bool) {
	if t.offer < 0 || t.offer < max(t.request, t.ack, t.script, t.hello) {
		return "", nil, false
	}
	return "the machine was offered an address and never asked for it: the offers do not reach it, or it wants none of them", t.at(t.discover, t.offer), true
}

// noDHCP: the machine boots from the network where the agent answers no DHCP, as
// the operator wants it.
func noDHCP(t *trace) (string, []sprout.BootEvent, bool) {
	const reason = "the machine boots from the network, and "
	if t.off >= 0 && t.Step != StepHome && t.off > max(t.offer, t.ack, t.script, t.hello) {
		return reason + t.Events[t.off].Detail, t.at(t.off), true
	}
	_, proof, unheard := noDiscover(t)
	return reason + "Sprout's DHCP is off in every subnet of the site", proof, unheard && t.NoDHCP
}

func noDiscover(t *trace) (string, []sprout.BootEvent, bool) {
	if t.on < 0 || t.Step == StepHome {
		return "", nil, false
	}
	heard := slices.ContainsFunc(t.Events, func(e sprout.BootEvent) bool {
		switch e.What {
		case sprout.SawPowerOn, sprout.SawPowerOff, sprout.SawBootDevice, sprout.SawInsertMedia, sprout.SawEjectMedia, sprout.SawMedia:
			return false
		}
		return true
	})
	return "the machine was powered on and nothing was heard of it: not one DHCP packet", t.at(t.on), !heard
}
