package lab

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net"
	"slices"
	"strings"

	"sprout"
)

// A Spec is the hardware of a machine. Zero values mean one virtio disk of
// 4 GiB, one virtio NIC, 1 GiB of memory, two processors, amd64, BIOS; of arm64 UEFI.
type Spec struct {
	Name string `json:"name"`
	// Architecture of the processors: amd64 or arm64.
	Architecture sprout.Architecture `json:"architecture"`
	Firmware     sprout.BootMode     `json:"firmware"`
	MemoryMB     int                 `json:"memoryMB"`
	CPUs         int                 `json:"cpus"`
	Disks        []Disk              `json:"disks"`
	NICs         []NIC               `json:"nics"`
	Netboot      Netboot             `json:"netboot,omitempty"`        // how UEFI boots by network; empty: as it tries
	SecureBoot   bool                `json:"secureBoot,omitempty"`     // enforced, with Microsoft's and Debian's keys enrolled
	NoMedia      bool                `json:"noVirtualMedia,omitempty"` // its BMC has no virtual media
	UUID         string              `json:"uuid"`
	Serial       string              `json:"serial"`
}

// A Disk is an empty disk to begin with; its file takes only the room that is
// written to it.
type Disk struct {
	Bytes  int64  `json:"bytes"`
	Bus    string `json:"bus"` // virtio, nvme or sata
	Serial string `json:"serial"`
}

// A NIC is a port on the site's network.
type NIC struct {
	MAC    string `json:"mac"`
	Model  string `json:"model"`            // virtio or e1000
	NoLink bool   `json:"noLink,omitempty"` // no cable in it
}

// A Netboot is one way of UEFI to boot by network. OVMF tries them all, and takes
// a minute or more for one that nobody answers.
type Netboot string

// The ways that can be left as the first.
const (
	PXE6 Netboot = "pxe6" // PXE over IPv6
	HTTP Netboot = "http" // HTTP boot, over IPv4 and then IPv6
)

// without are the ways that are not tried, as OVMF's configuration names them.
var without = map[Netboot][]string{PXE6: {"IPv4PXESupport"}, HTTP: {"IPv4PXESupport", "IPv6PXESupport"}}

const (
	gib       = 1 << 30
	minDisk   = 1 << 20
	minMemory = 256 // MB: less does not hold a firmware and a ramdisk
	maxDisks  = 6   // ports of the SATA controller
	maxNICs   = 8
)

// complete fills in what was left out. Identities follow from the names of lab
// and machine, so that a machine that is racked again is the same machine.
func (s *Spec) complete(lab string) {
	s.Architecture = cmp.Or(s.Architecture, sprout.AMD64)
	if s.Architecture == sprout.ARM64 {
		s.Firmware = cmp.Or(s.Firmware, sprout.UEFI)
	}
	s.Firmware = cmp.Or(s.Firmware, sprout.BIOS)
	s.MemoryMB, s.CPUs = cmp.Or(s.MemoryMB, 1024), cmp.Or(s.CPUs, 2)
	if len(s.Disks) == 0 {
		s.Disks = []Disk{{}}
	}
	if len(s.NICs) == 0 {
		s.NICs = []NIC{{}}
	}
	s.UUID = cmp.Or(s.UUID, uuidOf(digest(lab, s.Name)))
	s.Serial = cmp.Or(s.Serial, "LAB-"+strings.ToUpper(s.Name))
	for i := range s.Disks {
		d := &s.Disks[i]
		d.Bytes, d.Bus = cmp.Or(d.Bytes, 4*gib), cmp.Or(d.Bus, "virtio")
		d.Serial = cmp.Or(d.Serial, fmt.Sprintf("%.16s-d%d", s.Name, i))
	}
	for i := range s.NICs {
		n := &s.NICs[i]
		mac := digest(lab, s.Name, fmt.Sprint(i))
		n.Model = cmp.Or(n.Model, "virtio")
		n.MAC = cmp.Or(n.MAC, net.HardwareAddr{0x52, 0x54, 0, mac[0], mac[1], mac[2]}.String())
	}
}

