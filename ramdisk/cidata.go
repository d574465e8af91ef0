package ramdisk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"

	"sprout"
)

// The geometry of a config volume: FAT16, clusters of one sector. A FAT is 16
// bit wide by its number of clusters alone, from 4085 to 65524 of them
// (Microsoft, FAT: General Overview of On-Disk Format 1.03, page 14).
const (
	fatSector      = 512
	fatReserved    = 1
	fatRootEntries = 64
	fatRootSectors = fatRootEntries * 32 / fatSector
	fatLeast       = 4 << 20
	fatMost        = 32 << 20
	fatLabel       = "CIDATA     "
)

// ConfigVolume makes the NoCloud volume that cloud-init looks for: FAT16,
// labelled CIDATA, with meta-data, user-data, vendor-data and network-config.
// Vendor data and network configuration that are empty are left out. It is 4 to
// 32 MiB large, a multiple of 1 MiB; more content is an Invalid error.
func ConfigVolume(c sprout.ConfigDrive) ([]byte, error) {
	files := []fatFile{{"meta-data", "META-D~1   ", c.MetaData}, {"user-data", "USER-D~1   ", c.UserData}}
	if c.VendorData != "" {
		files = append(files, fatFile{"vendor-data", "VENDOR~1   ", c.VendorData})
	}
	if c.NetworkConfig != "" {
		files = append(files, fatFile{"network-config", "NETWOR~1   ", c.NetworkConfig})
	}
	need := 0
	for _, f := range files {
		need += len(f.text) + fatSector
	}
	size := max(fatLeast, (need+1<<20)&^(1<<20-1)+1<<20)
	if size >= fatMost {
		return nil, sprout.Errorf(sprout.Invalid, "cannot make a config drive of %d bytes: at most %d are allowed", need, fatMost)
	}
	v := newFAT(size)
	for _, f := range files {
		if err := v.add(f); err != nil {
			return nil, err
		}
	}
	return v.raw, nil
}

// A fatFile is a file with a name that FAT cannot hold but as a long one, and
// the short one that stands for it.
type fatFile struct{ name, short, text string }

// A fat is a volume that is being made.
type fat struct {
	raw     []byte
	fatSize int // sectors of one FAT
	next    int // first free cluster
	entry   int // first free entry of the root
}

func newFAT(size int) *fat {
	sectors := size / fatSector
	v := &fat{raw: make([]byte, size), fatSize: (sectors*2 + fatSector - 1) / fatSector, next: 2, entry: 1}
	b, le := v.raw, binary.LittleEndian
	copy(b, "\xeb\x3c\x90SPROUT  ")
	le.PutUint16(b[11:], fatSector)
	b[13] = 1 // sectors a cluster
	le.PutUint16(b[14:], fatReserved)
	b[16] = 2 // FATs
	le.PutUint16(b[17:], fatRootEntries)
	if sectors < 1<<16 {
		le.PutUint16(b[19:], uint16(sectors))
	} else {
		le.PutUint32(b[32:], uint32(sectors))
	}
	b[21] = 0xf8 // a fixed disk
	le.PutUint16(b[22:], uint16(v.fatSize))
	le.PutUint16(b[24:], 32) // sectors a track, and heads: of no use, but not zero
	le.PutUint16(b[26:], 64)
	b[36], b[38] = 0x80, 0x29
	le.PutUint32(b[39:], 0x5950524f)
	copy(b[43:], fatLabel)
	copy(b[54:], "FAT16   ")
	b[510], b[511] = 0x55, 0xaa
	v.link(0, 0xfff8)
	v.link(1, 0xffff)
	copy(v.root(0), fatLabel)
	v.root(0)[11] = 0x08 // the volume's label
	return v
}

// link sets a cluster's entry in both FATs.
func (v *fat) link(cluster int, to uint16) {
	for i := range 2 {
		binary.LittleEndian.PutUint16(v.raw[(fatReserved+i*v.fatSize)*fatSector+2*cluster:], to)
	}
}

func (v *fat) rootStart() int { return (fatReserved + 2*v.fatSize) * fatSector }

func (v *fat) root(entry int) []byte { return v.raw[v.rootStart()+32*entry:][:32] }

func (v *fat) cluster(n int) []byte {
	return v.raw[v.rootStart()+(fatRootSectors+n-2)*fatSector:]
}

func (v *fat) add(f fatFile) error {
	first := v.next
	clusters := (len(f.text) + fatSector - 1) / fatSector
	if clusters == 0 {
		first = 0
	} else if len(v.cluster(first)) < clusters*fatSector {
		return errors.New("cannot make a config drive: it is full")
	}
	for i := range clusters {
		to := uint16(v.next + 1)
		if i == clusters-1 {
			to = 0xffff
		}
		v.link(v.next, to)
		v.next++
	}
	if clusters > 0 {
		copy(v.cluster(first), f.text)
	}
	return v.name(f, first)
}

// name writes a file's directory entries: its long name in pieces of 13
// characters, the last piece first, then the short one.
func (v *fat) name(f fatFile, first int) error {
	long := utf16.Encode([]rune(f.name))
	pieces := (len(long) + 12) / 13
	if v.entry+pieces >= fatRootEntries {
		return fmt.Errorf("cannot make a config drive: no entry is left for %s", f.name)
	}
	for p := pieces; p >= 1; p-- {
		e := v.root(v.entry)
		v.entry++
		e[0] = byte(p)
		if p == pieces {
			e[0] |= 0x40
		}
		e[11], e[13] = 0x0f, shortSum(f.short)
		for i, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
			u := uint16(0xffff)
			if n := (p-1)*13 + i; n < len(long) {
				u = long[n]
			} else if n == len(long) {
				u = 0
			}
			binary.LittleEndian.PutUint16(e[at:], u)
		}
	}
	e := v.root(v.entry)
	v.entry++
	copy(e, f.short)
	e[11] = 0x20
	const date = 46<<9 | 1<<5 | 1 // 2026-01-01: the same content makes the same volume
	for _, at := range []int{16, 18, 24} {
		binary.LittleEndian.PutUint16(e[at:], date)
	}
	binary.LittleEndian.PutUint16(e[26:], uint16(first))
	binary.LittleEndian.PutUint32(e[28:], uint32(len(f.text)))
	return nil
}

func shortSum(short string) (sum byte) {
	for i := range 11 {
		sum = sum<<7 | sum>>1
		sum += short[i]
	}
	return sum
}
