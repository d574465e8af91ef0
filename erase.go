package sprout

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// An EraseMethod is one way to empty a disk.
type EraseMethod string

const (
	EraseSanitize      EraseMethod = "nvme-sanitize"
	EraseFormat        EraseMethod = "nvme-format"
	EraseATA           EraseMethod = "ata-erase"
	EraseSecureDiscard EraseMethod = "secure-discard"
	EraseDiscard       EraseMethod = "discard"
	EraseZeroes        EraseMethod = "zeroes"
	EraseOverwrite     EraseMethod = "overwrite"
)

// A DiskErase is what a disk says of the ways to erase it; the zero one: nothing.
type DiskErase struct {
	Sanitize        bool  `json:"sanitize,omitempty" example:"false" doc:"NVMe: the controller sanitizes by block erase or by overwriting"`
	SanitizeSeconds int64 `json:"sanitizeSeconds,omitempty" example:"120" doc:"How long that takes, as the controller says; 0: it does not say"`
	Format          bool  `json:"format,omitempty" example:"true" doc:"NVMe: the controller formats, erasing user data"`
	Siblings        int   `json:"siblings,omitempty" example:"0" doc:"NVMe: other namespaces of the same controller, whose data a sanitize would take too"`
	FormatsAll      bool  `json:"formatsAll,omitempty" example:"false" doc:"NVMe: a format takes all namespaces of the controller"`
	Security        bool  `json:"security,omitempty" example:"false" doc:"ATA: the disk has the security feature set"`
	Frozen          bool  `json:"frozen,omitempty" example:"false" doc:"ATA: the firmware has frozen it until the next power cycle"`
	Locked          bool  `json:"locked,omitempty" example:"false" doc:"ATA: it is locked with a password: nothing can be read or written"`
	SecuritySeconds int64 `json:"securitySeconds,omitempty" example:"1200" doc:"How long an ATA secure erase takes, as the disk says; 0: it does not say"`
	SecureDiscard   bool  `json:"secureDiscard,omitempty" example:"false" doc:"eMMC: it may take secure discards"`
	Discard         bool  `json:"discard,omitempty" example:"true" doc:"It takes discards"`
	DiscardZeroes   bool  `json:"discardZeroes,omitempty" example:"true" doc:"It promises that what was discarded reads as zeroes"`
}

const (
	// EraseWholeUpTo is the size of disk, in bytes, up to which an erasure is proved by reading
	// all of it back.
	EraseWholeUpTo = 8 << 30
	// EraseSamples is at how many places, evenly spread, its ends among them, a
	// larger disk is read back: 512 of 4 MiB.
	EraseSamples = 512
)

// An eraseRule is one method: whether a disk has it at all, why one that has it
// cannot be erased by it, and how long it takes.
type eraseRule struct {
	method EraseMethod
	has    func(Disk) bool
	lacks  string // in words
	not    func(Disk) string
	takes  func(Disk) time.Duration
}

// eraseRules is the table of methods, the best first. A disk gets the first that
// it can have, and the next where what is read back is no proof. Crypto erases
// are not in it: what they leave reads as noise, which proves nothing.
var eraseRules = []eraseRule{
	{EraseSanitize, func(d Disk) bool { return d.Erase.Sanitize }, "its controller offers no sanitize by block erase or overwriting", notSanitize,
		func(d Disk) time.Duration { return said(d.Erase.SanitizeSeconds, 2*time.Minute) }},
	{EraseFormat, func(d Disk) bool { return d.Erase.Format }, "its controller offers no format", notFormat,
		func(Disk) time.Duration { return time.Minute }},
	{EraseATA, func(d Disk) bool { return d.Erase.Security }, "it has no ATA security", notATA,
		func(d Disk) time.Duration { return said(d.Erase.SecuritySeconds, at(d, 150e6)) }},
	{EraseSecureDiscard, func(d Disk) bool { return d.Erase.SecureDiscard }, "it takes no secure discards", never,
		func(d Disk) time.Duration { return at(d, 1e9) }},
	{EraseDiscard, func(d Disk) bool { return d.Erase.Discard }, "it takes no discards", notDiscard,
		func(d Disk) time.Duration { return at(d, 20e9) }},
	{EraseZeroes, always, "", never, func(d Disk) time.Duration { return at(d, 150e6) }},
	{EraseOverwrite, always, "", never, func(d Disk) time.Duration { return at(d, 150e6) }},
}

