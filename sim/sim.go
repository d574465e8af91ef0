// Package sim is machines without a CPU: what a real one says on the wire, said
// by one goroutine. A Machine plays the firmware (DHCP, TFTP, iPXE over HTTP),
// the ramdisk (package sprout's order.go) and the installed system's first boot
// (cloud-init's phone_home) against a real site agent, from its own address on
// loopback. It knows protocols, and must not know how the agent works inside:
// it imports none of its packages.
package sim

import (
	"log/slog"
	"net/netip"
	"time"

	"sprout"
)

// A Spec is what a machine is made of.
type Spec struct {
	Name         string
	MACs         []string            // lower case, colons; the first one boots
	Architecture sprout.Architecture // empty: amd64
	BootMode     sprout.BootMode     // empty: bios
	HTTPBoot     bool                // UEFI firmware that boots by HTTP, not PXE
	Vendor       string              // SMBIOS; empty: Sprout
	Model        string              // SMBIOS; empty: Simulated
	Serial       string              // SMBIOS; empty: the name
	UUID         string              // SMBIOS; empty: made from the first MAC
	Cores        int                 // 0: 2
	MemoryBytes  int64               // 0: 2 GiB
	Disks        []sprout.Disk       // nil: one of 8 GiB; empty: none
	Firmware     string              // empty: Simulated 1.0
	Neighbours   []sprout.Neighbour  // where its cables lead, as LLDP says
}

// A Wire is the provisioning network that a machine is plugged into: where the
// relay agent (RFC 1542) stands that brings its broadcasts to the agent, and on
// which ports the agent answers. Machines use the addresses they are leased as
// their own, so the subnet must be one that this host may bind: 127.0.0.0/8.
type Wire struct {
	DHCP     netip.AddrPort // the server that the relay sends to
	Relay    netip.Addr     // the relay's own address, in the machines' subnet
	TFTPPort uint16         // of whatever server DHCP names; 0: 69
}

// A Pace is how long things take that take a real machine time. Zero: as quick
// as can be.
type Pace struct {
	Firmware     time.Duration // power-on to the first DISCOVER
	Offer        time.Duration // the first wait for an answer of DHCP, doubled with each of four tries; 0: 500 ms. Firmware waits 4 s (PXE 2.1)
	Kernel       time.Duration // kernel loaded to the ramdisk's hello
	WriteRate    int64         // bytes a second that the disk takes; 0: as they come
	System       time.Duration // boot from disk to phone-home
	Retry        time.Duration // between tries of the firmware and the ramdisk; 0: 200 ms
	LoadersWhole bool          // fetch loaders, kernel and initrd to the end, not their first 4 KiB
}

// A Config is one machine, where it is plugged in, and what goes wrong with it.
type Config struct {
	Spec   Spec
	Wire   Wire
	Pace   Pace
	Faults []Fault
	Memory int          // entries of its journal that are kept at least; 0: 2000
	Watch  func(Entry)  // called with every entry, in order; it must not wait; may be nil
	Log    *slog.Logger // nil: nothing is logged
}

func (s Spec) withDefaults() Spec {
	set(&s.Architecture, sprout.AMD64)
	set(&s.BootMode, sprout.BIOS)
	set(&s.Vendor, "Sprout")
	set(&s.Model, "Simulated")
	set(&s.Serial, s.Name)
	set(&s.Cores, 2)
	set(&s.MemoryBytes, 2<<30)
	if s.Disks == nil {
		s.Disks = []sprout.Disk{{Name: "vda", Serial: s.Name + "-disk0", Model: "Simulated", Bytes: 8 << 30, Bus: "virtio"}}
	}
	return s
}

func (p Pace) retry() time.Duration {
	if p.Retry > 0 {
		return p.Retry
	}
	return 200 * time.Millisecond
}

// limit is how many bytes are fetched of a file whose content does not matter;
// 0: all.
func (p Pace) limit() int {
	if p.LoadersWhole {
		return 0
	}
	return firstBytes
}

// firstBytes is how much is fetched of a file that is not needed whole.
const firstBytes = 4 << 10

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
