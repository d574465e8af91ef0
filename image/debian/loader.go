package debian

import (
	"context"
	"runtime"

	"sprout"
	"sprout/apt"
)

// A loader is how firmware of an architecture comes to the kernel.
type loader struct {
	shim, grub loaderFile // signed by Microsoft, and by Debian
	console    string     // the serial port, as the kernel names it
	root       string     // type of its root partition (UAPI Discoverable Partitions Specification)
}

// A loaderFile is one that firmware or shim looks for by that name, and the package
// of Debian that has it.
type loaderFile struct{ name, pkg, path string }

func (l loader) files() []loaderFile { return []loaderFile{l.shim, l.grub} }

// The names are of UEFI 2.10 section 3.5.1.1, and those that shim has in it.
var loaders = map[sprout.Architecture]loader{
	sprout.AMD64: {
		loaderFile{"BOOTX64.EFI", "shim-signed", "usr/lib/shim/shimx64.efi.signed"},
		loaderFile{"grubx64.efi", "grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"},
		"ttyS0", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
	},
	sprout.ARM64: {
		loaderFile{"BOOTAA64.EFI", "shim-signed", "usr/lib/shim/shimaa64.efi.signed"},
		loaderFile{"grubaa64.efi", "grub-efi-arm64-signed", "usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed"},
		"ttyAMA0", "b921b045-1df0-41c3-af44-4c6f280d3fae",
	},
}

// runners are what runs programs of an architecture on a host of another.
var runners = map[sprout.Architecture]string{sprout.AMD64: "qemu-x86_64-static", sprout.ARM64: "qemu-aarch64-static"}

func (b *build) loader() loader { return loaders[b.opts.Architecture] }

// foreign tells whether the image is for another architecture than this host's.
func (o Options) foreign() bool { return string(o.Architecture) != runtime.GOARCH }

// loaderRoot is below which the loaders are: this host's root, or where those of
// another architecture were unpacked.
func (b *build) loaderRoot(ctx context.Context) (string, error) {
	if !b.opts.foreign() {
		return "/", nil
	}
	lists, root := apt.New(b.opts.Architecture, b.path("apt"), b.log), b.path("loaders")
	for _, f := range b.loader().files() {
		if err := lists.Unpack(ctx, f.pkg, root); err != nil {
			return "", err
		}
	}
	return root, nil
}
