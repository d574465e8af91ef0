package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"sprout"
)

// errExit is iPXE giving the machine back to its firmware.
var errExit = errors.New("iPXE exited")

// bootNetwork boots as PXE or UEFI HTTP firmware does: an address, the loader
// (iPXE), an address for it, its script, and the kernel that the script names.
func (m *Machine) bootNetwork(ctx context.Context) error {
	if err := m.at(ctx, StepDHCP, "as %s, architecture %d", m.spec.BootMode, m.arch()); err != nil {
		return err
	}
	firm, err := m.acquire(ctx, inFirmware)
	if err != nil {
		return err
	}
	if firm.file == "" {
		return errors.New("DHCP gave an address but no boot file")
	}
	if err := m.fetchLoader(ctx, firm); err != nil {
		return err
	}
	l, err := m.acquire(ctx, inIPXE)
	if err != nil {
		return err
	}
	u, err := url.Parse(l.file)
	if err != nil || u.Scheme != "http" {
		return fmt.Errorf("iPXE was given %q, which is no URL of a script", l.file)
	}
	if err := m.at(ctx, StepScript, "%s from %s", u.Path, l.ip); err != nil {
		return err
	}
	w := newWeb(l.ip, &m.cable)
	defer w.Close()
	kernel, err := m.runScript(ctx, w, l)
	if err != nil {
		return err
	}
	if err := sprout.Pause(ctx, m.pace.Kernel); err != nil {
		return err
	}
	return m.runRamdisk(ctx, w, kernel.cmdline)
}

// wrongLoader is that of the boot mode which is not the machine's.
func (m *Machine) wrongLoader() string {
	if m.spec.BootMode == sprout.BIOS {
		return "snponly.efi"
	}
	return "undionly.kpxe"
}

// fetchLoader fetches what the firmware was told to run.
func (m *Machine) fetchLoader(ctx context.Context, l lease) error {
	if err := m.at(ctx, StepLoader, "%s from %s", l.file, l.ip); err != nil {
		return err
	}
	if strings.HasPrefix(l.file, "http://") {
		w := newWeb(l.ip, &m.cable)
		defer w.Close()
		// OVMF asks for the size first.
		if err := w.load(ctx, http.MethodHead, l.file, 0); err != nil {
			return err
		}
		return w.load(ctx, http.MethodGet, l.file, m.pace.limit())
	}
	stall, stalls := m.fault(Stall, StepLoader, 0)
	wrong, errs := m.fault(WrongFile, StepLoader, 0)
	limit := m.pace.limit()
	if errs {
		l.file, limit = cmp.Or(wrong.Device, m.wrongLoader()), 0
	}
	port := m.wire.TFTPPort
	set(&port, 69)
	_, err := tftpGet(ctx, &m.cable, l.ip, netip.AddrPortFrom(l.server, port), l.file, limit, func() error {
		if stalls {
			return m.hang(ctx, stall)
		}
		return nil
	})
	if errs && err == nil {
		return m.hang(ctx, wrong)
	}
	return err
}
