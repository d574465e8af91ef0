package sprout

import (
	"cmp"
	"fmt"
	"slices"
)

// The sizes, in bytes, of the partitions that every disk gets.
const (
	layoutBIOS   = 1 * mib
	layoutESP    = 256 * mib
	layoutConfig = 32 * mib // at least as much as any config drive
)

// The types of partitions (UEFI 2.10 section 5.3.3, UAPI Discoverable Partitions
// Specification).
const (
	typeBIOS   = "21686148-6449-6e6f-744e-656564454649"
	typeESP    = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	typeLinux  = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	typeSwap   = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
	typeRAID   = "a19d880f-05fc-4d3b-a006-743f0f84911e"
	typeLVM    = "e6d6d379-f507-44c2-a23c-238f2a3df928"
	typeConfig = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
)

// A DiskPart is a partition as it lies on a disk.
type DiskPart struct {
	Name   string
	Number int // from 1
	Start  int64
	Bytes  int64
	Type   string // GUID
	What   string // is on it, in words
	Of     *LayoutPartition
}

// Table returns the partitions of each disk, of which the smallest has so many bytes.
// It is a DiskTooSmall failure where the layout and a root file system of need bytes
// have no room.
func (l Layout) Table(disk, need int64) ([]DiskPart, *Failure) {
	end := (disk - mib) / mib * mib // the other copy of the table is behind it
	least := l.Need(need)
	if end < least {
		return nil, Fail(DiskTooSmall, fmt.Sprintf("the layout and the image need %d bytes and the disk has %d", least+mib, disk), "")
	}
	parts := []DiskPart{
		{Name: "bios", Bytes: layoutBIOS, Type: typeBIOS, What: "boot loader of BIOS"},
		{Name: "esp", Bytes: layoutESP, Type: typeESP, What: "vfat, boot loader of UEFI"},
	}
	fixed := int64(mib + layoutBIOS + layoutESP + layoutConfig)
	for _, p := range l.Partitions {
		fixed += p.Bytes
	}
	for i := range l.Partitions {
		p := &l.Partitions[i]
		size := p.Bytes
		if size == 0 {
			size = end - fixed
		}
		parts = append(parts, DiskPart{Name: p.Name, Bytes: size, Type: l.partType(p.Use), What: l.what(*p), Of: p})
	}
	parts = append(parts, DiskPart{Name: "config", Bytes: layoutConfig, Type: typeConfig, What: "config drive"})
	at := int64(mib)
	for i := range parts {
		parts[i].Number, parts[i].Start = i+1, at
		at += parts[i].Bytes
	}
	return parts, nil
}

// SmallestDisk is how many bytes the smallest of the disks has: it decides how large
// the partitions of all are.
func SmallestDisk(disks []Disk) int64 {
	return slices.MinFunc(disks, func(a, b Disk) int { return cmp.Compare(a.Bytes, b.Bytes) }).Bytes
}

// Need is how many bytes each disk must have, without its partition tables, for a root
// file system of so many bytes: with a quarter more for what the file system keeps.
func (l Layout) Need(image int64) int64 {
	n := int64(mib + layoutBIOS + layoutESP + layoutConfig)
	room := image + image/4 + 256*mib
	for _, p := range l.Partitions {
		n += cmp.Or(p.Bytes, l.rest(p.Use, p.Mount, room))
	}
	return n
}

// rest is what a partition without a size needs.
func (l Layout) rest(use LayoutUse, mount string, room int64) (n int64) {
	if use != UseLVM {
		if mount == "/" {
			return room
		}
		return leastXFS
	}
	n = 8 * mib
	for _, v := range l.Volumes {
		n += cmp.Or(v.Bytes, l.rest(v.Use, v.Mount, room))
	}
	return n
}

func (l Layout) partType(use LayoutUse) string {
	switch {
	case l.Disks > 1:
		return typeRAID
	case use == UseLVM:
		return typeLVM
	case use == UseSwap:
		return typeSwap
	}
	return typeLinux
}

// what says what is on a partition.
func (l Layout) what(p LayoutPartition) string {
	words := string(p.Use)
	if p.Mount != "" {
		words += " on " + p.Mount
	}
	if p.Use == UseLVM {
		words = "volume group " + l.Group + ":"
		for i, v := range l.Volumes {
			if i > 0 {
				words += ","
			}
			words += " " + v.Name + " " + string(v.Use)
			if v.Mount != "" {
				words += " on " + v.Mount
			}
			if v.Bytes > 0 {
				words += fmt.Sprintf(" of %d MiB", v.Bytes/mib)
			}
		}
	}
	if l.Disks > 1 {
		words = fmt.Sprintf("RAID 1 over %d disks, ", l.Disks) + words
	}
	return words
}

// Choose returns the disks that the rule means for the layout, in the order of their
// names, and why. Of more that match than it wants it takes the smallest, unless the
// rule says otherwise, and fails with DiskAmbiguous where that is not one choice.
func (l Layout) Choose(r DiskRule, disks []Disk, image int64) ([]Disk, string, *Failure) {
	need := l.Need(image) + mib
	if l.Disks == 1 {
		d, why, failure := r.Choose(disks, need)
		if failure != nil {
			return nil, "", failure
		}
		return []Disk{d}, why, nil
	}
	fail := func(code Code, format string, args ...any) ([]Disk, string, *Failure) {
		return nil, "", Fail(code, fmt.Sprintf(format, args...), DescribeDisks(disks))
	}
	var matching, fitting []Disk
	for _, d := range disks {
		if r.Mismatch(d) == "" && !d.Removable {
			matching = append(matching, d)
			if d.Bytes >= need {
				fitting = append(fitting, d)
			}
		}
	}
	switch {
	case len(matching) < l.Disks:
		return fail(NoDiskMatches, "the layout wants %d disks, and %d can be written and match the rule", l.Disks, len(matching))
	case len(fitting) < l.Disks:
		return fail(DiskTooSmall, "the layout wants %d disks of %d bytes, and %d of those that match have so many", l.Disks, need, len(fitting))
	}
	slices.SortStableFunc(fitting, func(a, b Disk) int { return cmp.Compare(a.Bytes, b.Bytes) })
	more := len(fitting) > l.Disks
	switch {
	case more && r != (DiskRule{}) && !r.Smallest:
		return fail(DiskAmbiguous, "the layout wants %d disks, and %d match the rule %s", l.Disks, len(fitting), r)
	case more && fitting[l.Disks-1].Bytes == fitting[l.Disks].Bytes:
		return fail(DiskAmbiguous, "the layout wants %d disks, and more than that of %d bytes are large enough", l.Disks, fitting[l.Disks].Bytes)
	}
	chosen := fitting[:l.Disks]
	slices.SortFunc(chosen, func(a, b Disk) int { return cmp.Compare(a.Name, b.Name) })
	if more {
		return chosen, fmt.Sprintf("the %d smallest disks that are large enough", l.Disks), nil
	}
	return chosen, fmt.Sprintf("the only %d disks that match and are large enough", l.Disks), nil
}
