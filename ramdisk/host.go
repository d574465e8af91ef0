package ramdisk

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/smbios"

	"sprout"
)

// A Host is the machine that this process runs on, as its kernel shows it.
type Host struct {
	Root string // where sys, proc and dev are; default "/"
}

func (h Host) path(name string) string { return filepath.Join("/", h.Root, name) }

func (h Host) dev() string { return h.path("dev") }

// text returns a file's content without surrounding space; empty where it
// cannot be read, as sysfs has files only for what the driver knows.
func (h Host) text(name string) string {
	raw, err := os.ReadFile(h.path(name))
	if err != nil {
		return ""
	}
	return strings.Trim(string(raw), " \t\r\n\x00")
}

func (h Host) number(name string) int64 {
	n, _ := strconv.ParseInt(h.text(name), 10, 64)
	return n
}

func (h Host) list(dir string) []string {
	entries, _ := os.ReadDir(h.path(dir))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

// Inventory returns what is in the machine. What the firmware or a driver does
// not say is left empty.
func (h Host) Inventory() sprout.Inventory {
	inv := sprout.Inventory{
		At: time.Now().UTC(), Architecture: sprout.Architecture(runtime.GOARCH), BootMode: h.bootMode(),
		Vendor: h.text("sys/class/dmi/id/sys_vendor"), Model: h.text("sys/class/dmi/id/product_name"),
		Serial: h.text("sys/class/dmi/id/product_serial"), UUID: strings.ToLower(h.text("sys/class/dmi/id/product_uuid")),
		CPU: h.cpu(), DIMMs: h.dimms(),
		Disks: h.disks(), Interfaces: h.interfaces(), PCI: h.pci(),
	}
	inv.Firmware = strings.TrimSpace(strings.Join([]string{
		h.text("sys/class/dmi/id/bios_vendor"), h.text("sys/class/dmi/id/bios_version"), h.text("sys/class/dmi/id/bios_date"),
	}, " "))
	for _, d := range inv.DIMMs {
		inv.MemoryBytes += d.Bytes
	}
	if inv.MemoryBytes == 0 {
		inv.MemoryBytes = parseMemTotal(h.text("proc/meminfo"))
	}
	return inv
}

func (h Host) bootMode() sprout.BootMode {
	if _, err := os.Stat(h.path("sys/firmware/efi")); err == nil {
		return sprout.UEFI
	}
	return sprout.BIOS
}

// smbios reads the firmware's tables; nil: it has none that can be read.
func (h Host) smbios() *smbios.Info {
	entry, err := os.ReadFile(h.path("sys/firmware/dmi/tables/smbios_entry_point"))
	if err != nil {
		return nil
	}
	tables, err := os.ReadFile(h.path("sys/firmware/dmi/tables/DMI"))
	if err != nil {
		return nil
	}
	info, err := smbios.ParseInfo(entry, tables)
	if err != nil {
		return nil
	}
	return info
}

// dimms reads the memory devices of the SMBIOS tables (DSP0134 section 7.18).
func (h Host) dimms() []sprout.DIMM {
	info := h.smbios()
	if info == nil {
		return nil
	}
	devices, err := info.GetMemoryDevices()
	if err != nil {
		return nil
	}
	var dimms []sprout.DIMM
	for _, d := range devices {
		if n := d.GetSizeBytes(); n > 0 {
			dimms = append(dimms, sprout.DIMM{
				Slot: d.DeviceLocator, Bytes: int64(n), Vendor: specified(d.Manufacturer), Serial: specified(d.SerialNumber),
			})
		}
	}
	return dimms
}

// specified returns s unless the firmware says that it does not say.
func specified(s string) string {
	if s = strings.TrimSpace(s); s == "Not Specified" || s == "Unknown" {
		return ""
	}
	return s
}

func parseMemTotal(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
