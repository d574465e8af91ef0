package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"sprout"
)

// A loader is a file that firmware runs, and the package of Debian that has it.
type loader struct{ name, pkg, path string }

// loaderFiles are what the machines of an architecture boot by that Debian has no
// iPXE for.
var loaderFiles = map[sprout.Architecture][]loader{
	sprout.ARM64: {
		{"shimaa64.efi", "shim-signed", "usr/lib/shim/shimaa64.efi.signed"},                               // by Microsoft
		{"grubaa64.efi", "grub-efi-arm64-signed", "usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed"}, // by Debian
	},
}

// made are the names of what is built.
func (b *build) made() []string {
	names := []string{"vmlinuz", "initrd"}
	for _, l := range loaderFiles[b.opts.Architecture] {
		names = append(names, l.name)
	}
	return names
}

// loaders puts the loaders beside the kernel that they fetch.
func (b *build) loaders(ctx context.Context) error {
	for _, l := range loaderFiles[b.opts.Architecture] {
		if err := b.loader(ctx, l); err != nil {
			return fmt.Errorf("cannot get %s: %w", l.name, err)
		}
	}
	return nil
}

func (b *build) loader(ctx context.Context, l loader) error {
	tmp, err := os.MkdirTemp(b.dir, ".loader-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // what is left is only room
	if err := b.lists.Unpack(ctx, l.pkg, tmp); err != nil {
		return err
	}
	return copyFile(filepath.Join(tmp, l.path), b.path(l.name))
}
