package ramdisk

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unicode/utf16"
)

// A Table is a GUID partition table (UEFI 2.10 chapter 5) for sectors of 512
// bytes, read from the first bytes of an image.
type Table struct {
	header  []byte // 92 bytes
	entries []byte // as many as the header says
	size    int    // of one entry
	disk    int64  // in bytes
}

const (
	gptSector  = 512
	gptHeader  = 92
	gptAlign   = 1 << 20 // partitions that we make start at a multiple
	tableSlack = gptAlign
)

// basicData is the partition type of a FAT volume, as it is on disk:
// EBD0A0A2-B9E5-4433-87C0-68B6B72699C7.
var basicData = [16]byte{0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7}

// ReadTable reads the primary table in head, the first bytes of a disk image
// of size bytes. It refuses what is damaged.
func ReadTable(head []byte, size int64) (*Table, error) {
	if len(head) < 2*gptSector || !bytes.Equal(head[gptSector:gptSector+8], []byte("EFI PART")) {
		return nil, errors.New("it has no GUID partition table")
	}
	h := bytes.Clone(head[gptSector : gptSector+gptHeader])
	sum := le32(h[16:])
	putLE32(h[16:], 0)
	if crc32.ChecksumIEEE(h) != sum {
		return nil, errors.New("the checksum of its header is wrong")
	}
	at, count, each := int64(le64(h[72:]))*gptSector, int64(le32(h[80:])), int64(le32(h[84:]))
	if each < 128 || each > 4096 || count < 1 || count > 1024 || at < 2*gptSector || at+count*each > int64(len(head)) {
		return nil, errors.New("its list of partitions lies out of bounds")
	}
	t := &Table{header: h, entries: bytes.Clone(head[at : at+count*each]), size: int(each), disk: size}
	if crc32.ChecksumIEEE(t.entries) != le32(h[88:]) {
		return nil, errors.New("the checksum of its list of partitions is wrong")
	}
	return t, nil
}

func (t *Table) entry(i int) []byte { return t.entries[i*t.size : (i+1)*t.size] }

func (t *Table) count() int { return len(t.entries) / t.size }

func (t *Table) used(i int) bool { return !bytes.Equal(t.entry(i)[:16], make([]byte, 16)) }

// last returns the partition that ends last, -1 if there is none.
func (t *Table) last() int {
	found := -1
	for i := range t.count() {
		if t.used(i) && (found < 0 || le64(t.entry(i)[40:]) > le64(t.entry(found)[40:])) {
			found = i
		}
	}
	return found
}

// Fit makes the table one of a disk of the given size: a new last partition of
// configBytes at its end, and the one that was last grown up to it. It returns
// where the new one starts, in bytes.
func (t *Table) Fit(disk, configBytes int64) (int64, error) {
	last, free := t.last(), -1
	for i := t.count() - 1; i >= 0; i-- {
		if !t.used(i) {
			free = i
		}
	}
	if last < 0 || free < 0 {
		return 0, errors.New("the table has no partition to grow, or no room for another")
	}
	tail := int64(gptSector + (len(t.entries)+gptSector-1)/gptSector*gptSector)
	start := (disk - tail - configBytes) / gptAlign * gptAlign
	if end := int64(le64(t.entry(last)[40:])+1) * gptSector; start < end {
		return 0, fmt.Errorf("the disk of %d bytes has no room for a config drive of %d after the image's last partition, which ends at %d", disk, configBytes, end)
	}
	t.disk = disk
	putLE64(t.entry(last)[40:], uint64(start/gptSector-1))
	e := t.entry(free)
	clear(e)
	copy(e, basicData[:])
	_, _ = rand.Read(e[16:32])
	e[23], e[24] = e[23]&0x0f|0x40, e[24]&0x3f|0x80 // a version 4 UUID
	putLE64(e[32:], uint64(start/gptSector))
	putLE64(e[40:], uint64((start+configBytes)/gptSector-1))
	for i, u := range utf16.Encode([]rune("cidata")) {
		binary.LittleEndian.PutUint16(e[56+2*i:], u)
	}
	return start, nil
}

// Bytes returns head with the table in it, and what belongs at the very end of
// the disk: the backup.
func (t *Table) Bytes(head []byte) (first, tail []byte) {
	first = bytes.Clone(head)
	sectors := uint64(t.disk / gptSector)
	list := (len(t.entries) + gptSector - 1) / gptSector * gptSector
	listSectors := uint64(list / gptSector)
	at := le64(t.header[72:])

	putLE64(t.header[48:], sectors-2-listSectors) // last usable
	putLE32(t.header[88:], crc32.ChecksumIEEE(t.entries))
	copy(first[at*gptSector:], t.entries)
	copy(first[gptSector:], t.sealed(1, sectors-1, at))
	protect(first, sectors)

	tail = make([]byte, list+gptSector)
	copy(tail, t.entries)
	copy(tail[list:], t.sealed(sectors-1, 1, sectors-1-listSectors))
	return first, tail
}

// sealed returns the header for one of its two places.
func (t *Table) sealed(own, other, list uint64) []byte {
	h := bytes.Clone(t.header)
	putLE64(h[24:], own)
	putLE64(h[32:], other)
	putLE64(h[72:], list)
	putLE32(h[16:], 0)
	putLE32(h[16:], crc32.ChecksumIEEE(h))
	return h
}

// protect makes the protective MBR's partition as long as the disk (UEFI 2.10
// section 5.2.3).
func protect(first []byte, sectors uint64) {
	for i := range 4 {
		if e := first[446+16*i:]; e[4] == 0xee {
			putLE32(e[12:], uint32(min(sectors-1, 0xffffffff)))
		}
	}
}

func le32(b []byte) uint32       { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64       { return binary.LittleEndian.Uint64(b) }
func putLE32(b []byte, v uint32) { binary.LittleEndian.PutUint32(b, v) }
func putLE64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }
