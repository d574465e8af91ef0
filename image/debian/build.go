package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sprout"
)

// programs are those of the host that every build uses.
var programs = []string{"mmdebstrap", "mkfs.ext4", "mkfs.vfat", "mcopy", "mmd", "sfdisk", "zstd"}

const grubBIOS = "/usr/lib/grub/i386-pc"

// tools are the programs and files of the host that the build uses.
func (o Options) tools() []string {
	if o.RootFS {
		return []string{"mmdebstrap", "tar", "zstd"}
	}
	all := programs
	if o.Architecture == sprout.AMD64 {
		all = append(all, "grub-mkimage", grubBIOS+"/boot.img")
	}
	if !o.foreign() {
		for _, f := range loaders[o.Architecture].files() {
			all = append(all, "/"+f.path)
		}
	}
	return all
}

func found(name string) bool {
	if filepath.IsAbs(name) {
		_, err := os.Stat(name)
		return err == nil
	}
	_, err := exec.LookPath(name)
	return err == nil
}

// run runs a program of the host; when the context ends, the program is asked
// to end, so that it can clean up, and is killed with its children if it does not.
func (b *build) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	// The kernel's package makes no initramfs: setup makes it, once, of all that the
	// image has (initramfs-tools, /etc/kernel/postinst.d).
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "INITRD=No")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, lastLines(string(out), 8))
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// bootstrap makes the root's tree.
func (b *build) bootstrap(ctx context.Context) error {
	own := files(b.uuid, b.loader().console)
	if b.opts.RootFS {
		own = rootFiles(b.loader().console)
	}
	for _, f := range own {
		name := b.path(filepath.Join("files", f.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.path("setup"), []byte("#!/bin/sh\n"+setup(b.loader().console)), 0o755); err != nil {
		return err
	}
	all := append(append([]string{b.opts.Kernel}, packages...), b.opts.Packages...)
	if b.opts.RootFS {
		all = append(append(all, layoutPackages...), loaderPackages[b.opts.Architecture]...)
	}
	args := []string{
		"--mode=root", "--variant=minbase", "--architectures=" + string(b.opts.Architecture), "--include=" + strings.Join(all, ","),
		"--aptopt=Apt::Install-Recommends false", "--aptopt=Acquire::Languages none",
		"--essential-hook=mkdir -p \"$1/etc/initramfs-tools/conf.d\" && cp " + b.path("files/etc/initramfs-tools/conf.d/sprout") + " \"$1/etc/initramfs-tools/conf.d/\"",
		"--customize-hook=cp -r " + b.path("files") + "/. \"$1/\"",
		"--customize-hook=" + b.path("setup") + " \"$1\"",
	}
	for _, e := range excludes {
		args = append(args, "--dpkgopt=path-exclude="+e)
	}
	for _, unit := range masked {
		args = append(args, "--customize-hook=ln -sf /dev/null \"$1/etc/systemd/system/"+unit+"\"")
	}
	args = append(args, b.opts.Suite, b.path("root"))
	return b.run(ctx, "mmdebstrap", append(args, b.opts.Sources...)...)
}

// root puts the tree into the root partition.
func (b *build) root(ctx context.Context) error {
	return b.run(ctx, "mkfs.ext4", "-q", "-F", "-d", b.path("root"), "-L", "root", "-U", b.uuid,
		"-T", "default", "-J", "size=32", "-m", "1",
		"-E", fmt.Sprintf("offset=%d,lazy_itable_init=1,hash_seed=%s", b.table.root.start*sector, b.uuid),
		b.path("raw"), strconv.FormatInt(b.table.root.sectors*sector/1024, 10)+"k")
}

// esp makes the EFI system partition, with shim at the path that firmware looks
// for on any disk (UEFI 2.10 section 3.5.1.1), and GRUB beside it, where shim
// looks: both as they are signed, so that the host boots with Secure Boot and
// without. Debian's signed GRUB reads its configuration in /EFI/debian.
func (b *build) esp(ctx context.Context) error {
	img, early := b.path("esp"), b.path("early-efi.cfg")
	from, err := b.loaderRoot(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(early, []byte(earlyConfig(b.uuid)+"configfile $prefix/grub.cfg\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(img, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(img, b.table.esp.sectors*sector); err != nil {
		return err
	}
	for _, cmd := range [][]string{
		{"mkfs.vfat", "-n", "ESP", "-i", b.uuid[:8], img},
		{"mmd", "-i", img, "::/EFI", "::/EFI/BOOT", "::/EFI/debian"},
		{"mcopy", "-i", img, filepath.Join(from, b.loader().shim.path), "::/EFI/BOOT/" + b.loader().shim.name},
		{"mcopy", "-i", img, filepath.Join(from, b.loader().grub.path), "::/EFI/BOOT/" + b.loader().grub.name},
		{"mcopy", "-i", img, early, "::/EFI/debian/grub.cfg"},
	} {
		if err := b.run(ctx, cmd[0], cmd[1:]...); err != nil {
			return err
		}
	}
	return b.put(img, b.table.esp.start)
}

func (b *build) compress(ctx context.Context) error {
	return b.run(ctx, "zstd", "-q", "-T0", "-"+strconv.Itoa(b.opts.Level), "--rm", b.path("raw"), "-o", b.path("image.zst"))
}

// pack makes a tar of the root's tree, with owners, modes and extended attributes.
func (b *build) pack(ctx context.Context) error {
	return b.run(ctx, "tar", "--create", "--file", b.path("image.zst"), "--directory", b.path("root"), "--numeric-owner", "--xattrs", "--xattrs-include=*",
		"--sort=name", "--format=pax", "--pax-option=delete=atime,delete=ctime", "--use-compress-program=zstd -q -T0 -"+strconv.Itoa(b.opts.Level), ".")
}
