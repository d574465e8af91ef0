package ramdisk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sprout"
)

// within runs a program of the new system in it.
func (in *installer) within(ctx context.Context, name string, args ...string) (string, error) {
	in.log.Info("running in the new system", "program", name, "with", strings.Join(args, " "))
	return runIn(ctx, in.target, "", name, args...)
}

// has tells whether the new system has a program.
func (in *installer) has(name string) bool {
	_, err := inTree(in.target, name)
	return err == nil
}

// enter mounts the new system, and the kernel's file systems in it.
func (in *installer) enter() error {
	if err := in.mount(0); err != nil {
		return err
	}
	for _, m := range []struct {
		from, at, kind string
		flags          uintptr
	}{{"/dev", "dev", "", unix.MS_BIND}, {"proc", "proc", "proc", 0}, {"sysfs", "sys", "sysfs", 0}, {"tmpfs", "run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV}} {
		if err := in.mountAt(m.from, m.at, m.kind, m.flags); err != nil {
			return err
		}
	}
	return nil
}

// put writes a file of the new system; what check reads back is the same.
func (in *installer) put(root *os.Root, name, text string) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	_ = root.Remove(name) // never through a link
	if in.written == nil {
		in.written = map[string]string{}
	}
	in.written[name] = text
	return root.WriteFile(name, []byte(text), 0o644)
}

// configure writes what the new system needs to know of its disks.
func (in *installer) configure(_ context.Context) error {
	if err := in.enter(); err != nil {
		return err
	}
	in.log.Info("the new system is mounted")
	for _, n := range []struct {
		needed  bool
		program string
		what    string
	}{{len(in.arrays) > 0, "mdadm", "RAID 1"}, {in.order.Layout.Group != "", "lvm", "LVM"}} {
		if n.needed && !in.has(n.program) {
			return fmt.Errorf("the image has no %s, which %s needs: build one that has (sprout image build debian-12 --rootfs)", n.program, n.what)
		}
	}
	root, err := os.OpenRoot(in.target)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // all files in it are closed
	files := map[string]string{"etc/fstab": fstab(in.volumes)}
	if host, _, _ := strings.Cut(in.order.Hostname, "."); host != "" {
		files["etc/hostname"] = host + "\n"
	}
	if len(in.arrays) > 0 {
		name := "etc/mdadm.conf"
		if _, err := root.Stat("etc/mdadm"); err == nil {
			name = "etc/mdadm/mdadm.conf"
		}
		files[name] = mdadmConf(in.arrays)
	}
	for name, text := range files {
		if err := in.put(root, name, text); err != nil {
			return err
		}
	}
	return nil
}

// fstab says what the new system mounts. A missing EFI system partition must not keep it
// from starting: it may be that of the disk that is gone.
func fstab(volumes []volume) string {
	var b strings.Builder
	for _, v := range volumes {
		switch {
		case v.use == useESP:
			fmt.Fprintf(&b, "UUID=%s %s vfat umask=0077,nofail,x-systemd.device-timeout=10s 0 0\n", v.uuid, v.mount)
		case v.use == sprout.UseSwap:
			fmt.Fprintf(&b, "UUID=%s none swap sw,nofail 0 0\n", v.uuid)
		case v.mount == "/" && v.use == sprout.UseExt4:
			fmt.Fprintf(&b, "UUID=%s / ext4 defaults,errors=remount-ro 0 1\n", v.uuid)
		case v.mount == "/":
			fmt.Fprintf(&b, "UUID=%s / %s defaults 0 1\n", v.uuid, v.use)
		default:
			fmt.Fprintf(&b, "UUID=%s %s %s defaults 0 2\n", v.uuid, v.mount, v.use)
		}
	}
	return b.String()
}

// mdadmConf names the arrays to mdadm (mdadm.conf(5)).
func mdadmConf(arrays []array) string {
	conf := "HOMEHOST <system>\nMAILADDR root\n"
	for _, a := range arrays {
		conf += fmt.Sprintf("ARRAY %s metadata=1.2 UUID=%s\n", a.device, mdUUID(a.uuid))
	}
	return conf
}

// mdUUID is a UUID as mdadm writes it: four words.
func mdUUID(uuid string) string {
	digits := strings.ReplaceAll(uuid, "-", "")
	return digits[:8] + ":" + digits[8:16] + ":" + digits[16:24] + ":" + digits[24:]
}

