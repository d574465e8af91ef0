package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sprout"
)

// mediaMost is how many bytes the CD in a virtual drive may have.
const mediaMost = 256 << 20

// argIP is the address that a kernel's command line gives its ramdisk.
const argIP = "sprout.ip"

// bootMedia boots what is in the virtual drive, as UEFI firmware does: it has no
// need of the network, nor of DHCP.
func (m *Machine) bootMedia(ctx context.Context) error {
	m.mu.Lock()
	cmdline := m.media
	m.mu.Unlock()
	if err := m.at(ctx, StepMedia, "booting, as %s", m.spec.BootMode); err != nil {
		return err
	}
	if cmdline == nil {
		return errors.New("nothing is in the virtual drive")
	}
	if m.spec.BootMode == sprout.BIOS {
		return errors.New("the CD in the virtual drive has nothing for BIOS firmware")
	}
	ip, err := netip.ParsePrefix(argument(cmdline, argIP))
	if err != nil {
		return fmt.Errorf("the kernel's command line gives no address by %s: %w", argIP, err)
	}
	if err := sprout.Pause(ctx, m.pace.Kernel); err != nil {
		return err
	}
	w := newWeb(ip.Addr(), &m.cable)
	defer w.Close()
	return m.runRamdisk(ctx, w, cmdline)
}

// bootsOf is the command line of the kernel that GRUB boots from the CD.
func bootsOf(cd []byte) ([]string, error) {
	config, err := onCD(cd, "BOOT", "GRUB", "GRUB.CFG;1")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(config)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "linux" {
			continue
		}
		for i := range words {
			words[i] = strings.Trim(words[i], "'")
		}
		if _, err := onCD(cd, strings.ToUpper(strings.TrimPrefix(words[1], "/"))+".;1"); err != nil {
			return nil, err
		}
		return words[2:], nil
	}
	return nil, errors.New("GRUB's configuration on the CD boots no kernel")
}

// onCD reads a file of a CD (ECMA-119 sections 8.4 and 9.1).
func onCD(cd []byte, path ...string) ([]byte, error) {
	const sector, primary = 2048, 16 * 2048
	if len(cd) < primary+sector || string(cd[primary+1:primary+6]) != "CD001" {
		return nil, errors.New("it is no CD")
	}
	record := cd[primary+156:][:34]
	extent := func() []byte {
		from, size := uint64(binary.LittleEndian.Uint32(record[2:]))*sector, uint64(binary.LittleEndian.Uint32(record[10:]))
		return cd[min(from, uint64(len(cd))):min(from+size, uint64(len(cd)))]
	}
	for _, name := range path {
		found := false
		for at := extent(); len(at) > 33 && at[0] > 33 && int(at[0]) <= len(at); at = at[at[0]:] {
			if len(at) >= 33+int(at[32]) && bytes.Equal(at[33:33+int(at[32])], []byte(name)) {
				record, found = at, true
				break
			}
		}
		if !found {
			return nil, fmt.Errorf("the CD has no %s", strings.Join(path, "/"))
		}
	}
	return extent(), nil
}
