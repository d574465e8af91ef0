// Package system makes a freshly booted kernel usable for the ramdisk's agent:
// mounts, modules, the console, the port it booted from with an address, and
// the end of it all. It must be process 1 for most of this. It must not know
// what the ramdisk does then.
package system

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mounts are the file systems that everything else reads. A mount that is
// there already is no error.
var mounts = []struct {
	kind, at string
	flags    uintptr
	optional bool
}{
	{"proc", "/proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, false},
	{"sysfs", "/sys", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, false},
	{"devtmpfs", "/dev", unix.MS_NOSUID, false},
	{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, false},
	{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, false},
	{"tmpfs", "/tmp", unix.MS_NOSUID | unix.MS_NODEV, false},
	{"efivarfs", "/sys/firmware/efi/efivars", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, true},
}

// Mount mounts the kernel's file systems.
func Mount() error {
	for _, m := range mounts {
		if !m.optional {
			if err := os.MkdirAll(m.at, 0o755); err != nil {
				return fmt.Errorf("cannot mount %s: %w", m.at, err)
			}
		}
		err := unix.Mount(m.kind, m.at, m.kind, m.flags, "")
		if err != nil && !errors.Is(err, unix.EBUSY) && !m.optional {
			return fmt.Errorf("cannot mount %s: %w", m.at, err)
		}
	}
	return nil
}

// Seed waits until the kernel's random numbers are good. A machine without
// RDRAND has nothing to seed them from this early; the kernel then makes
// entropy from the timing of its own work, but only while somebody waits for
// it like this (try_to_generate_entropy in drivers/char/random.c of Linux).
func Seed() error {
	for {
		_, err := unix.Getrandom(make([]byte, 16), 0)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// A Cmdline is what the kernel was started with.
type Cmdline map[string]string

// ReadCmdline reads /proc/cmdline.
func ReadCmdline() (Cmdline, error) {
	raw, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, fmt.Errorf("cannot read the kernel's command line: %w", err)
	}
	return ParseCmdline(string(raw)), nil
}

// ParseCmdline splits a command line into its parameters; the last of a name
// counts.
func ParseCmdline(line string) Cmdline {
	c := Cmdline{}
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		c[key] = strings.Trim(value, `"`)
	}
	return c
}

// AgentURL is where the site's agent is, without a final slash.
func (c Cmdline) AgentURL() (string, error) {
	if base := strings.TrimRight(c["sprout.url"], "/"); base != "" {
		return base, nil
	}
	return "", errors.New("the kernel's command line has no sprout.url=http://AGENT[:PORT]")
}

// OverIPv6 tells whether the agent is at an address of IPv6.
func (c Cmdline) OverIPv6() bool {
	u, err := url.Parse(c["sprout.url"])
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Is6()
}

// BootMAC is the MAC of the port that the firmware booted from: sprout.mac=
// with colons, or BOOTIF= as boot loaders write it (01-52-54-00-12-34-56, the
// first byte being the ARP hardware type). Empty: not said.
func (c Cmdline) BootMAC() string {
	mac := c["sprout.mac"]
	if mac == "" {
		mac = c["BOOTIF"]
		if len(mac) == len("01-52-54-00-12-34-56") {
			mac = mac[3:]
		}
	}
	return strings.ToLower(strings.ReplaceAll(mac, "-", ":"))
}

// Reboot ends this boot: what was written is flushed, and the firmware starts
// anew. It returns only when the kernel refuses.
func Reboot(log *slog.Logger) error {
	return end(log, "rebooting", unix.LINUX_REBOOT_CMD_RESTART)
}

// Kexec starts the kernel that was loaded before, without the firmware. It returns
// only when the kernel refuses.
func Kexec(log *slog.Logger) error {
	return end(log, "starting the installed kernel", unix.LINUX_REBOOT_CMD_KEXEC)
}

// PowerOff switches the machine off.
func PowerOff(log *slog.Logger) error {
	return end(log, "powering off", unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func end(log *slog.Logger, what string, cmd int) error {
	log.Info(what)
	unix.Sync()
	if err := unix.Reboot(cmd); err != nil {
		return fmt.Errorf("cannot stop: %w", err)
	}
	return nil
}
