package redfish

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"sprout"
)

// A quirk is what is done otherwise at one BMC. The zero value is none.
type quirk struct {
	usbCD         bool   // what is inserted is started from as UsbCd, where that is offered
	staleImage    bool   // an image's name stays when it is out
	imageAlone    bool   // a drive takes the image's URL and no other property
	withProtocol  bool   // a drive wants to be told the URL's protocol
	sayMode       bool   // an override without a mode loses the one that was set
	modeFixed     bool   // the mode cannot be written, and is left out where it is as wanted
	settings      bool   // the override is written to the system's settings, in the future tense
	anyEnabled    bool   // what an override says of how long it lasts means nothing
	etags         []etag // what a change is sent with, the first first; nil: as read
	console       string // path of a WebSocket that is the serial console
	consoleByIPMI bool   // the serial console is that of IPMI, though Redfish does not say so
}

// An etag makes of a tag that was read the one to send.
type etag func(read string) string

// A row says by what a quirk is known: what the BMC says of itself, each a regular
// expression in which case does not count and that is left out where anything will
// do; or words of a refusal, after which the request is made again.
type row struct {
	name                    string
	vendor, model, firmware string
	says                    string
	set                     func(*quirk)
	does                    string // in Markdown
	why                     string // and where that is known from
}

// quirks is the table. Every row that fits counts. What needs no row, because it
// hurts nobody: a system that is not /Systems/1, drives of the system or of its
// manager, PATCH where there is no action, a Reset without On or ForceOn, a BMC
// that is busy, tasks, and power that follows late.
var quirks = []row{
	{
		name: "usb-cd", vendor: `super ?micro`, set: func(q *quirk) { q.usbCD = true },
		does: "virtual media is started from as `UsbCd`, where that is offered",
		why:  "virtual media is a USB CD drive: with Cd as boot device the start fails (sushy, set_system_boot_options: X11, X12)",
	},
	{
		name: "stale-image", vendor: `super ?micro`, set: func(q *quirk) { q.staleImage = true },
		does: "the name of an image that was ejected means nothing",
		why:  "an ejected image keeps its name, with Inserted false (ansible-collections/community.general 7470)",
	},
	{
		name: "say-mode", vendor: `super ?micro`, set: func(q *quirk) { q.sayMode = true },
		does: "a boot override always says the boot mode",
		why:  "an override that does not say the boot mode sets the BMC's own default (DMTF/Redfishtool 106)",
	},
	{
		name: "any-enabled", vendor: `^sushy emulator$`, set: func(q *quirk) { q.anyEnabled = true },
		does: "how long an override lasts is not read back",
		why:  "every override reads as Continuous (seen with sushy-tools 2.2.0)",
	},
	{
		name: "console-websocket", model: `openbmc|^sprout lab bmc$`, set: func(q *quirk) { q.console = "/console0" },
		does: "the serial console is opened as a WebSocket at `/console0`",
		why:  "the serial console is a WebSocket of the BMC's web server that Redfish does not tell of (openbmc/bmcweb)",
	},
	{
		name: "console-ipmi", vendor: `super ?micro|dell|lenovo|hpe?$|hewlett`, set: func(q *quirk) { q.consoleByIPMI = true },
		does: "the serial console is opened by IPMI, at the same host and for the same account",
		why:  "serial over LAN is there by IPMI, with the same account, where IPMI over LAN is allowed, and Redfish may not say so",
	},
	{
		name: "mode-fixed", says: `PropertyNotWritable.*BootSourceOverrideMode|BootSourceOverrideMode.*(not writable|read.?only)`,
		set:  func(q *quirk) { q.modeFixed = true },
		does: "the boot mode is left out where it is as wanted, and else is to be set in the firmware's own setup",
		why:  "the boot mode is set in the firmware's own setup, and an override that names it is refused (ansible-collections/community.general 3509, HPE)",
	},
	{
		name: "image-alone", says: `PropertyUnknown.*(Inserted|WriteProtected)|(Inserted|WriteProtected).*(not in the list of valid properties|unknown)`,
		set:  func(q *quirk) { q.imageAlone = true },
		does: "a drive is told the image's URL and nothing else",
		why:  "a drive without actions takes no property but Image (ansible-collections/community.general 4595, iLO 4)",
	},
	{
		name: "with-protocol", says: `(ActionParameterMissing|PropertyMissing|CreateFailedMissingReqProperties).*TransferProtocolType`,
		set:  func(q *quirk) { q.withProtocol = true },
		does: "a drive is told the URL's protocol too",
		why:  "an image is taken with TransferProtocolType only (sushy, insert_media)",
	},
	{
		name: "settings-object", says: `OperationSupportedInFutureStateURI`, set: func(q *quirk) { q.settings = true },
		does: "the override is written to the system's settings object",
		why:  "the system itself refuses the override, and names its settings object (DMTF/Redfish-Tacklebox 144, AMI: ASRock Rack)",
	},
	{
		name: "etag", says: `412 |428 `, set: func(q *quirk) { q.etags = []etag{ofBody, strong, anyTag, noTag} },
		does: "a change is sent with the tag of the body, a strong one, any, or none, whichever is taken",
		why: "the ETag that was read is not taken back: that of the body, a weak one as a strong one, any, or none is " +
			"(ansible-collections/community.general 3268, 6434, 11261: Gigabyte, Lenovo; ansible 56150)",
	},
}

