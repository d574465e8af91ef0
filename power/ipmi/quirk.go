package ipmi

import (
	"context"
	"fmt"

	"github.com/bougou/go-ipmi/pkg/types"

	"sprout"
	"sprout/power"
)

// A quirk is what differs at one kind of BMC. The zero value is none.
type quirk struct {
	name         string
	manufacturer uint32                   // IANA enterprise number, of Get Device ID (section 20.1)
	product      uint16                   // 0: every product
	uefiDisk     types.BootDeviceSelector // of the disk, in UEFI mode; 0: as the standard says
	deviceOnly   bool                     // boot flags read back have the device, and neither mode nor the valid bit
	does         string                   // in Markdown
	why          string                   // what goes wrong without the row
}

// quirks is the table; the first row that fits counts.
var quirks = []quirk{
	{
		name: "supermicro", manufacturer: 10876, uefiDisk: types.BootDeviceSelectorForceRemoteMedia,
		does: "in UEFI mode its disk is the boot device of remote media",
		why:  "in UEFI mode the disk of the standard is ignored; the selector of remote media means the disk (OpenStack story 2008241)",
	},
	{
		name: "ipmi_sim", manufacturer: 4753, deviceOnly: true,
		does: "of the boot flags that are read back only the device is compared",
		why:  "OpenIPMI's simulator keeps the boot device and nothing else of the boot flags (seen with 2.0.33)",
	},
}

// identify asks the BMC what it is. One that does not say has no quirks.
func (p *Driver) identify(ctx context.Context) {
	p.quirk, p.about = quirk{}, sprout.BMCAbout{}
	id, err := p.session.GetDeviceID(ctx)
	if err != nil {
		p.log.Debug("the BMC does not say what it is", "error", err)
		return
	}
	p.quirk = quirkOf(id.ManufacturerID, id.ProductID)
	p.about = sprout.BMCAbout{
		Vendor: fmt.Sprintf("IANA enterprise %d", id.ManufacturerID), Model: fmt.Sprintf("product %d", id.ProductID), Firmware: fmt.Sprintf("%d.%02x", id.MajorFirmwareRevision, id.MinorFirmwareRevision),
	}
	if p.quirk.name != "" {
		p.about.Quirks = []sprout.Quirk{p.quirk.shown()}
	}
}

// shown is the row as it is shown.
func (q quirk) shown() sprout.Quirk {
	known := fmt.Sprintf("manufacturer %d", q.manufacturer)
	if q.product != 0 {
		known += fmt.Sprintf(", product %d", q.product)
	}
	return sprout.Quirk{Name: q.name, Known: known, Does: q.does, Why: q.why}
}

// Quirks are the rows of the table, for whoever shows it.
func Quirks() (all []sprout.Quirk) {
	for _, q := range quirks {
		all = append(all, q.shown())
	}
	return all
}

func quirkOf(manufacturer uint32, product uint16) quirk {
	for _, q := range quirks {
		if q.manufacturer == manufacturer && (q.product == 0 || q.product == product) {
			return q
		}
	}
	return quirk{}
}

// flags are the boot flags for one start.
func (q quirk) flags(device power.BootDevice, mode sprout.BootMode) types.BootOptionParam_BootFlags {
	f := types.BootOptionParam_BootFlags{
		BootFlagsValid: true, BIOSBootType: types.BIOSBootType(mode == sprout.UEFI), BootDeviceSelector: selectors[device],
	}
	if q.uefiDisk != 0 && mode == sprout.UEFI && device == power.BootDisk {
		f.BootDeviceSelector = q.uefiDisk
	}
	return f
}

// same tells whether the BMC kept what was asked for.
func (q quirk) same(asked, kept types.BootOptionParam_BootFlags) bool {
	if q.deviceOnly {
		return kept.BootDeviceSelector == asked.BootDeviceSelector
	}
	return kept.BootFlagsValid && kept.Persist == asked.Persist && kept.BIOSBootType == asked.BIOSBootType &&
		kept.BootDeviceSelector == asked.BootDeviceSelector
}
