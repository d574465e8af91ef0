package ramdisk

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sprout"
)

// An array is a RAID 1 over a partition of each disk.
type array struct {
	name    string // md0
	device  string // /dev/md0
	uuid    string
	members []string
}

// A volume is something with a file system or swap on it.
type volume struct {
	name   string
	device string
	use    sprout.LayoutUse
	mount  string
	uuid   string
}

// A toolError is a program that failed.
type toolError struct {
	name   string
	err    error
	output string // the end of what it said
}

func (e *toolError) Error() string {
	lines := strings.Split(strings.TrimSpace(e.output), "\n")
	return fmt.Sprintf("%s: %v: %s", e.name, e.err, lines[len(lines)-1])
}

// outputKept is how much of what a program said is evidence, in bytes.
const outputKept = 4 << 10

// runIn runs a program in a tree, as its root. The devices are made by the kernel and
// by the programs themselves: no udev runs here.
func runIn(ctx context.Context, root, input, name string, args ...string) (string, error) {
	path, err := inTree(root, name)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root", "MDADM_NO_UDEV=1", "DM_DISABLE_UDEV=1", "LVM_SUPPRESS_FD_WARNINGS=1", "DEBIAN_FRONTEND=noninteractive"}
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		said := out.String()
		return said, &toolError{name, err, said[max(0, len(said)-outputKept):]}
	}
	return out.String(), nil
}

// errNoProgram is of a tree that has not a program.
var errNoProgram = errors.New("there is no such program")

// inTree is where a tree has a program, as it is seen from within.
func inTree(root, name string) (string, error) {
	tree, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer tree.Close() //nolint:errcheck // only looked at
	for _, dir := range []string{"usr/sbin", "usr/bin", "sbin", "bin"} {
		if _, err := tree.Lstat(filepath.Join(dir, name)); err == nil {
			return "/" + filepath.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, errNoProgram)
}

func (in *installer) tool(ctx context.Context, name string, args ...string) (string, error) {
	in.log.Info("running", "program", name, "with", strings.Join(args, " "))
	return runIn(ctx, in.root, "", name, args...)
}

// lvm runs a command of LVM, which sees the layout's own physical volumes only: groups
// of the same name on other disks are none of its business.
func (in *installer) lvm(ctx context.Context, command string, args ...string) (string, error) {
	return in.tool(ctx, command, append([]string{"--devices", strings.Join(in.physical(), ","), "--config", lvmConfig}, args...)...)
}

// lvmConfig has LVM do without udev, daemons and copies of its metadata: the tree of
// tools can only be read.
const lvmConfig = "devices{obtain_device_list_from_udev=0} activation{monitoring=0 udev_sync=0 udev_rules=0} global{use_lvmpolld=0 event_activation=0} backup{backup=0 archive=0}"

// partName is the kernel's name of a disk's partition.
func partName(disk string, number int) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		return fmt.Sprintf("%sp%d", disk, number)
	}
	return fmt.Sprintf("%s%d", disk, number)
}

// part is the device of a disk's partition.
func (in *installer) part(disk sprout.Disk, number int) string {
	return filepath.Join("/dev", partName(disk.Name, number))
}

// tableScript is what sfdisk makes of a disk.
func tableScript(parts []sprout.DiskPart) string {
	var b strings.Builder
	b.WriteString("label: gpt\nunit: sectors\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "%d: start=%d, size=%d, type=%s, name=%s\n", p.Number, p.Start/gptSector, p.Bytes/gptSector, p.Type, p.Name)
	}
	return b.String()
}

func (in *installer) partition(ctx context.Context) error {
	for _, d := range in.chosen {
		if _, err := runIn(ctx, in.root, tableScript(in.parts), "sfdisk", "--quiet", "--wipe", "always", "--wipe-partitions", "always", "/dev/"+d.Name); err != nil {
			return err
		}
		for _, p := range in.parts {
			if p.Of != nil {
				// An array that lay at the same place must not come to life again.
				_, _ = in.tool(ctx, "mdadm", "--zero-superblock", "--force", in.part(d, p.Number)) // there may be none
			}
		}
	}
	return nil
}

func (in *installer) makeArrays(ctx context.Context) error {
	if len(in.chosen) < 2 {
		return nil
	}
	// What was never written need not be equal yet: the installed system goes on with that.
	for _, limit := range []string{"min", "max"} {
		if err := os.WriteFile("/proc/sys/dev/raid/speed_limit_"+limit, []byte("1000"), 0o644); err != nil { // KiB/s
			return err
		}
	}
	for _, p := range in.parts {
		if p.Of == nil {
			continue
		}
		a := array{name: fmt.Sprintf("md%d", len(in.arrays)), uuid: newUUID()}
		a.device = "/dev/" + a.name
		for _, d := range in.chosen {
			a.members = append(a.members, in.part(d, p.Number))
		}
		args := append([]string{"--create", a.device, "--run", "--level=1", "--metadata=1.2", "--bitmap=internal", "--homehost=any", "--name=" + p.Name, "--uuid=" + mdUUID(a.uuid),
			fmt.Sprintf("--raid-devices=%d", len(a.members))}, a.members...)
		if _, err := in.tool(ctx, "mdadm", args...); err != nil {
			return err
		}
		in.arrays = append(in.arrays, a)
	}
	return nil
}

// say writes to a file of an array in sysfs (Linux, Documentation/admin-guide/md.rst).
func (in *installer) say(a array, file, word string) error {
	return os.WriteFile(filepath.Join("/sys/block", a.name, "md", file), []byte(word), 0o200)
}

