package boot

import (
	"path/filepath"

	"sprout"
)

// A chain is what UEFI firmware of an architecture fetches by TFTP where GRUB and
// not iPXE loads the ramdisk: the firmware asks for shim, and shim for GRUB.
type chain struct {
	Shim, GRUB string // the names that are asked for
	GRUBFirst  bool   // without Secure Boot firmware asks for GRUB
	shim, grub string // the files
	get        string // what brings them
}

// armDir is where kernel, initrd and loaders for arm64 are, in names and below
// Config.Files.
const armDir = string(sprout.ARM64)

// chains are those of each architecture. Of amd64 iPXE loads what does not enforce
// Secure Boot; Debian has no iPXE of arm64.
func (h *handler) chains() []chain {
	arm := filepath.Join(h.Files, armDir)
	return []chain{
		{
			Shim: "shimx64.efi", GRUB: "grubx64.efi",
			shim: h.Shim, grub: h.GRUB, get: "apt-get install shim-signed grub-efi-amd64-signed",
		},
		{
			Shim: "shimaa64.efi", GRUB: "grubaa64.efi", GRUBFirst: true,
			shim: filepath.Join(arm, "shimaa64.efi"), grub: filepath.Join(arm, "grubaa64.efi"), get: "sprout ramdisk build --arch arm64",
		},
	}
}

// ramdiskFiles are the names of kernels and initrds, over HTTP and TFTP, and in
// Config.Files.
var ramdiskFiles = []string{"vmlinuz", "initrd", armDir + "/vmlinuz", armDir + "/initrd"}
