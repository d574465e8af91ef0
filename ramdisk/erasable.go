package ramdisk

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"sprout"
)

// erasable is what a disk says of the ways to erase it. Discards are in the
// limits of its queue (Documentation/ABI/stable/sysfs-block of Linux). One that
// cannot be asked says nothing.
func (h Host) erasable(name, dir string) (e sprout.DiskErase) {
	f, err := os.OpenFile(filepath.Join(h.dev(), name), os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		defer f.Close() //nolint:errcheck // only asked
		switch {
		case strings.HasPrefix(name, "nvme"):
			e = nvmeErasable(device{f}, h.siblings(name))
		case strings.TrimSpace(h.text(dir+"device/vendor")) == "ATA":
			e = ataErasable(device{f})
		}
	}
	e.Discard = h.number(dir+"queue/discard_max_bytes") > 0
	e.SecureDiscard = strings.HasPrefix(name, "mmcblk") && e.Discard
	return e
}

var nvmeName = regexp.MustCompile(`^(nvme[0-9]+)n[0-9]+$`)

// siblings is how many other namespaces there are of an NVMe disk's controller.
func (h Host) siblings(name string) (n int) {
	of := nvmeName.FindStringSubmatch(name)
	for _, other := range h.list("sys/block") {
		if is := nvmeName.FindStringSubmatch(other); of != nil && is != nil && is[1] == of[1] && other != name {
			n++
		}
	}
	return n
}
