// Package build makes the ramdisk that machines boot: vmlinuz and initrd, from
// Debian's kernel package, the modules that servers need to be reached and to
// reach their disks, and our /init; and, if asked, the tools that hardware tests
// call. That of arm64 comes with the loaders that fetch it. It needs apt-get,
// dpkg-deb and depmod, and for the tools mmdebstrap and mksquashfs; it needs no
// root. It must not know what /init does.
package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"sprout"
	"sprout/apt"
)

// Options say what to build from.
type Options struct {
	Architecture  sprout.Architecture // of the machines; default amd64. Others go to a directory of their name below
	KernelVersion string              // "6.1.0-56-amd64"; default: what linux-image-amd64 stands for now
	InitPath      string              // the static program that becomes /init
	Modules       []string            // more modules, by name
	Tools         bool                // build the tools of tests and of layouts too
}

// Build makes outDir/vmlinuz and outDir/initrd, or for arm64 outDir/arm64/vmlinuz
// and so on, beside shimaa64.efi and grubaa64.efi, unless they were made from the
// same kernel, modules and /init. It keeps the kernel's package there, so that
// only a new kernel is downloaded.
func Build(ctx context.Context, outDir string, opts Options, log *slog.Logger) error {
	opts.Architecture = cmp.Or(opts.Architecture, sprout.AMD64)
	if opts.Architecture != sprout.AMD64 {
		outDir = filepath.Join(outDir, string(opts.Architecture))
	}
	if err := os.MkdirAll(outDir, 0o755); err != nil {
		return fmt.Errorf("cannot build ramdisk: %w", err)
	}
	b := &build{dir: outDir, opts: opts, lists: apt.New(opts.Architecture, filepath.Join(outDir, "apt"), log), log: log}
	if err := b.build(ctx); err != nil {
		return fmt.Errorf("cannot build ramdisk: %w", err)
	}
	if !opts.Tools {
		return nil
	}
	for _, set := range []toolset{testTools, layoutTools} {
		if err := b.tools(ctx, set); err != nil {
			return fmt.Errorf("cannot build %s: %w", set.what, err)
		}
	}
	return nil
}

type build struct {
	dir   string
	opts  Options
	lists *apt.Lists
	log   *slog.Logger
}

func (b *build) path(name string) string { return filepath.Join(b.dir, name) }

func (b *build) build(ctx context.Context) error {
	if b.opts.KernelVersion == "" {
		version, err := b.kernelVersion(ctx)
		if err != nil {
			return err
		}
		b.opts.KernelVersion = version
	}
	key, err := b.key()
	if err != nil {
		return err
	}
	if b.fresh(key) {
		b.log.Info("ramdisk is built already", "dir", b.dir, "kernel", b.opts.KernelVersion)
		return nil
	}
	if err := b.unpackKernel(ctx); err != nil {
		return err
	}
	if err := b.loaders(ctx); err != nil {
		return err
	}
	if err := b.unpackShell(ctx); err != nil {
		return err
	}
	kernel := b.kernelTree()
	if err := copyFile(filepath.Join(kernel, "boot/vmlinuz-"+b.opts.KernelVersion), b.path("vmlinuz")); err != nil {
		return err
	}
	size, err := b.pack(kernel)
	if err != nil {
		return err
	}
	b.log.Info("ramdisk is built", "dir", b.dir, "kernel", b.opts.KernelVersion, "initrdBytes", size)
	return os.WriteFile(b.path("key"), []byte(key), 0o644)
}

// key names all that the two files depend on.
func (b *build) key() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, b.opts.Architecture, b.opts.KernelVersion, modules, b.opts.Modules, shellPackage)
	f, err := os.Open(b.opts.InitPath)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x\n", h.Sum(nil)), nil
}

func (b *build) fresh(key string) bool {
	have, err := os.ReadFile(b.path("key"))
	if err != nil || string(have) != key {
		return false
	}
	for _, name := range b.made() {
		if _, err := os.Stat(b.path(name)); err != nil {
			return false
		}
	}
	return true
}

func (b *build) kernelTree() string { return b.path("linux-" + b.opts.KernelVersion) }

// unpackKernel downloads and unpacks the kernel's package, unless that was done.
func (b *build) unpackKernel(ctx context.Context) error {
	tree := b.kernelTree()
	if _, err := os.Stat(filepath.Join(tree, "lib/modules", b.opts.KernelVersion, "modules.dep")); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(b.dir, ".kernel-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // what is left is only room
	b.log.Info("downloading kernel", "package", "linux-image-"+b.opts.KernelVersion)
	root := filepath.Join(tmp, "root")
	if err := b.lists.Unpack(ctx, "linux-image-"+b.opts.KernelVersion, root); err != nil {
		return err
	}
	if _, err := apt.Run(ctx, tmp, "depmod", "-b", root, b.opts.KernelVersion); err != nil {
		return err
	}
	if err := os.RemoveAll(tree); err != nil {
		return err
	}
	return os.Rename(root, tree)
}

// kernelVersion asks apt which kernel linux-image-amd64, or that of another
// architecture, depends on. Where apt does not know, the kernel that an earlier build
// used will do.
func (b *build) kernelVersion(ctx context.Context) (string, error) {
	name := "linux-image-" + string(b.opts.Architecture)
	out, err := b.lists.Show(ctx, name)
	if err == nil {
		for line := range strings.Lines(out) {
			if _, rest, ok := strings.Cut(line, "Depends: linux-image-"); ok {
				return strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' })[0], nil
			}
		}
		err = errors.New("it names no kernel")
	}
	if trees, _ := filepath.Glob(b.path("linux-*")); len(trees) > 0 {
		return strings.TrimPrefix(filepath.Base(trees[len(trees)-1]), "linux-"), nil
	}
	return "", sprout.Errorf(sprout.Unavailable, "cannot find package %s: %w", name, err).WithRemedy("apt-get update")
}