// readFrom has arrays read from the one disk alone where they can; -1: from any.
func (in *installer) readFrom(disk int) error {
	for _, a := range in.arrays {
		for i, member := range a.members {
			word := "writemostly"
			if disk < 0 || i == disk {
				word = "-writemostly"
			}
			if err := in.say(a, "dev-"+filepath.Base(member)+"/state", word); err != nil {
				return err
			}
		}
	}
	return nil
}

// device is what a partition of the layout is used through: its array, or itself.
func (in *installer) device(p sprout.DiskPart) string {
	if len(in.chosen) == 1 {
		return in.part(in.chosen[0], p.Number)
	}
	at := slices.IndexFunc(in.arrays, func(a array) bool { return a.members[0] == in.part(in.chosen[0], p.Number) })
	if at < 0 {
		return ""
	}
	return in.arrays[at].device
}

// physical are the physical volumes of the group.
func (in *installer) physical() (devices []string) {
	for _, p := range in.parts {
		if p.Of != nil && p.Of.Use == sprout.UseLVM {
			devices = append(devices, in.device(p))
		}
	}
	return devices
}

func (in *installer) makeGroup(ctx context.Context) error {
	l := in.order.Layout
	if l.Group == "" {
		return nil
	}
	physical := in.physical()
	if _, err := in.lvm(ctx, "pvcreate", append([]string{"-ff", "-y"}, physical...)...); err != nil {
		return err
	}
	if _, err := in.lvm(ctx, "vgcreate", append([]string{"-y", l.Group}, physical...)...); err != nil {
		return err
	}
	for _, v := range l.Volumes {
		size := []string{"-L", fmt.Sprintf("%db", v.Bytes)}
		if v.Bytes == 0 {
			size = []string{"-l", "100%FREE"}
		}
		if _, err := in.lvm(ctx, "lvcreate", append(size, "-y", "-Wy", "-n", v.Name, l.Group)...); err != nil {
			return err
		}
	}
	return nil
}

// makeFileSystems makes those of the layout, and on each disk an EFI system partition
// and the config drive.
func (in *installer) makeFileSystems(ctx context.Context) error {
	for _, p := range in.parts {
		if p.Of != nil && p.Of.Use != sprout.UseLVM {
			in.volumes = append(in.volumes, volume{p.Name, in.device(p), p.Of.Use, p.Of.Mount, newUUID()})
		}
	}
	for _, v := range in.order.Layout.Volumes {
		in.volumes = append(in.volumes, volume{v.Name, "/dev/mapper/" + in.order.Layout.Group + "-" + v.Name, v.Use, v.Mount, newUUID()})
	}
	slices.SortStableFunc(in.volumes, func(a, b volume) int {
		return strings.Count(strings.TrimRight(a.mount, "/"), "/") - strings.Count(strings.TrimRight(b.mount, "/"), "/")
	})
	for _, v := range in.volumes {
		if err := in.format(ctx, v); err != nil {
			return err
		}
	}
	drive, err := ConfigVolume(in.order.ConfigDrive)
	if err != nil {
		return err
	}
	esp := strings.ToUpper(newUUID()[:8])
	for _, d := range in.chosen {
		if _, err := in.tool(ctx, "mkfs.vfat", "-F", "32", "-n", "ESP", "-i", esp, in.part(d, espNumber)); err != nil {
			return err
		}
		if err := in.putDrive(d, drive); err != nil {
			return err
		}
	}
	in.volumes = append(in.volumes, volume{"esp", in.part(in.chosen[0], espNumber), useESP, "/boot/efi", esp[:4] + "-" + esp[4:]})
	return in.linkUUIDs()
}

// espNumber is the number of the EFI system partition, and useESP what it is for.
const (
	espNumber = 2
	useESP    = sprout.LayoutUse("vfat")
)

func (in *installer) format(ctx context.Context, v volume) (err error) {
	switch v.use {
	case sprout.UseExt4:
		// GRUB of Debian 12 reads no file system with either of the two.
		_, err = in.tool(ctx, "mkfs.ext4", "-q", "-F", "-L", v.name, "-U", v.uuid, "-O", "^metadata_csum_seed,^orphan_file", v.device)
	case sprout.UseXFS:
		_, err = in.tool(ctx, "mkfs.xfs", "-q", "-f", "-L", v.name[:min(12, len(v.name))], "-m", "uuid="+v.uuid, v.device)
	case sprout.UseSwap:
		_, err = in.tool(ctx, "mkswap", "-L", v.name, "-U", v.uuid, v.device)
	default:
		err = fmt.Errorf("this ramdisk (version %s) knows no file system %q", sprout.Version, v.use)
	}
	return err
}

// putDrive writes the config drive, and reads it back.
func (in *installer) putDrive(d sprout.Disk, drive []byte) error {
	b, err := openBlock(filepath.Join(in.dev, partName(d.Name, in.parts[len(in.parts)-1].Number)))
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // putVerified has flushed it
	return putVerified(b, drive, 0)
}

// linkUUIDs makes the names of file systems that udev would: what the image's own
// programs write into its boot loader's configuration is by them.
func (in *installer) linkUUIDs() error {
	dir := filepath.Join(in.dev, "disk", "by-uuid")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, v := range in.volumes {
		name := filepath.Join(dir, v.uuid)
		_ = os.Remove(name)
		if err := os.Symlink(v.device, name); err != nil {
			return err
		}
	}
	return nil
}

// newUUID is random (RFC 9562 section 5.4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