func digest(words ...string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join(words, "\x00")))
}

// uuidOf makes a UUID of version 8 (RFC 9562 section 5.8) from a digest.
func uuidOf(id [sha256.Size]byte) string {
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

// check says which field of a completed spec is wrong.
func (s *Spec) check() error {
	switch {
	case !nameRule.MatchString(s.Name):
		return sprout.InvalidField("name", "cannot name a machine %q: use a-z, 0-9 and -, at most 63", s.Name)
	case boards[s.Architecture].qemu == "":
		return sprout.InvalidField("architecture", "cannot make a machine of %q: it must be amd64 or arm64", s.Architecture)
	case s.Architecture == sprout.ARM64 && s.Firmware == sprout.BIOS:
		return sprout.InvalidField("firmware", "cannot use firmware bios: a machine of arm64 has uefi")
	case s.Firmware != sprout.BIOS && s.Firmware != sprout.UEFI:
		return sprout.InvalidField("firmware", "cannot use firmware %q: it must be bios or uefi", s.Firmware)
	case s.Netboot != "" && (s.Firmware != sprout.UEFI || without[s.Netboot] == nil):
		return sprout.InvalidField("netboot", "cannot boot %s firmware by network as %q: of uefi it must be %s or %s", s.Firmware, s.Netboot, PXE6, HTTP)
	case s.SecureBoot && s.Firmware != sprout.UEFI:
		return sprout.InvalidField("secureBoot", "cannot enforce Secure Boot in %s firmware: it must be uefi", s.Firmware)
	case s.MemoryMB < minMemory:
		return sprout.InvalidField("memory", "cannot use %d MB of memory: at least %d are needed", s.MemoryMB, minMemory)
	case s.CPUs < 1 || s.CPUs > 64:
		return sprout.InvalidField("cpus", "cannot use %d processors: 1 to 64", s.CPUs)
	case len(s.Disks) > maxDisks:
		return sprout.InvalidField("disk", "cannot use %d disks: at most %d", len(s.Disks), maxDisks)
	case len(s.NICs) > maxNICs:
		return sprout.InvalidField("nic", "cannot use %d NICs: at most %d", len(s.NICs), maxNICs)
	case strings.ContainsAny(s.Serial+s.UUID, ",= \n"):
		return sprout.InvalidField("serial", "cannot use a serial number or UUID with comma, equals sign or space")
	}
	for _, d := range s.Disks {
		if err := d.check(boards[s.Architecture].buses); err != nil {
			return err
		}
	}
	for i := range s.NICs {
		if err := s.NICs[i].check(boards[s.Architecture].models); err != nil {
			return err
		}
	}
	return nil
}

func (d Disk) check(buses []string) error {
	switch {
	case d.Bytes < minDisk || d.Bytes%512 != 0:
		return sprout.InvalidField("disk", "cannot make a disk of %d bytes: at least %d, in sectors of 512", d.Bytes, minDisk)
	case !slices.Contains(buses, d.Bus):
		return sprout.InvalidField("disk", "cannot use disk bus %q: it must be one of %s", d.Bus, strings.Join(buses, ", "))
	case len(d.Serial) > 20 || strings.ContainsAny(d.Serial, ",= \n"):
		return sprout.InvalidField("disk", "cannot use disk serial %q: at most 20 characters, no comma, equals sign or space", d.Serial)
	}
	return nil
}

func (n *NIC) check(models []string) error {
	mac, err := net.ParseMAC(n.MAC)
	switch {
	case err != nil || len(mac) != 6 || mac[0]&1 == 1:
		return sprout.InvalidField("nic", "cannot use MAC %q: it must look like 52:54:00:12:34:56 and not be a group's", n.MAC)
	case !slices.Contains(models, n.Model):
		return sprout.InvalidField("nic", "cannot use NIC model %q: it must be one of %s", n.Model, strings.Join(models, ", "))
	}
	n.MAC = mac.String()
	return nil
}
