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

// toolPackages are the Debian packages of the programs that tests call. Their
// dependencies come along.
var toolPackages = []string{
	"busybox-static", "smartmontools", "nvme-cli", "fio", "stress-ng", "memtester", "e2fsprogs", "ethtool", "ipmitool", "curl",
}

// leftOut is of their dependencies what no test needs: languages, documents and
// what the packages' own scripts run.
var leftOut = []string{
	"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/perl*", "usr/lib/*/perl*",
	"usr/lib/python3*", "usr/share/python3*", "usr/lib/*/gconv", "usr/share/info", "usr/share/zoneinfo", "dev", "tmp", "run", "proc", "sys",
}

// mounts are the empty directories at which the ramdisk mounts the kernel's file systems.
var mounts = []string{"dev", "tmp", "run", "proc", "sys"}

// toolsFile is what the agent of a site looks for beside vmlinuz.
const toolsFile = "tools.squashfs"

// tools makes the squashfs, unless it was made of the same list. Programs of
// busybox stand in for the shell and whatever else is not there by itself.
func (b *build) tools(ctx context.Context) error {
	key := fmt.Sprintf("%x\n", sha256.Sum256(fmt.Append(nil, toolPackages, leftOut, mounts, suite)))
	if have, err := os.ReadFile(b.path(toolsFile + ".key")); err == nil && string(have) == key {
		if _, err := os.Stat(b.path(toolsFile)); err == nil {
			b.log.Info("the tests' tools are built already", "dir", b.dir)
			return nil
		}
	}
	tmp, err := os.MkdirTemp(b.dir, ".tools-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // what is left is only room
	root := filepath.Join(tmp, "root")
	b.log.Info("downloading the tests' tools", "packages", strings.Join(toolPackages, " "))
	args := []string{"--quiet", "--variant=extract", "--include=" + strings.Join(toolPackages, ","), "--aptopt=Apt::Install-Recommends false", "--aptopt=Acquire::Languages none", suite, root}
	if _, err := apt.Run(ctx, tmp, "mmdebstrap", append(args, apt.Sources(suite)...)...); err != nil {
		return sprout.Errorf(sprout.Unavailable, "%w", err).WithRemedy("apt-get install mmdebstrap squashfs-tools, and apt-get update")
	}
	if err := linkBusybox(ctx, root); err != nil {
		return err
	}
	made := filepath.Join(tmp, toolsFile)
	args = []string{root, made, "-quiet", "-no-progress", "-all-root", "-comp", "zstd", "-mkfs-time", "0", "-all-time", "0"}
	for _, dir := range mounts {
		args = append(args, "-p", dir+" d 755 0 0")
	}
	args = append(append(args, "-wildcards", "-e"), leftOut...)
	if _, err := apt.Run(ctx, tmp, "mksquashfs", args...); err != nil {
		return sprout.Errorf(sprout.Unavailable, "%w", err).WithRemedy("apt-get install squashfs-tools")
	}
	info, err := os.Stat(made)
	if err != nil {
		return err
	}
	if err := os.Rename(made, b.path(toolsFile)); err != nil {
		return err
	}
	b.log.Info("the tests' tools are built", "dir", b.dir, "bytes", info.Size())
	return os.WriteFile(b.path(toolsFile+".key"), []byte(key), 0o644)
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
