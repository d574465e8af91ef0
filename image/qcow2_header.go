package image

import (
	"encoding/binary"
	"fmt"
	"io"

	"sprout"
)

// The incompatible features of a qcow2 (QEMU's docs/interop/qcow2, "Header") that are no
// matter: left open, another compression, and subclusters. Others are of a disk
// that is damaged, or not in this file.
const harmlessFeatures = 1<<0 | 1<<3 | 1<<4

// checkQcow2 refuses, as an Invalid error, a qcow2 whose disk has more than most bytes, or
// is not whole within the file itself. What its header names elsewhere is a file of the machine that
// converts it: that would be anybody's way to read what only the server may.
func checkQcow2(r io.ReaderAt, most int64) error {
	const ofVersion2, ofVersion3 = 72, 104
	head := make([]byte, ofVersion3)
	n, err := r.ReadAt(head, 0)
	if n < ofVersion2 {
		return wrongQcow2("a header of %d bytes at least", "%d: %w", ofVersion2, n, err)
	}
	version := binary.BigEndian.Uint32(head[4:])
	switch {
	case version != 2 && version != 3:
		return wrongQcow2("version 2 or 3", "%d", version)
	case version == 3 && n < ofVersion3:
		return wrongQcow2("a header of %d bytes at least", "%d: %w", ofVersion3, n, err)
	}
	if backing := binary.BigEndian.Uint64(head[8:]); backing != 0 {
		return wrongQcow2("a whole disk", "one that is the changes to another file").WithRemedy("qemu-img convert -O qcow2 FILE WHOLE.qcow2")
	}
	if crypt := binary.BigEndian.Uint32(head[32:]); crypt != 0 {
		return wrongQcow2("a disk in the clear", "one that is encrypted, by method %d", crypt).WithRemedy("qemu-img convert to a plain one")
	}
	if size := binary.BigEndian.Uint64(head[24:]); size > uint64(most) {
		return tooLarge(fmt.Sprintf("a qcow2 of %d", size), most)
	}
	if version == 2 {
		return nil
	}
	switch features := binary.BigEndian.Uint64(head[72:]) &^ harmlessFeatures; {
	case features&(1<<2) != 0:
		return wrongQcow2("a whole disk", "one whose content is in another file").WithRemedy("qemu-img convert -O qcow2 FILE WHOLE.qcow2")
	case features&(1<<1) != 0:
		return wrongQcow2("a sound disk", "one that is marked as corrupt").WithRemedy("qemu-img check -r all FILE")
	case features != 0:
		return wrongQcow2("features that are known", "others: %#x", features)
	}
	return nil
}

// wrongQcow2 says what was expected and found; args are of both.
func wrongQcow2(expected, found string, args ...any) *sprout.Error {
	return sprout.Errorf(sprout.Invalid, "cannot import image: %w", fmt.Errorf("of the qcow2 expected "+expected+", found "+found, args...))
}
