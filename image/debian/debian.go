// Package debian builds a Debian disk image for machines of amd64 with either
// firmware, or of arm64 with UEFI:
// GPT with a BIOS boot partition, an EFI system partition and an ext4 root that
// is last, so that it can grow; GRUB for both, that of UEFI signed and behind
// shim; cloud-init and OpenSSH. It needs root, mmdebstrap, mkfs.ext4, mkfs.vfat,
// mtools, sfdisk, zstd, shim and GRUB's files. For layouts it builds a tar of a root file
// system, with what that needs to start from RAID and LVM. Nothing is mounted and no loop
// device is used, so nothing can be left behind. It must not know of sites or of
// how an image is installed.
package debian

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"sprout"
	"sprout/apt"
)

// Options say what goes into the image; the zero value is good.
type Options struct {
	Architecture sprout.Architecture // of the machines; default amd64
	Kernel       string              // Debian package of the kernel; default linux-image-amd64, or of whichever architecture
	Packages     []string            // more packages
	Sources      []string            // apt source files; default: the Debian ones of this host
	Level        int                 // of zstd; default 6
	Suite        string              // release of Debian; default bookworm
	RootFS       bool                // a tar of the root file system, for layouts, in place of a disk
}

func (o Options) withDefaults() Options {
	o.Architecture, o.Suite = cmp.Or(o.Architecture, sprout.AMD64), cmp.Or(o.Suite, "bookworm")
	o.Kernel = cmp.Or(o.Kernel, "linux-image-"+string(o.Architecture))
	if o.Level == 0 {
		o.Level = 6
	}
	if o.Sources == nil {
		o.Sources = apt.Sources(o.Suite)
	}
	return o
}

// Build writes the image, compressed with zstd, to out, unless the file there
// was built from the same recipe and options; what it was built from is kept
// beside it in out.key. It takes one to three minutes. An error that the
// caller can act on is a *sprout.Error.
func Build(ctx context.Context, out string, opts Options, log *slog.Logger) error {
	opts = opts.withDefaults()
	key := opts.key()
	if have, err := os.ReadFile(out + ".key"); err == nil && string(have) == key {
		if _, err := os.Stat(out); err == nil {
			log.Info("image is built already", "file", out)
			return nil
		}
	}
	if err := opts.needs(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), ".debian-*")
	if err != nil {
		return fmt.Errorf("cannot build image: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is only room
	b := &build{dir: dir, opts: opts, uuid: uuidFrom(key), log: log}
	began := time.Now()
	for _, step := range opts.steps() {
		log.Info("building image", "step", step.name, "after", time.Since(began).Round(time.Second))
		if err := step.do(b, ctx); err != nil {
			return fmt.Errorf("cannot build image: %s: %w", step.name, err)
		}
	}
	if err := os.Rename(b.path("image.zst"), out); err != nil {
		return fmt.Errorf("cannot build image: %w", err)
	}
	if err := os.WriteFile(out+".key", []byte(key), 0o644); err != nil {
		return fmt.Errorf("cannot build image: %w", err)
	}
	log.Info("image is built", "file", out, "took", time.Since(began).Round(time.Second))
	return nil
}

// A step is one part of a build.
type step struct {
	name string
	do   func(*build, context.Context) error
}

func (o Options) steps() []step {
	install := step{"install packages", (*build).bootstrap}
	if o.RootFS {
		return []step{install, {"pack", (*build).pack}}
	}
	return []step{
		install,
		{"partition", (*build).partition},
		{"make root file system", (*build).root},
		{"make EFI system partition", (*build).esp},
		{"install BIOS boot loader", (*build).bios},
		{"compress", (*build).compress},
	}
}

// A build is one run of Build in its own directory.
type build struct {
	dir   string
	opts  Options
	uuid  string // of the root file system
	log   *slog.Logger
	table table
}

func (b *build) path(name string) string { return filepath.Join(b.dir, name) }

func (o Options) needs() error {
	if os.Geteuid() != 0 {
		return sprout.Errorf(sprout.Denied, "cannot build image: mmdebstrap must run as root")
	}
	if o.foreign() && !found(runners[o.Architecture]) {
		return sprout.Errorf(sprout.Unavailable, "cannot build image: this host does not run programs of %s", o.Architecture).
			WithRemedy("apt-get install qemu-user-static binfmt-support")
	}
	for _, name := range o.tools() {
		if !found(name) {
			return sprout.Errorf(sprout.Unavailable, "cannot build image: %s is missing", name).
				WithRemedy("apt-get install mmdebstrap e2fsprogs dosfstools mtools fdisk zstd grub-common grub-pc-bin grub-efi-amd64-signed shim-signed")
		}
	}
	return nil
}

// key names everything that the image depends on, but for the packages'
// versions.
func (o Options) key() string {
	h := sha256.New()
	loader := loaders[o.Architecture]
	fmt.Fprintln(h, o.Architecture, o.Kernel, o.Packages, o.Level, packages, excludes, masked, grubModules)
	for _, f := range files("UUID", loader.console) {
		fmt.Fprintln(h, f.name, f.text)
	}
	fmt.Fprint(h, setup(loader.console), loader, earlyConfig("UUID"))
	if o.RootFS || o.Suite != "bookworm" { // the others keep the key that they have
		fmt.Fprint(h, o.RootFS, o.Suite, layoutPackages, loaderPackages, rootFiles(loader.console))
	}
	return fmt.Sprintf("%x\n", h.Sum(nil))
}

// uuidFrom makes a version 8 UUID (RFC 9562 section 5.8) of a hexadecimal key.
func uuidFrom(key string) string {
	return key[:8] + "-" + key[8:12] + "-8" + key[13:16] + "-8" + key[17:20] + "-" + key[20:32]
}
