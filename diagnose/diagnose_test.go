package diagnose

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
)

type events = []sprout.BootEvent

// The stages of a boot by UEFI firmware that goes well, to be cut anywhere.
var (
	on     = events{{What: sprout.SawPowerOff}, {What: sprout.SawBootDevice}, {What: sprout.SawPowerOn}}
	lease  = events{{What: sprout.SawDiscover, Client: "pxe-7"}, {What: sprout.SawOffer, Client: "pxe-7", File: "snponly.efi"}, {What: sprout.SawRequest, Client: "pxe-7"}, {What: sprout.SawAck, Client: "pxe-7", File: "snponly.efi"}}
	loader = events{{What: "tftp-aborted", File: "snponly.efi", Size: 9}, {What: sprout.SawTFTPDone, File: "snponly.efi", Bytes: 9, Size: 9}}
	ipxe   = events{{What: sprout.SawDiscover, Client: "ipxe"}, {What: sprout.SawOffer, Client: "ipxe", File: "http://a"}, {What: sprout.SawRequest, Client: "ipxe"}, {What: sprout.SawAck, Client: "ipxe", File: "http://a"}}
	script = events{{What: sprout.SawScript, Detail: "m1 boots the ramdisk to deploy"}}
	kernel = events{{What: sprout.SawKernel, File: "vmlinuz", Bytes: 5, Size: 5}}
	initrd = events{{What: sprout.SawInitrd, File: "initrd", Bytes: 7, Size: 7}}
	system = events{{What: sprout.SawDiscover, Client: "system"}, {What: sprout.SawOffer, Client: "system"}, {What: sprout.SawRequest, Client: "system"}, {What: sprout.SawAck, Client: "system"}}
	hello  = events{{What: sprout.SawHello}}
	reboot = events{{What: sprout.SawOrder, File: "reboot"}, {What: sprout.SawOrderDone, File: "reboot"}}
	home   = events{{What: sprout.SawHome}}
)

// upTo joins stages, with a time a second apart.
func upTo(stages ...events) events {
	all := slices.Concat(stages...)
	for i := range all {
		all[i].At = time.Date(2026, 1, 1, 12, 0, i, 0, time.UTC)
	}
	return all
}

func failed(code sprout.Code) events {
	return events{{What: sprout.SawOrderFailed, File: "write", Code: code, Detail: string(code) + ": said so"}}
}

// inserted and media are what a BMC does with virtual media before the power-on.
var (
	inserted = events{{What: sprout.SawInsertMedia}}
	media    = events{{What: sprout.SawMedia, File: "boot.iso", Bytes: 9, Size: 9}}
)

// signed is a boot where Secure Boot is enforced, all by TFTP.
var signed = events{
	{What: sprout.SawTFTPDone, File: "shimx64.efi", Bytes: 9, Size: 9}, {What: sprout.SawTFTPDone, File: "grubx64.efi", Bytes: 9, Size: 9},
	{What: sprout.SawScript, Detail: "boots the ramdisk"}, {What: sprout.SawTFTPDone, File: "grub/grub.cfg", Bytes: 9, Size: 9},
	{What: sprout.SawTFTPDone, File: "vmlinuz", Bytes: 9, Size: 9}, {What: sprout.SawTFTPDone, File: "initrd", Bytes: 9, Size: 9},
}

