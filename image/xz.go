package image

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/ulikunitz/xz"

	"sprout"
)

// newXZ reads an xz stream. One whose first block asks for more memory than maxWindow
// is refused, as an Invalid error, before any is taken: four bytes of a header may ask for 4 GiB,
// and the machine that writes the image may have less.
func newXZ(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 4096)
	head, _ := in.Peek(xzStreamHeader + xzMostBlockHeader) // what is shorter the decoder refuses
	if asks := xzDictionary(head); asks > maxWindow {
		return nil, sprout.Errorf(sprout.Invalid, "cannot decompress the image: expected an xz stream with a dictionary of %d bytes at most, found one of %d", maxWindow, asks).
			WithRemedy("xz -dc FILE.xz | xz -9 > SMALLER.xz")
	}
	return xz.NewReader(in)
}

// Bytes of the .xz file format 1.0.4: section 2.1.1, and the most of section 3.1.1.
const (
	xzStreamHeader    = 12
	xzMostBlockHeader = 1024
)

// xzLZMA2 is the id of the filter that has the dictionary (section 5.3.1).
const xzLZMA2 = 0x21

// xzDictionary says how many bytes the first block of an xz stream wants for its
// dictionary (the .xz file format 1.0.4, sections 3.1 and 5.3.1). 0: its header does not
// say, or cannot be read, which the decoder tells.
func xzDictionary(head []byte) uint64 {
	if len(head) < xzStreamHeader+2 {
		return 0
	}
	flags, rest := head[xzStreamHeader+1], head[xzStreamHeader+2:]
	number := func() (n uint64, ok bool) {
		n, size := binary.Uvarint(rest)
		rest = rest[max(0, size):]
		return n, size > 0
	}
	for _, present := range []byte{0x40, 0x80} { // the sizes of the block, packed and not
		if flags&present == 0 {
			continue
		}
		if _, ok := number(); !ok {
			return 0
		}
	}
	for range flags&3 + 1 {
		id, _ := number()
		size, ok := number()
		if !ok || size > uint64(len(rest)) {
			return 0
		}
		if id == xzLZMA2 && size == 1 {
			bits := rest[0] & 0x3f
			return uint64(2|bits&1) << (bits/2 + 11)
		}
		rest = rest[size:]
	}
	return 0
}