// initramfs has the new system build its own where the kernel finds its root only by
// programs that are in it, and the image's own has them not.
func (in *installer) initramfs(ctx context.Context) error {
	missing, err := in.lacking(ctx)
	if err != nil || missing == "" {
		return err
	}
	in.log.Info("the initramfs is built anew", "for", missing)
	switch {
	case in.has("update-initramfs"):
		_, err = in.within(ctx, "update-initramfs", "-u", "-k", "all")
	case in.has("dracut"):
		_, err = in.within(ctx, "dracut", "--force", "--regenerate-all")
	default:
		err = errors.New("the image has neither update-initramfs nor dracut")
	}
	return err
}

// lacking names what an initramfs of the image has not, and the kernel needs to find its
// root: the programs and modules of RAID 1, of LVM, and of the root's file system. Empty:
// each of them has all. Arrays and volume groups are found by what is on the disks.
func (in *installer) lacking(ctx context.Context) (string, error) {
	var needs []string
	if len(in.arrays) > 0 {
		needs = append(needs, "sbin/mdadm", "/raid1.ko")
	}
	if in.order.Layout.Group != "" {
		needs = append(needs, "sbin/lvm", "/dm-mod.ko")
	}
	if len(needs) == 0 {
		return "", nil
	}
	for _, v := range in.volumes {
		if v.mount == "/" {
			needs = append(needs, "/"+string(v.use)+".ko")
		}
	}
	images, err := filepath.Glob(filepath.Join(in.target, "boot/initrd.img-*"))
	if err != nil || len(images) == 0 || !in.has("lsinitramfs") {
		return "what cannot be seen in it", err
	}
	for _, image := range images {
		list, err := in.within(ctx, "lsinitramfs", strings.TrimPrefix(image, in.target))
		if err != nil {
			return "", err
		}
		for _, need := range needs {
			if !strings.Contains(list, need) {
				return need, nil
			}
		}
	}
	return "", nil
}

// An efiLoader is what firmware of an architecture starts (UEFI 2.10 section 3.5.1.1),
// and where images have it as it is signed.
type efiLoader struct {
	shimName, grubName, target string
	shim, grub                 []string
}

var efiLoaders = map[string]efiLoader{
	"amd64": {"BOOTX64.EFI", "grubx64.efi", "x86_64-efi", []string{"usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimx64.efi.signed.latest"},
		[]string{"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"}},
	"arm64": {"BOOTAA64.EFI", "grubaa64.efi", "arm64-efi", []string{"usr/lib/shim/shimaa64.efi.signed", "usr/lib/shim/shimaa64.efi.signed.latest"},
		[]string{"usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed"}},
}

