package ramdisk

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sprout"
)

// notDisks begin the names of block devices that are no disk of the machine, or
// parts of an eMMC that hold no data of a system.
var notDisks = regexp.MustCompile(`^(loop|ram|sr|fd|zram|dm-|md|nbd|mtdblock|mmcblk[0-9]+(boot|rpmb))`)

var pciAddress = regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// disks lists the machine's disks. Sizes in sysfs are in units of 512 bytes
// whatever the disk's sector (Documentation/ABI/stable/sysfs-block of Linux).
func (h Host) disks() []sprout.Disk {
	var disks []sprout.Disk
	for _, name := range h.list("sys/block") {
		dir := "sys/block/" + name + "/"
		size := h.number(dir+"size") * 512
		if notDisks.MatchString(name) || size == 0 || h.text(dir+"hidden") == "1" {
			continue
		}
		disks = append(disks, sprout.Disk{
			Name: name, Bytes: size, Bus: h.bus(dir), Path: h.diskPath(dir), Serial: h.diskSerial(dir), WWN: h.diskWWN(dir),
			Model:      strings.TrimSpace(h.text(dir+"device/vendor_name") + " " + h.text(dir+"device/model")),
			Rotational: h.text(dir+"queue/rotational") == "1", ReadOnly: h.text(dir+"ro") == "1", Removable: h.text(dir+"removable") == "1",
			Erase: h.erasable(name, dir),
		})
	}
	return disks
}

func (h Host) diskSerial(dir string) string {
	for _, name := range []string{"serial", "device/serial"} {
		if s := h.text(dir + name); s != "" {
			return s
		}
	}
	return vpdText(h.path(dir + "device/vpd_pg80"))
}

// vpdText reads a SCSI unit serial number page (SPC-6 section 7.7.19): four
// bytes of header, then text.
func vpdText(name string) string {
	raw, err := os.ReadFile(name)
	if err != nil || len(raw) < 4 {
		return ""
	}
	return strings.Trim(string(raw[4:]), " \x00")
}

func (h Host) diskWWN(dir string) string {
	for _, name := range []string{"wwid", "device/wwid"} {
		if s := h.text(dir + name); strings.HasPrefix(s, "naa.") || strings.HasPrefix(s, "eui.") || strings.HasPrefix(s, "nvme.") {
			return s
		}
	}
	return ""
}

// bus tells how a disk is attached from where it is in the tree of devices.
func (h Host) bus(dir string) string {
	at, err := filepath.EvalSymlinks(h.path(dir))
	if err != nil {
		return ""
	}
	for _, b := range []struct{ part, bus string }{
		{"/usb", "usb"}, {"/virtio", "virtio"}, {"/nvme", "nvme"}, {"/ata", "ata"}, {"/end_device-", "sas"}, {"/host", "scsi"},
	} {
		if strings.Contains(at, b.part) {
			return b.bus
		}
	}
	return ""
}

// scsiAddress is how SCSI names a device: host, channel, target and unit.
var scsiAddress = regexp.MustCompile(`^\d+:(\d+:\d+:\d+)$`)

// diskPath tells where a disk is attached, as udev's path_id does for NVMe, SATA,
// SCSI and virtio. Empty: some other way.
func (h Host) diskPath(dir string) string {
	at, err := filepath.EvalSymlinks(h.path(dir))
	if err != nil {
		return ""
	}
	pci, ata, scsi := "", "", ""
	for part := range strings.SplitSeq(at, "/") {
		switch m := scsiAddress.FindStringSubmatch(part); {
		case pciAddress.MatchString(part):
			pci = "pci-" + part
		case m != nil:
			scsi = "-scsi-0:" + m[1]
		case strings.HasPrefix(part, "ata"):
			if port := h.text("sys/class/ata_port/" + part + "/port_no"); port != "" {
				ata = "-ata-" + port
			}
		}
	}
	switch bus := h.bus(dir); {
	case pci == "":
		return ""
	case bus == "nvme":
		return pci + "-nvme-" + h.text(dir+"nsid")
	case ata != "":
		return pci + ata
	case bus == "scsi", bus == "virtio":
		return pci + scsi
	}
	return ""
}

// interfaces lists the ports that are devices; a port's PCI address is the last
// in its path.
func (h Host) interfaces() []sprout.Interface {
	var out []sprout.Interface
	for _, name := range h.list("sys/class/net") {
		dir := "sys/class/net/" + name + "/"
		at, err := filepath.EvalSymlinks(h.path(dir + "device"))
		if err != nil || h.text(dir+"type") != "1" {
			continue
		}
		i := sprout.Interface{Name: name, MAC: strings.ToLower(h.text(dir + "address")), Link: h.text(dir+"carrier") == "1", Driver: h.driver(dir + "device")}
		if speed := h.number(dir + "speed"); speed > 0 && i.Link {
			i.SpeedMbs = int(speed)
		}
		for part := range strings.SplitSeq(at, "/") {
			if pciAddress.MatchString(part) {
				i.PCI = part
			}
		}
		out = append(out, i)
	}
	return out
}

func (h Host) driver(device string) string {
	at, err := os.Readlink(h.path(device + "/driver"))
	if err != nil {
		return ""
	}
	return filepath.Base(at)
}

func (h Host) pci() []sprout.PCIDevice {
	var out []sprout.PCIDevice
	for _, address := range h.list("sys/bus/pci/devices") {
		dir := "sys/bus/pci/devices/" + address
		hex := func(name string) string { return strings.TrimPrefix(h.text(dir+"/"+name), "0x") }
		out = append(out, sprout.PCIDevice{
			Address: address, Vendor: hex("vendor"), Device: hex("device"), Class: hex("class"), Driver: h.driver(dir),
		})
	}
	return out
}
