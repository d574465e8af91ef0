package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sprout"
	"sprout/apt"
)

// A toolset is a squashfs of programs, which the ramdisk fetches only where an order
// needs them.
type toolset struct {
	what     string
	file     string   // what the agent of a site looks for beside vmlinuz
	packages []string // of Debian; their dependencies come along
	without  []string // beside leftOut
	modules  []string // of the ramdisk's kernel, with all that they need
}

var (
	testTools = toolset{what: "the tests' tools", file: "tools.squashfs", packages: []string{
		"busybox-static", "smartmontools", "nvme-cli", "fio", "stress-ng", "memtester", "e2fsprogs", "ethtool", "ipmitool", "curl",
	}}
	layoutTools = toolset{what: "the tools of layouts", file: "layout.squashfs", packages: []string{
		"busybox-static", "fdisk", "mdadm", "lvm2", "e2fsprogs", "xfsprogs", "dosfstools", "util-linux",
	}, without: []string{"lib/udev", "usr/lib/udev", "lib/systemd", "usr/lib/systemd", "var/cache", "var/lib/dpkg", "var/lib/apt",
		"usr/lib/*/libicu*", "usr/bin/perl*", "usr/bin/python3*"}, modules: []string{"raid1", "dm_mod"}}
)

// leftOut is of their dependencies what no test needs: languages, documents and
// what the packages' own scripts run.
var leftOut = []string{
	"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/perl*", "usr/lib/*/perl*",
	"usr/lib/python3*", "usr/share/python3*", "usr/lib/*/gconv", "usr/share/info", "usr/share/zoneinfo", "dev", "tmp", "run", "proc", "sys",
}

// mounts are the empty directories at which the ramdisk mounts the kernel's file systems.
var mounts = []string{"dev", "tmp", "run", "proc", "sys"}

// tools makes the squashfs, unless it was made of the same list. Programs of
// busybox stand in for the shell and whatever else is not there by itself.
func (b *build) tools(ctx context.Context, set toolset) error {
	key := fmt.Sprintf("%x\n", sha256.Sum256(fmt.Append(nil, set.packages, leftOut, mounts, suite)))
	if len(set.modules) > 0 {
		key = fmt.Sprintf("%x\n", sha256.Sum256(fmt.Append(nil, key, set.without, set.modules, b.opts.KernelVersion)))
	}
	if have, err := os.ReadFile(b.path(set.file + ".key")); err == nil && string(have) == key {
		if _, err := os.Stat(b.path(set.file)); err == nil {
			b.log.Info(set.what+" are built already", "dir", b.dir)
			return nil
		}
	}
	tmp, err := os.MkdirTemp(b.dir, ".tools-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // what is left is only room
	root := filepath.Join(tmp, "root")
	b.log.Info("downloading "+set.what, "packages", strings.Join(set.packages, " "))
	args := []string{"--quiet", "--variant=extract", "--include=" + strings.Join(set.packages, ","), "--aptopt=Apt::Install-Recommends false", "--aptopt=Acquire::Languages none", suite, root}
	if _, err := apt.Run(ctx, tmp, "mmdebstrap", append(args, apt.Sources(suite)...)...); err != nil {
		return sprout.Errorf(sprout.Unavailable, "%w", err).WithRemedy("apt-get install mmdebstrap squashfs-tools, and apt-get update")
	}
	if err := linkBusybox(ctx, root); err != nil {
		return err
	}
	if err := b.toolModules(root, set.modules); err != nil {
		return err
	}
	made := filepath.Join(tmp, set.file)
	args = []string{root, made, "-quiet", "-no-progress", "-all-root", "-comp", "zstd", "-mkfs-time", "0", "-all-time", "0"}
	for _, dir := range mounts {
		args = append(args, "-p", dir+" d 755 0 0")
	}
	args = append(append(append(args, "-wildcards", "-e"), leftOut...), set.without...)
	if _, err := apt.Run(ctx, tmp, "mksquashfs", args...); err != nil {
		return sprout.Errorf(sprout.Unavailable, "%w", err).WithRemedy("apt-get install squashfs-tools")
	}
	info, err := os.Stat(made)
	if err != nil {
		return err
	}
	if err := os.Rename(made, b.path(set.file)); err != nil {
		return err
	}
	b.log.Info(set.what+" are built", "dir", b.dir, "bytes", info.Size())
	return os.WriteFile(b.path(set.file+".key"), []byte(key), 0o644)
}

// toolModules puts modules of the ramdisk's kernel into the tree of tools, at
// modules/VERSION, described as those of the ramdisk are.
func (b *build) toolModules(root string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	from := filepath.Join(b.kernelTree(), "lib/modules", b.opts.KernelVersion)
	t, err := readTree(from)
	if err != nil {
		return err
	}
	picked := t.pick(names)
	dep, alias, err := t.describe(picked)
	if err != nil {
		return err
	}
	to := filepath.Join(root, "modules", b.opts.KernelVersion)
	for _, file := range picked {
		name := filepath.Join(to, file)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := copyFile(filepath.Join(from, file), name); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(to, "modules.dep"), []byte(dep), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "modules.alias"), []byte(alias), 0o644)
}

// suite is the release of Debian that the tools are of.
const suite = "bookworm"

// linkBusybox gives the tree the programs of busybox that it has not by itself,
// among them the shell.
func linkBusybox(ctx context.Context, root string) error {
	list, err := apt.Run(ctx, root, filepath.Join(root, "bin/busybox"), "--list")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(list) {
		there := false
		for _, dir := range []string{"bin", "sbin", "usr/bin", "usr/sbin"} {
			_, err := os.Lstat(filepath.Join(root, dir, name))
			there = there || err == nil
		}
		if there {
			continue
		}
		if err := os.Symlink("/bin/busybox", filepath.Join(root, "bin", name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
