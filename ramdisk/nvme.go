package ramdisk

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"sprout"
)

// An nvmeCommand is what of an admin command is used here (NVM Express Base
// Specification 2.0, section 3.3.3.1).
type nvmeCommand struct {
	opcode       uint8
	nsid         uint32
	cdw10, cdw11 uint32
}

// Admin commands, by section of the NVM Express Base Specification 2.0.
const (
	nvmeGetLogPage = 0x02 // 5.16
	nvmeIdentify   = 0x06 // 5.17
	nvmeFormat     = 0x80 // 5.14
	nvmeSanitize   = 0x84 // 5.24

	identifyNamespace  = 0 // CNS, section 5.17.1
	identifyController = 1

	sanitizeLog   = 0x81 // section 5.16.1.25
	sanitizeBlock = 2    // SANACT, section 5.24: start a block erase
	sanitizeOver  = 3    // start an overwrite
	userDataErase = 1    // SES of Format NVM: erase user data
)

const nvmeSoon = 10 * time.Second // for a command that only asks

// identify reads an identify data structure.
func identify(c controller, cns, nsid uint32) ([]byte, error) {
	data := make([]byte, 4096)
	_, err := c.nvme(nvmeCommand{opcode: nvmeIdentify, nsid: nsid, cdw10: cns}, data, nvmeSoon)
	return data, err
}

// nvmeErasable is what an NVMe disk says of the ways to erase it; siblings is how
// many other namespaces the kernel shows of its controller.
func nvmeErasable(c controller, siblings int) (e sprout.DiskErase) {
	e.Siblings = siblings
	ctrl, err := identify(c, identifyController, 0)
	if err != nil {
		return e
	}
	e.Format = binary.LittleEndian.Uint16(ctrl[256:])&(1<<1) != 0 // OACS, figure 275
	e.FormatsAll = ctrl[524]&0b11 != 0                            // FNA: format or erase applies to all namespaces
	e.Sanitize = sanitizeAction(ctrl) != 0
	if e.Sanitize {
		e.SanitizeSeconds = sanitizeTime(c, sanitizeAction(ctrl))
	}
	nsid, err := c.namespace()
	if err != nil {
		return e
	}
	if ns, err := identify(c, identifyNamespace, nsid); err == nil {
		e.DiscardZeroes = ns[33]&0b111 == 0b001 // DLFEAT, figure 97 of the NVM Command Set Specification 1.0
	}
	return e
}

// sanitizeAction is the action to sanitize by, of what SANICAP offers (figure
// 275): block erase, else overwrite; 0: neither.
func sanitizeAction(ctrl []byte) uint32 {
	switch capable := binary.LittleEndian.Uint32(ctrl[328:]); {
	case capable&(1<<1) != 0:
		return sanitizeBlock
	case capable&(1<<2) != 0:
		return sanitizeOver
	}
	return 0
}

// A sanitizeState is the log page of sanitizing (figure 291).
type sanitizeState struct {
	done   float64 // of 1
	status uint16  // SSTAT bits 2:0
	log    []byte
}

// States of SSTAT.
const (
	sanitizeNever     = 0
	sanitizeWell      = 1
	sanitizeRuns      = 2
	sanitizeFailed    = 3
	sanitizeWellNoDel = 4
)

func readSanitize(c controller) (sanitizeState, error) {
	data := make([]byte, 512)
	_, err := c.nvme(nvmeCommand{opcode: nvmeGetLogPage, nsid: 0xffffffff, cdw10: sanitizeLog | (512/4-1)<<16}, data, nvmeSoon)
	if err != nil {
		return sanitizeState{}, fmt.Errorf("cannot ask how the sanitize goes: %w", err)
	}
	return sanitizeState{
		done:   float64(binary.LittleEndian.Uint16(data)) / 65536, // SPROG
		status: binary.LittleEndian.Uint16(data[2:]) & 0b111, log: data,
	}, nil
}

// sanitizeTime is how long the controller says that it takes, in seconds; 0: it
// does not say.
func sanitizeTime(c controller, action uint32) int64 {
	s, err := readSanitize(c)
	if err != nil {
		return 0
	}
	at := 12 // of a block erase
	if action == sanitizeOver {
		at = 8
	}
	if n := binary.LittleEndian.Uint32(s.log[at:]); n != 0xffffffff {
		return int64(n)
	}
	return 0
}

// sanitize has the controller sanitize and waits for the end. One that runs
// already, as after a loss of power, is waited for, and then done anew: what it
// was asked to do is not known.
func sanitize(ctx context.Context, c controller, look time.Duration, progress func(of1 float64)) error {
	ctrl, err := identify(c, identifyController, 0)
	if err != nil {
		return err
	}
	if s, err := readSanitize(c); err != nil {
		return err
	} else if s.status == sanitizeRuns {
		if _, err := awaitSanitize(ctx, c, look, progress); err != nil {
			return err
		}
	}
	// AUSE is left 0: a failure is left only by another sanitize, and said so. NDAS
	// too: what was sanitized is deallocated, so that it reads as DLFEAT says. An
	// overwrite takes one pass (OWPASS) of zeroes (dword 11).
	action := sanitizeAction(ctrl)
	dword := action
	if action == sanitizeOver {
		dword |= 1 << 4
	}
	if _, err := c.nvme(nvmeCommand{opcode: nvmeSanitize, cdw10: dword}, nil, time.Minute); err != nil {
		return err
	}
	status, err := awaitSanitize(ctx, c, look, progress)
	if err == nil && status != sanitizeWell && status != sanitizeWellNoDel {
		err = fmt.Errorf("the sanitize failed: status %d", status)
	}
	return err
}

func awaitSanitize(ctx context.Context, c controller, look time.Duration, progress func(float64)) (uint16, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		s, err := readSanitize(c)
		if err != nil {
			return 0, err
		}
		if s.status != sanitizeRuns {
			return s.status, nil
		}
		progress(s.done)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// format formats the namespace as it is formatted, and erases its user data. Many
// controllers say meanwhile how much is left (FPI, figure 97 of the NVM Command Set
// Specification 1.0).
func format(ctx context.Context, c controller, look, limit time.Duration, progress func(of1 float64)) error {
	nsid, err := c.namespace()
	if err != nil {
		return err
	}
	ns, err := identify(c, identifyNamespace, nsid)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.nvme(nvmeCommand{opcode: nvmeFormat, nsid: nsid, cdw10: formatDword(ns)}, nil, limit)
		ended <- err
	}()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
		case <-ctx.Done():
			return cmp.Or(<-ended, ctx.Err()) // it cannot be taken back
		}
		if ns[32]&0x80 == 0 { // it does not say
			continue
		}
		if now, err := identify(c, identifyNamespace, nsid); err == nil {
			progress(1 - float64(now[32]&0x7f)/100)
		}
	}
}

// formatDword is dword 10 of Format NVM (figure 216): the format, metadata and
// protection that the namespace has, and the erasing of user data.
func formatDword(ns []byte) uint32 {
	flbas, dps := uint32(ns[26]), uint32(ns[29])
	return flbas&0xf | // LBAFL
		flbas>>4&1<<4 | // MSET
		dps&0b111<<5 | dps>>3&1<<8 | // PI, PIL
		userDataErase<<9 |
		flbas>>5&0b11<<12 // LBAFU
}
