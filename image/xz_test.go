package image_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"sprout"
	"sprout/image"
)

// A few bytes of an xz stream's header may ask for gigabytes of memory, of whoever
// imports it and of each machine that writes it.
func TestXZAsksForNoMoreMemoryThanMayBe(t *testing.T) {
	const block = 12 // after the stream's header
	for bits, says := range map[byte]string{
		28: "", // 64 MiB, as xz -9 has
		30: "", // 128 MiB
		31: "expected an xz stream with a dictionary of 134217728 bytes at most, found one of 201326592",
		40: "found one of 4294967296",
	} {
		stored := pack(t, image.XZ, disk())
		header := stored[block : block+(int(stored[block])+1)*4]
		at := bytes.Index(header, []byte{0x21, 1})
		header[at+2] = bits
		sum := len(header) - 4
		binary.LittleEndian.PutUint32(header[sum:], crc32.ChecksumIEEE(header[:sum]))
		_, err := newStore(t).Import(t.Context(), bytes.NewReader(stored), image.ImportOptions{Name: "x"})
		switch {
		case says == "" && err != nil:
			t.Errorf("%d: %v", bits, err)
		case says != "" && (sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), says)):
			t.Errorf("%d: %v; want %q", bits, err, says)
		}
	}
}
