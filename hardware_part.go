package sprout

import (
	"cmp"
	"fmt"
	"strings"
)

// What is compared of each kind of part, as text.

func inMiB(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func dimmText(d DIMM) string {
	return strings.Join(strings.Fields(inMiB(d.Bytes)+" "+d.Vendor+" "+d.Serial), " ")
}

// A numberedDisk is a disk with its number among those that cannot be told from
// it: of one model and size, without a serial number.
type numberedDisk struct {
	Disk
	number int
}

func numbered(disks []Disk) []numberedDisk {
	seen := map[string]int{}
	out := make([]numberedDisk, 0, len(disks))
	for _, d := range disks {
		n := numberedDisk{Disk: d}
		if key := diskKey(n); d.WWN == "" && d.Serial == "" {
			n.number = seen[key]
			seen[key]++
		}
		out = append(out, n)
	}
	return out
}

// diskKey is what a disk is known by: what the kernel calls it may change with
// each boot.
func diskKey(d numberedDisk) string {
	return cmp.Or(d.WWN, d.Serial, fmt.Sprintf("%s %d #%d", d.Model, d.Bytes, d.number))
}

func diskText(d numberedDisk) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%d bytes %s %s", d.Bytes, d.Model, cmp.Or(d.Serial, d.WWN))), " ")
}

// portText is what a port is: whether it has a link is its cable's matter.
func portText(f Interface) string { return strings.TrimSpace(f.MAC + " " + f.PCI) }

func linkText(f Interface) string {
	switch {
	case !f.Link:
		return "no link"
	case f.SpeedMbs == 0:
		return "a link"
	}
	return fmt.Sprintf("%d Mb/s", f.SpeedMbs)
}

// pciKinds counts the functions of each vendor, device and class: where on the
// bus they are changes when another comes or goes. Network and NVMe controllers
// are told of as ports and disks, and bridges come with what is behind them.
func pciKinds(i *Inventory) map[string]int {
	kinds := map[string]int{}
	for _, d := range i.PCI {
		if strings.HasPrefix(d.Class, "02") || strings.HasPrefix(d.Class, "0108") || strings.HasPrefix(d.Class, "06") {
			continue
		}
		kinds[d.Vendor+":"+d.Device+" class "+d.Class]++
	}
	return kinds
}
