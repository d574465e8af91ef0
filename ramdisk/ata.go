package ramdisk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"sprout"
)

// An ataCommand is a command without parameters but its data.
type ataCommand struct {
	command uint8
	in      bool // its data comes from the disk
	data    bool // it has data: one sector
}

// Commands, by section of ATA/ATAPI Command Set 4 (ACS-4).
var (
	ataIdentify        = ataCommand{command: 0xec, in: true, data: true} // 7.13
	ataSetPassword     = ataCommand{command: 0xf1, data: true}           // 7.43
	ataUnlock          = ataCommand{command: 0xf2, data: true}           // 7.44
	ataErasePrepare    = ataCommand{command: 0xf3}                       // 7.40
	ataEraseUnit       = ataCommand{command: 0xf4, data: true}           // 7.41
	ataDisablePassword = ataCommand{command: 0xf6, data: true}           // 7.39
)

// cdb is the ATA PASS-THROUGH (16) that carries it (SAT-4 section 12.2.3).
func (c ataCommand) cdb() []byte {
	const (
		passThrough16                 = 0x85
		nonData, pioIn, pioOut        = 3 << 1, 4 << 1, 5 << 1
		fromDevice, blocks, inSectors = 1 << 3, 1 << 2, 2 // T_DIR, BYT_BLOK, T_LENGTH
	)
	cdb := make([]byte, 16)
	cdb[0], cdb[1], cdb[14] = passThrough16, nonData, c.command
	if c.data {
		cdb[1], cdb[2], cdb[6] = pioOut, blocks|inSectors, 1
	}
	if c.in {
		cdb[1], cdb[2] = pioIn, cdb[2]|fromDevice
	}
	return cdb
}

const ataSoon = 10 * time.Second // for a command that only asks

// An ataSecurity is what IDENTIFY DEVICE says of a disk's security (ACS-4 section
// 7.13.6).
type ataSecurity struct {
	has, enabled, locked, frozen bool
	seconds                      int64 // of a normal erase; 0: it does not say
	trimmed                      bool  // what was trimmed reads as zeroes
}

func readSecurity(c controller) (s ataSecurity, err error) {
	data := make([]byte, 512)
	if err := c.ata(ataIdentify, data, ataSoon); err != nil {
		return s, err
	}
	word := func(n int) uint16 { return binary.LittleEndian.Uint16(data[2*n:]) }
	status := word(128)
	s.has = word(82)&(1<<1) != 0
	s.enabled, s.locked, s.frozen = status&(1<<1) != 0, status&(1<<2) != 0, status&(1<<3) != 0
	s.seconds = ataEraseTime(word(89))
	const promised, zeroes, trims = 1 << 14, 1 << 5, 1 << 0
	s.trimmed = word(69)&promised != 0 && word(69)&zeroes != 0 && word(169)&trims != 0
	return s, nil
}

// ataEraseTime reads word 89: in units of two minutes, of 8 bits or, if bit 15 is
// set, of 15; the largest value means more than that, and is no figure.
func ataEraseTime(w uint16) int64 {
	n, most := int64(w&0xff), int64(0xff)
	if w&(1<<15) != 0 {
		n, most = int64(w&0x7fff), 0x7fff
	}
	if n == most {
		return 0
	}
	return n * 120
}

// ataErasable is what an ATA disk says of the ways to erase it.
func ataErasable(c controller) sprout.DiskErase {
	s, err := readSecurity(c)
	if err != nil {
		return sprout.DiskErase{}
	}
	return sprout.DiskErase{Security: s.has, Frozen: s.has && s.frozen, Locked: s.has && s.locked, SecuritySeconds: s.seconds, DiscardZeroes: s.trimmed}
}

// ataPassword locks a disk while it is erased. It is always the same and no
// secret: a disk that lost power midway is unlocked with it and erased anew.
const ataPassword = "sprout erases this disk"

// ataErase erases a disk by SECURITY ERASE UNIT (ACS-4 section 7.41) in its normal
// mode: that one leaves zeroes, which can be proved; the enhanced one leaves what
// the vendor likes. A disk that refuses is left without our password.
func ataErase(c controller, limit time.Duration) error {
	s, err := readSecurity(c)
	if err != nil {
		return fmt.Errorf("cannot identify the disk: %w", err)
	}
	ours := false
	switch {
	case s.frozen:
		return errors.New("its ATA security is frozen")
	case s.locked:
		if err := c.ata(ataUnlock, ataPasswordSector(), ataSoon); err != nil {
			return fmt.Errorf("it is locked with a password that is not ours: %w", err)
		}
		ours = true
	case !s.enabled:
		if err := c.ata(ataSetPassword, ataPasswordSector(), ataSoon); err != nil {
			return fmt.Errorf("cannot set a password to erase with: %w", err)
		}
		ours = true
	}
	err = c.ata(ataErasePrepare, nil, ataSoon)
	if err == nil {
		err = c.ata(ataEraseUnit, ataPasswordSector(), limit)
	}
	if err == nil || !ours {
		return err // an erase ends the password too
	}
	if undo := c.ata(ataDisablePassword, ataPasswordSector(), ataSoon); undo != nil {
		return fmt.Errorf("%w; it keeps the password %q: %w", err, ataPassword, undo)
	}
	return err
}

// ataPasswordSector is the data of the security commands (ACS-4 tables 120, 123
// and 126): word 0 with its bits 0: the user password, the normal erase mode and
// the high security level; then 32 bytes of password.
func ataPasswordSector() []byte {
	data := make([]byte, 512)
	copy(data[2:34], ataPassword)
	return data
}
