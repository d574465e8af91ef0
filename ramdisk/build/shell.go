package build

import (
	"context"
	"os"
	"path/filepath"
)

// shellPackage is the package of the shell that a machine in rescue has: one static
// program with the usual commands.
const shellPackage = "busybox-static"

func (b *build) shell() string { return b.path("busybox") }

// unpackShell downloads the shell, unless that was done.
func (b *build) unpackShell(ctx context.Context) error {
	if _, err := os.Stat(b.shell()); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(b.dir, ".shell-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // what is left is only room
	b.log.Info("downloading shell", "package", shellPackage)
	if err := b.lists.Unpack(ctx, shellPackage, tmp); err != nil {
		return err
	}
	return copyFile(filepath.Join(tmp, "bin/busybox"), b.shell())
}