func always(Disk) bool  { return true }
func never(Disk) string { return "" }

// notSanitize: a sanitize takes all of an NVM subsystem (NVM Express Base
// Specification 2.0, section 8.21), so all must be this disk.
func notSanitize(d Disk) string {
	if d.Erase.Siblings > 0 {
		return fmt.Sprintf("its controller has %d other namespaces, which it would take too", d.Erase.Siblings)
	}
	return ""
}

func notFormat(d Disk) string {
	if d.Erase.FormatsAll && d.Erase.Siblings > 0 {
		return fmt.Sprintf("its controller formats all namespaces at once, and has %d others", d.Erase.Siblings)
	}
	return ""
}

func notATA(d Disk) string {
	if d.Erase.Frozen {
		return "the firmware has frozen its ATA security"
	}
	return ""
}

// notDiscard: what is only sampled must be promised.
func notDiscard(d Disk) string {
	if !d.Erase.DiscardZeroes && d.Bytes > EraseWholeUpTo {
		return "it does not promise that what was discarded reads as zeroes, and is too large to be read back whole"
	}
	return ""
}

func said(seconds int64, otherwise time.Duration) time.Duration {
	if seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return otherwise
}

// at is how long it takes to go over a disk at so many bytes a second.
func at(d Disk, perSecond float64) time.Duration {
	return time.Duration(float64(d.Bytes) / perSecond * float64(time.Second))
}

// EraseMethods lists the methods by name, the best first.
func EraseMethods() (names []string) {
	for _, r := range eraseRules {
		names = append(names, string(r.method))
	}
	return names
}

// An ErasePlan is how one disk is going to be erased.
type ErasePlan struct {
	Methods []EraseMethod // in the order they are tried; none: it is left as it is
	Kept    string        // why it is left as it is though nothing is wrong with it
	Refused string        // why it cannot be erased
	Passed  []string      // better methods that it has and cannot be erased by, and why
	Takes   time.Duration // about, by the first method, read back
}

// PlanErase says how a disk is erased: by the first method that it can have, or
// by only, if that is not empty. A removable disk is not the machine's, and is
// left as it is. The ramdisk erases by it, and a plan says by it what the
// ramdisk is going to do.
func PlanErase(d Disk, only EraseMethod) (p ErasePlan) {
	switch {
	case d.Removable:
		p.Kept = "is removable"
		return p
	case d.ReadOnly:
		p.Refused = "is read-only"
		return p
	case d.Erase.Locked && d.Erase.Frozen:
		p.Refused = "is locked with an ATA password, and frozen"
		return p
	}
	for _, r := range eraseRules {
		if only != "" && r.method != only {
			continue
		}
		why := r.not(d)
		if has := r.has(d); !has || why != "" {
			if has || only != "" {
				p.Passed = append(p.Passed, string(r.method)+": "+cmp.Or(why, r.lacks))
			}
			continue
		}
		if len(p.Methods) == 0 {
			p.Takes = r.takes(d) + at(Disk{Bytes: min(d.Bytes, max(EraseWholeUpTo, EraseSamples*4<<20))}, 200e6)
		}
		p.Methods = append(p.Methods, r.method)
	}
	if len(p.Methods) == 0 {
		p.Refused = "cannot be erased as asked: " + strings.Join(p.Passed, "; ")
	}
	return p
}

// EraseProof says how much of a disk is read back to prove that it is empty.
func EraseProof(d Disk) string {
	if d.Bytes <= EraseWholeUpTo {
		return "whole"
	}
	return "sampled"
}