// loaders makes each of the disks one that starts the new system: by the firmware that
// the machine has, and by the other kind too where the image has what that needs.
func (in *installer) loaders(ctx context.Context) error {
	if err := in.grubConfig(ctx); err != nil {
		return err
	}
	for _, kind := range []struct {
		mode sprout.BootMode
		do   func(context.Context) error
	}{{sprout.BIOS, in.biosLoader}, {sprout.UEFI, in.efiLoader}} {
		err := kind.do(ctx)
		if errors.Is(err, errNoLoader) && kind.mode != in.mode {
			in.log.Info("the disks do not start by "+string(kind.mode), "why", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errNoLoader is of an image that has no loader for a kind of firmware.
var errNoLoader = errors.New("the image has no boot loader for it")

// grubConfig has the new system write the loader's configuration. That of an image in
// which no loader was installed yet has no place for it.
func (in *installer) grubConfig(ctx context.Context) error {
	for _, grub := range []string{"grub", "grub2"} {
		if !in.has(grub + "-mkconfig") {
			continue
		}
		root, err := os.OpenRoot(in.target)
		if err != nil {
			return err
		}
		err = root.MkdirAll("boot/"+grub, 0o755)
		_ = root.Close() // only a directory was made
		if err != nil {
			return err
		}
		_, err = in.within(ctx, grub+"-mkconfig", "-o", "/boot/"+grub+"/grub.cfg")
		return err
	}
	return errors.New("the image has no grub-mkconfig")
}

func (in *installer) grubInstall() string {
	if in.has("grub2-install") {
		return "grub2-install"
	}
	return "grub-install"
}

func (in *installer) biosLoader(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(in.target, "usr/lib/grub/i386-pc/boot.img")); err != nil || runtime.GOARCH != "amd64" {
		return fmt.Errorf("BIOS: %w", errNoLoader)
	}
	for _, d := range in.chosen {
		if _, err := in.within(ctx, in.grubInstall(), "--target=i386-pc", "--no-floppy", "--recheck", "/dev/"+d.Name); err != nil {
			return err
		}
	}
	return nil
}

// efiLoader fills the EFI system partition of each disk. The first stays mounted.
func (in *installer) efiLoader(ctx context.Context) error {
	for i := len(in.chosen) - 1; i >= 0; i-- {
		if err := in.mountAt(in.part(in.chosen[i], espNumber), "/boot/efi", "vfat", 0); err != nil {
			return err
		}
		if err := in.fillESP(ctx); err != nil {
			return err
		}
		if err := in.unmountLast(); err != nil {
			return err
		}
	}
	return nil
}

func (in *installer) fillESP(ctx context.Context) error {
	l := efiLoaders[runtime.GOARCH]
	shim, grub := in.first(l.shim), in.first(l.grub)
	if shim == "" || grub == "" {
		if _, err := os.Stat(filepath.Join(in.target, "usr/lib/grub", l.target)); err != nil {
			return fmt.Errorf("UEFI: %w", errNoLoader)
		}
		_, err := in.within(ctx, in.grubInstall(), "--target="+l.target, "--efi-directory=/boot/efi", "--removable", "--no-nvram")
		return err
	}
	if len(in.esp) == 0 {
		in.esp = map[string][]byte{"EFI/" + in.osID() + "/grub.cfg": []byte(earlyConfig(in.volumes))}
		for from, to := range map[string]string{shim: l.shimName, grub: l.grubName} {
			content, err := in.within(ctx, "cat", "/"+from) // which may be a link
			if err != nil {
				return err
			}
			in.esp["EFI/BOOT/"+to] = []byte(content)
		}
	}
	for name, content := range in.esp {
		name = filepath.Join(in.target, "boot/efi", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// first is the first of the names that the new system has; empty: none.
func (in *installer) first(names []string) string {
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(in.target, name)); err == nil {
			return name
		}
	}
	return ""
}

// osID is what the new system calls itself (os-release(5)): its signed GRUB reads its
// configuration in the directory of that name.
func (in *installer) osID() string {
	root, err := os.OpenRoot(in.target)
	if err != nil {
		return "debian"
	}
	defer root.Close() //nolint:errcheck // only read
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		raw, err := root.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
				if id = strings.Trim(id, `"`); filepath.IsLocal(id) && !strings.Contains(id, "/") {
					return id
				}
			}
		}
	}
	return "debian"
}

// earlyConfig has a GRUB find its configuration by the UUID of what that is on.
func earlyConfig(volumes []volume) string {
	uuid, dir := "", ""
	for _, at := range []struct{ mount, dir string }{{"/", "/boot/grub"}, {"/boot", "/grub"}} {
		if i := slices.IndexFunc(volumes, func(v volume) bool { return v.mount == at.mount }); i >= 0 {
			uuid, dir = volumes[i].uuid, at.dir
		}
	}
	return "search.fs_uuid " + uuid + " root\nset prefix=($root)" + dir + "\nconfigfile $prefix/grub.cfg\n"
}

// check reads back what was made of the image: what this ramdisk wrote is the same, and
// the kernel, its initramfs and the loader's configuration are there and not empty.
func (in *installer) check(_ context.Context) error {
	if err := in.unmount(); err != nil {
		return err
	}
	if err := in.mount(unix.MS_RDONLY); err != nil {
		return err
	}
	root, err := os.OpenRoot(in.target)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read
	for name, text := range in.written {
		raw, err := root.ReadFile(name)
		if err != nil || string(raw) != text {
			return sprout.Fail(sprout.VerifyFailed, "what was read back is not what was written", fmt.Sprintf("/%s: %v", name, err))
		}
	}
	for _, pattern := range []string{"boot/vmlinuz-*", "boot/init*", "boot/grub*/grub.cfg"} {
		found, err := filepath.Glob(filepath.Join(in.target, pattern))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("the new system has no /%s", pattern)
		}
		for _, name := range found {
			if info, err := os.Lstat(name); err != nil || info.Size() == 0 {
				return fmt.Errorf("%s of the new system is empty", strings.TrimPrefix(name, in.target))
			}
		}
	}
	return in.checkESPs()
}

// checkESPs reads back what was written to the EFI system partition of each disk.
func (in *installer) checkESPs() error {
	for _, d := range in.chosen {
		if len(in.esp) == 0 {
			return nil // the image's own grub-install has filled it, or the disks start by BIOS alone
		}
		if err := in.mountAt(in.part(d, espNumber), "/boot/efi", "vfat", unix.MS_RDONLY); err != nil {
			return err
		}
		for name, want := range in.esp {
			got, err := os.ReadFile(filepath.Join(in.target, "boot/efi", name))
			if err != nil || !bytes.Equal(got, want) {
				return sprout.Fail(sprout.VerifyFailed, "what was read back is not what was written", fmt.Sprintf("%s on the EFI system partition of %s: %v", name, d.Name, err))
			}
		}
		if err := in.unmountLast(); err != nil {
			return err
		}
	}
	return nil
}