// identify fills in what the BMC says of itself, and the rows that follow from it.
// A manager that cannot be read has said nothing.
func (p *Driver) identify(ctx context.Context, s *system) {
	a := &p.found.about
	a.Vendor, a.Model = cmp.Or(s.Manufacturer, a.Vendor), s.Model
	bmc := ""
	if len(s.Links.ManagedBy) > 0 {
		var m manager
		if p.get(ctx, s.Links.ManagedBy[0].ID, &m) == nil {
			a.Firmware, bmc = m.Firmware, m.Model
			p.found.byIPMI = slices.Contains(m.Console.Types, "IPMI")
		}
	}
	for _, r := range quirks {
		if r.says == "" && fits(r.vendor, a.Vendor) && (fits(r.model, a.Model) || fits(r.model, bmc)) && fits(r.firmware, a.Firmware) {
			p.apply(r)
		}
	}
}

func fits(pattern, said string) bool {
	return pattern == "" || regexp.MustCompile(`(?i)`+pattern).MatchString(said)
}

func (p *Driver) apply(r row) {
	r.set(&p.found.quirk)
	p.found.about.Quirks = append(p.found.about.Quirks, r.quirk())
	p.log.Info("quirk of the BMC", "name", r.name, "does", r.does)
}

// quirk is the row as it is shown.
func (r row) quirk() sprout.Quirk {
	var by []string
	for _, said := range []struct{ what, pattern string }{
		{"vendor", r.vendor}, {"model", r.model}, {"firmware", r.firmware}, {"a refusal", r.says},
	} {
		if said.pattern != "" {
			by = append(by, said.what+" like `"+said.pattern+"`")
		}
	}
	return sprout.Quirk{Name: r.name, Known: strings.Join(by, ", "), Does: r.does, Why: r.why}
}

// probing does what a BMC may refuse for a reason that is in the table: then it is
// done again, with the quirk known.
func (p *Driver) probing(do func() error) error {
	for {
		err := do()
		if err == nil || !p.learn(err) {
			return err
		}
	}
}

// learn applies the row whose words the refusal has, unless it is known already.
func (p *Driver) learn(err error) bool {
	var f *sprout.Failure
	if !errors.As(err, &f) || p.found.system == "" {
		return false
	}
	for _, r := range quirks {
		known := slices.ContainsFunc(p.found.about.Quirks, func(q sprout.Quirk) bool { return q.Name == r.name })
		if r.says != "" && !known && fits(r.says, f.Evidence) {
			p.apply(r)
			return true
		}
	}
	return false
}

// Quirks are the rows of the table, for whoever shows it.
func Quirks() (all []sprout.Quirk) {
	for _, r := range quirks {
		all = append(all, r.quirk())
	}
	return all
}