func TestEachRule(t *testing.T) {
	provoked := map[sprout.Code]bool{}
	ramdisk := []events{on, lease, loader, ipxe, script, kernel, initrd, system, hello}
	for name, test := range map[string]struct {
		step   string
		power  sprout.PowerState
		events events
		want   sprout.Code
		proof  string // in reason or evidence
	}{
		"nothing heard":                {StepRamdisk, sprout.PowerOn, upTo(on), sprout.NoDiscover, "12:00:02 power-on"},
		"nothing known":                {StepRamdisk, sprout.PowerOn, nil, "", ""},
		"media not fetched":            {StepRamdisk, "", upTo(inserted, on), sprout.MediaNotFetched, "insert-media"},
		"media not booted":             {StepRamdisk, "", upTo(inserted, media, on), sprout.MediaNotBooted, "http-media"},
		"media not booted, then PXE":   {StepRamdisk, "", upTo(inserted, media, on, lease), sprout.MediaNotBooted, "http-media"},
		"media refused":                {StepRamdisk, "", upTo(events{{What: sprout.SawInsertMedia, Code: sprout.MediaRefused}}, on), sprout.NoDiscover, "power-on"},
		"media booted":                 {StepRamdisk, "", upTo(inserted, media, on, hello), "", ""},
		"not powered on by us":         {StepRamdisk, "", upTo(events{{What: sprout.SawBootDevice}}), "", ""},
		"power-on refused":             {StepRamdisk, "", upTo(events{{What: sprout.SawPowerOn, Code: sprout.BMCFailed}}), "", ""},
		"off":                          {StepRamdisk, sprout.PowerOff, upTo(on, lease), sprout.PowerLost, "is off"},
		"offer but no request":         {StepRamdisk, "", upTo(on, lease[:2]), sprout.OfferIgnored, "dhcp-offer"},
		"another server":               {StepRamdisk, "", upTo(on, lease[:2], events{{What: sprout.SawOtherServer, IP: netip.MustParseAddr("10.0.0.9")}}), sprout.OtherServer, "10.0.0.9"},
		"other server once, then ours": {StepRamdisk, "", upTo(on, events{{What: sprout.SawOtherServer}}, lease, loader, ipxe, script, kernel, initrd), sprout.KernelSilent, "vmlinuz"},
		"no address":                   {StepRamdisk, "", upTo(on, lease[:1], events{{What: sprout.SawFull, Detail: "the range is full"}}), sprout.NoAddress, "range is full"},
		"DHCP is off":                  {StepRamdisk, "", upTo(on, lease[:1], events{{What: sprout.SawDHCPOff, Detail: "Sprout's DHCP is off in 10.0.0.0/24"}}), sprout.NoDHCP, "off in 10.0.0.0/24"},
		"DHCP was off":                 {StepRamdisk, "", upTo(on, events{{What: sprout.SawDHCPOff}}, lease), sprout.LoaderNotFetched, "snponly.efi"},
		"DHCP is off, and media":       {StepRamdisk, "", upTo(inserted, media, on, events{{What: sprout.SawDHCPOff}}), sprout.MediaNotBooted, "http-media"},
		"no file for the firmware":     {StepRamdisk, "", upTo(on, events{{What: sprout.SawOffer, Client: "pxe-11", Detail: "no loader for architecture [11]"}}), sprout.NoLoader, "[11]"},
		"loader not fetched":           {StepRamdisk, "", upTo(on, lease), sprout.LoaderNotFetched, "never fetched snponly.efi"},
		"stalled": {StepRamdisk, "", upTo(on, lease, events{{What: sprout.SawTFTPTimeout, File: "snponly.efi", Bytes: 512, Size: 9999, Detail: "no answer to block 1 after 8 tries"}}),
			sprout.TFTPStalled, "512 of 9999 bytes: no answer to block 1"},
		"another architecture's loader": {StepRamdisk, "", upTo(on, lease, events{{What: sprout.SawTFTPDone, File: "undionly.kpxe", Bytes: 1, Size: 1}}), sprout.WrongLoader, "undionly.kpxe"},
		"Secure Boot":                   {StepRamdisk, "", upTo(on, lease, loader), sprout.LoaderRefused, "not signed"},
		"Secure Boot, then HTTP boot":   {StepRamdisk, "", upTo(on, lease, loader, events{{What: sprout.SawDiscover, Client: "http-16"}}), sprout.LoaderRefused, "ask again"},
		"Secure Boot by HTTP":           {StepRamdisk, "", upTo(on, events{{What: "http-snponly.efi", File: "snponly.efi", Bytes: 9, Size: 9}}), sprout.LoaderRefused, "snponly.efi"},
		"Secure Boot refuses GRUB":      {StepRamdisk, "", upTo(on, lease, signed[:2]), sprout.LoaderRefused, "grubx64.efi"},
		"GRUB asks and no more":         {StepRamdisk, "", upTo(on, lease, signed[:4]), sprout.KernelNotFetched, "not the kernel"},
		"GRUB's kernel silent":          {StepRamdisk, "", upTo(on, lease, signed), sprout.KernelSilent, "nothing was heard of the ramdisk"},
		"shim is not for it":            {StepRamdisk, "", upTo(on, lease, events{{What: sprout.SawScriptDisk, Detail: "no boot intent"}, {What: "tftp-not-found", File: "shimx64.efi"}}), sprout.BootRefused, "no boot intent"},
		"BIOS loader silent": {StepRamdisk, "", upTo(on, events{{What: sprout.SawAck, Client: "pxe-0", File: "undionly.kpxe"}, {What: sprout.SawTFTPDone, File: "undionly.kpxe", Bytes: 1, Size: 1}}),
			sprout.LoaderSilent, "undionly.kpxe was fetched whole"},
		"iPXE without script":    {StepRamdisk, "", upTo(on, lease, loader, ipxe), sprout.LoaderSilent, "never asked for its boot script"},
		"iPXE offered only":      {StepRamdisk, "", upTo(on, lease, loader, ipxe[:2]), sprout.OfferIgnored, "dhcp-offer"},
		"refused a script":       {StepRamdisk, "", upTo(on, lease, loader, ipxe, events{{What: sprout.SawRefused, Detail: "leased to another"}}), sprout.BootRefused, "leased to another"},
		"sent to its disk":       {StepRamdisk, "", upTo(on, lease, loader, ipxe, events{{What: sprout.SawScriptDisk, Detail: "intent ran out"}}), sprout.BootRefused, "ran out"},
		"script but no kernel":   {StepRamdisk, "", upTo(on, lease, loader, ipxe, script), sprout.KernelNotFetched, "not the kernel"},
		"kernel but no initrd":   {StepRamdisk, "", upTo(on, lease, loader, ipxe, script, kernel), sprout.KernelNotFetched, "not the initrd"},
		"part of the initrd":     {StepRamdisk, "", upTo(on, lease, loader, ipxe, script, kernel, events{{What: sprout.SawInitrd, File: "initrd", Bytes: 3, Size: 7}}), sprout.KernelNotFetched, "3 of 7 bytes"},
		"kernel silent":          {StepRamdisk, "", upTo(on, lease, loader, ipxe, script, kernel, initrd), sprout.KernelSilent, "http-initrd"},
		"boots again and again":  {StepRamdisk, "", upTo(on, script, kernel, initrd, lease, loader, ipxe, script), sprout.KernelSilent, "started over"},
		"network but no hello":   {StepRamdisk, "", upTo(on, lease, loader, ipxe, script, kernel, initrd, system), sprout.AgentUnreached, "never reached the agent"},
		"hello refused":          {StepRamdisk, "", upTo(on, script, kernel, initrd, events{{What: sprout.SawStranger, Detail: "its token is over"}}), sprout.AgentUnreached, "token is over"},
		"ramdisk works":          {StepRamdisk, "", upTo(ramdisk...), "", ""},
		"no disk matches":        {"write-image", "", upTo(append(ramdisk, failed(sprout.NoDiskMatches))...), sprout.NoDiskMatches, "said so"},
		"several disks match":    {"write-image", "", upTo(append(ramdisk, failed(sprout.DiskAmbiguous))...), sprout.DiskAmbiguous, "said so"},
		"digest mismatch":        {"write-image", "", upTo(append(ramdisk, failed(sprout.DigestMismatch))...), sprout.DigestMismatch, "said so"},
		"silent after reboot":    {StepHome, sprout.PowerOn, upTo(append(ramdisk, reboot)...), sprout.NoPhoneHome, "nothing was heard"},
		"runs but no home":       {StepHome, "", upTo(append(ramdisk, reboot, system)...), sprout.NoPhoneHome, "cloud-init"},
		"network again":          {StepHome, "", upTo(append(ramdisk, reboot, lease, loader)...), sprout.DiskNotBooted, "from the network"},
		"network, then its disk": {StepHome, "", upTo(append(ramdisk, reboot, lease, loader, ipxe, system)...), sprout.NoPhoneHome, "cloud-init"},
		"home":                   {StepHome, "", upTo(append(ramdisk, reboot, home)...), "", ""},
		"an older power-on":      {StepRamdisk, "", upTo(on, lease, loader, on), sprout.NoDiscover, "power-on"},
	} {
		provoked[test.want] = true
		t.Run(name, func(t *testing.T) {
			got, ok := Diagnose(Evidence{Step: test.step, Power: test.power, Events: test.events})
			if got.Code != test.want || ok != (test.want != "") {
				t.Fatalf("got %q (%s), want %q", got.Code, got.Reason, test.want)
			}
			if !strings.Contains(got.Reason+" "+got.Evidence, test.proof) {
				t.Errorf("%q is neither in the reason %q nor in the evidence %q", test.proof, got.Reason, got.Evidence)
			}
		})
	}
	if d, _ := Diagnose(Evidence{Step: StepRamdisk, NoDHCP: true, Events: upTo(on)}); d.Code != sprout.NoDHCP {
		t.Errorf("nothing heard where DHCP is off everywhere: %+v", d)
	}
	for _, code := range Codes() {
		if !provoked[code] {
			t.Errorf("no case provokes %s", code)
		}
	}
}

// Every code says what it means and what helps.
func TestEveryCodeHasARemedy(t *testing.T) {
	for _, code := range Codes() {
		if !slices.ContainsFunc(sprout.Problems, func(p sprout.ProblemKind) bool {
			return p.Code == code && p.Means != "" && p.Remedy != ""
		}) {
			t.Errorf("%s has no row in sprout.Problems", code)
		}
	}
}

// Whatever events come in whatever order, a diagnosis is made without a panic,
// and its evidence is of these events.
func FuzzDiagnose(f *testing.F) {
	stages := upTo(on, lease, loader, ipxe, script, kernel, initrd, system, hello, failed(sprout.NoDiskMatches), reboot, home)
	f.Add([]byte{0, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, picks []byte) {
		var e events
		for _, p := range picks {
			e = append(e, stages[int(p)%len(stages)])
		}
		if d, ok := Diagnose(Evidence{Step: StepRamdisk, Events: e}); ok && (d.Code == "" || d.Reason == "") {
			t.Errorf("%+v", d)
		}
	})
}
