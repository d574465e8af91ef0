package debian

import (
	"slices"

	"sprout"
)

// packages are what the image has beside Debian's minimal base.
var packages = []string{
	"systemd-sysv", "udev", "dbus", "init", "initramfs-tools", "zstd",
	"cloud-init", "cloud-guest-utils", "e2fsprogs", "fdisk",
	"systemd-resolved", "systemd-timesyncd", "iproute2", "iputils-ping", "netplan.io",
	"openssh-server", "sudo", "ca-certificates", "curl", "less", "vim-tiny",
}

// layoutPackages are what a root file system has beside them: what starts it from RAID 1
// and LVM, and makes its boot loader.
var layoutPackages = []string{"mdadm", "lvm2", "xfsprogs", "dosfstools", "grub-common", "grub2-common"}

// loaderPackages are the boot loaders of machines of an architecture.
var loaderPackages = map[sprout.Architecture][]string{
	sprout.AMD64: {"grub-pc-bin", "grub-efi-amd64-bin", "grub-efi-amd64-signed", "shim-signed"},
	sprout.ARM64: {"grub-efi-arm64-bin", "grub-efi-arm64-signed", "shim-signed"},
}

// excludes are what a server has no use for. dpkg keeps to them in later
// upgrades too.
var excludes = []string{
	"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
	"/lib/modules/*/kernel/sound/*", "/lib/modules/*/kernel/drivers/media/*",
	"/lib/modules/*/kernel/drivers/gpu/drm/amd/*", "/lib/modules/*/kernel/drivers/gpu/drm/nouveau/*",
	"/lib/modules/*/kernel/drivers/gpu/drm/radeon/*", "/lib/modules/*/kernel/drivers/gpu/drm/i915/*",
	"/lib/modules/*/kernel/drivers/net/wireless/*", "/lib/modules/*/kernel/drivers/staging/*",
	"/lib/modules/*/kernel/drivers/iio/*", "/lib/modules/*/kernel/drivers/infiniband/*",
	"/lib/modules/*/kernel/drivers/bluetooth/*", "/lib/modules/*/kernel/net/bluetooth/*",
	"/lib/modules/*/kernel/drivers/input/touchscreen/*", "/lib/modules/*/kernel/drivers/isdn/*",
	"/lib/modules/*/kernel/drivers/nfc/*", "/lib/modules/*/kernel/net/nfc/*", "/lib/modules/*/kernel/net/mac80211/*",
	"/lib/modules/*/kernel/drivers/comedi/*", "/lib/modules/*/kernel/drivers/net/can/*",
}

// masked are units that cost boot time and are of no use to a fresh host.
var masked = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service",
	"dpkg-db-backup.timer", "systemd-pstore.service", "getty-static.service", "cloud-init-hotplugd.socket",
	"systemd-binfmt.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
}

// A file is one that the recipe writes into the root.
type file struct{ name, text string }

// files are the recipe's own files, for a root file system of the UUID and a serial
// port.
func files(uuid, console string) []file {
	return []file{
		{"etc/fstab", "UUID=" + uuid + " / ext4 defaults,errors=remount-ro 0 1\n"},
		{"etc/hostname", "localhost\n"},
		{"etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"},
		{"etc/initramfs-tools/conf.d/sprout", "MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=9\n"},
		// Probing a floppy drive that is not there costs a second each time.
		{"etc/modprobe.d/sprout.conf", "blacklist floppy\n"},
		{"etc/cloud/cloud.cfg.d/90_sprout.cfg", cloudConfig},
		{"boot/grub/grub.cfg", grubConfig(uuid, console)},
	}
}

// rootFiles are the recipe's own files in a root file system: what depends on its disks
// is written when it is installed.
func rootFiles(console string) []file {
	own := slices.DeleteFunc(files("", console), func(f file) bool { return f.name == "etc/fstab" || f.name == "boot/grub/grub.cfg" })
	return append(own, file{"etc/default/grub.d/sprout.cfg", "GRUB_TIMEOUT=0\nGRUB_TERMINAL=console\nGRUB_DISABLE_OS_PROBER=true\nGRUB_CMDLINE_LINUX_DEFAULT=\"loglevel=5\"\n" +
		"GRUB_CMDLINE_LINUX=\"console=tty0 console=" + console + ",115200\"\n"})
}

// grubConfig boots the newest kernel at once; the links in / are kept by
// linux-base through upgrades.
func grubConfig(uuid, console string) string {
	return `set timeout=0
search --no-floppy --fs-uuid --set=root ` + uuid + `
menuentry "Debian" {
	linux /vmlinuz root=UUID=` + uuid + ` ro rootfstype=ext4 console=tty0 console=` + console + `,115200 loglevel=5
	initrd /initrd.img
}
`
}

// cloudConfig keeps to the modules that a bare-metal host needs: each module
// that cloud-init loads costs time on a slow processor. The seed always comes
// from the cidata volume; the image has none.
const cloudConfig = `datasource_list: [ NoCloud, None ]
disable_ec2_metadata: true
locale: false
manage_etc_hosts: localhost
apt: { preserve_sources_list: true }
ssh_genkeytypes: [ ed25519, ecdsa ]
system_info: { network: { renderers: [ netplan ], activators: [ netplan ] } }
cloud_init_modules: [ seed_random, bootcmd, write-files, growpart, resizefs, disk_setup, mounts, set_hostname, update_hostname, update_etc_hosts, ca-certs, users-groups, ssh ]
cloud_config_modules: [ set-passwords, apt-configure, ntp, timezone, runcmd ]
cloud_final_modules: [ package-update-upgrade-install, scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, ssh-authkey-fingerprints, phone-home, final-message, power-state-change ]
`

// setup runs in the new root, as its last step, with its path as $1.
func setup(console string) string {
	return `set -eu
unset INITRD
chroot "$1" systemctl enable systemd-networkd.service systemd-resolved.service serial-getty@` + console + `.service
for version in $(chroot "$1" linux-version list); do
	chroot "$1" update-initramfs -c -k "$version"
	chroot "$1" linux-update-symlinks install "$version" "/boot/vmlinuz-$version"
done
for name in vmlinuz initrd.img; do
	chroot "$1" test -s /$name || { echo "/$name, which GRUB loads, leads to no file" >&2; exit 1; }
done
ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id "$1"/var/log/apt/* "$1"/var/log/dpkg.log "$1"/boot/*.old*
rm -rf "$1"/var/lib/cloud/seed "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/cache/debconf/*-old
: > "$1/etc/machine-id"
`
}

// grubModules are built into the boot loader of BIOS, so that it loads none from
// disk. That of UEFI has its own, as it is signed.
var grubModules = []string{
	"part_gpt", "ext2", "fat", "normal", "configfile", "linux", "search", "search_fs_uuid",
	"echo", "test", "all_video", "gfxterm", "boot", "minicmd",
}
