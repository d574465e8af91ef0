// Package fat makes small FAT16 volumes in memory: what firmware boots from a
// CD, and what cloud-init reads. It must not know what is in the files.
package fat

import (
	"encoding/binary"
	"fmt"
	"path"
	"strings"
	"unicode/utf16"
)

// The geometry: clusters of one sector. A FAT is 16 bit wide by its number of
// clusters alone, from 4085 to 65524 of them (Microsoft, FAT: General Overview of
// On-Disk Format 1.03, page 14).
const (
	Sector      = 512
	Least       = 4 << 20  // bytes of a volume
	Most        = 32 << 20 // bytes that a volume is smaller than
	reserved    = 1
	rootEntries = 64
	rootSectors = rootEntries * 32 / Sector
)

// A File is one file. Its path may name directories before it, as EFI/BOOT/X.
type File struct {
	Path    string
	Content []byte
}

// Volume makes a volume of so many bytes, a multiple of 1 MiB from Least to below
// Most, with a label of at most 11 characters. The same files make the same
// volume. A directory below the root holds 14 names in 8.3 upper case.
func Volume(label string, size int, files ...File) ([]byte, error) {
	if size < Least || size >= Most || size%(1<<20) != 0 {
		return nil, fmt.Errorf("cannot make a FAT16 volume of %d bytes: it must be %d to %d, in steps of 1 MiB", size, Least, Most)
	}
	v := newVolume(fmt.Sprintf("%-11.11s", strings.ToUpper(label)), size)
	for _, f := range files {
		if err := v.add(f); err != nil {
			return nil, fmt.Errorf("cannot make a FAT volume with %s: %w", f.Path, err)
		}
	}
	return v.raw, nil
}

// Room is the size that a volume needs for so many bytes of files, with 1 MiB to
// spare.
func Room(files ...File) int {
	need := 0
	for _, f := range files {
		need += len(f.Content) + Sector
	}
	return max(Least, (need+1<<20)&^(1<<20-1)+1<<20)
}

// A volume is one that is being made.
type volume struct {
	raw     []byte
	fatSize int // sectors of one FAT
	next    int // first free cluster
	dirs    map[string]*directory
}

// A directory is a run of entries.
type directory struct {
	first   int    // cluster; 0: the root
	entries []byte // all of them
	used    int
}

func newVolume(label string, size int) *volume {
	sectors := size / Sector
	v := &volume{raw: make([]byte, size), fatSize: (sectors*2 + Sector - 1) / Sector, next: 2, dirs: map[string]*directory{}}
	b, le := v.raw, binary.LittleEndian
	copy(b, "\xeb\x3c\x90SPROUT  ")
	le.PutUint16(b[11:], Sector)
	b[13] = 1 // sectors a cluster
	le.PutUint16(b[14:], reserved)
	b[16] = 2 // FATs
	le.PutUint16(b[17:], rootEntries)
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
	copy(b[43:], label)
	copy(b[54:], "FAT16   ")
	b[510], b[511] = 0x55, 0xaa
	v.link(0, 0xfff8)
	v.link(1, 0xffff)
	root := &directory{entries: b[v.rootStart():][:rootEntries*32], used: 1}
	copy(root.entries, label)
	root.entries[11] = 0x08 // the volume's label
	v.dirs["."] = root
	return v
}

// link sets a cluster's entry in both FATs.
func (v *volume) link(cluster int, to uint16) {
	for i := range 2 {
		binary.LittleEndian.PutUint16(v.raw[(reserved+i*v.fatSize)*Sector+2*cluster:], to)
	}
}

func (v *volume) rootStart() int { return (reserved + 2*v.fatSize) * Sector }

func (v *volume) cluster(n int) []byte {
	return v.raw[min(len(v.raw), v.rootStart()+(rootSectors+n-2)*Sector):]
}

// take gives so many clusters, one after the other; 0 for none.
func (v *volume) take(clusters int) (first int, err error) {
	if clusters == 0 {
		return 0, nil
	}
	if first = v.next; len(v.cluster(first)) < clusters*Sector {
		return 0, fmt.Errorf("it is full")
	}
	for range clusters - 1 {
		v.link(v.next, uint16(v.next+1))
		v.next++
	}
	v.link(v.next, 0xffff)
	v.next++
	return first, nil
}

func (v *volume) add(f File) error {
	in, err := v.directory(path.Dir(f.Path))
	if err != nil {
		return err
	}
	first, err := v.take((len(f.Content) + Sector - 1) / Sector)
	if err != nil {
		return err
	}
	copy(v.cluster(max(first, 2)), f.Content)
	return in.name(path.Base(f.Path), 0x20, first, len(f.Content))
}

// directory is that of the path, made where it is not there: one cluster.
func (v *volume) directory(at string) (*directory, error) {
	if d := v.dirs[at]; d != nil {
		return d, nil
	}
	above, err := v.directory(path.Dir(at))
	if err != nil {
		return nil, err
	}
	first, err := v.take(1)
	if err != nil {
		return nil, err
	}
	d := &directory{first: first, entries: v.cluster(first)[:Sector]}
	d.entry(".          ", 0x10, first, 0)
	d.entry("..         ", 0x10, above.first, 0)
	v.dirs[at] = d
	return d, above.name(path.Base(at), 0x10, first, 0)
}

// name writes the entries of a file or directory: where its name is not in 8.3
// upper case the long one in pieces of 13 characters, the last piece first, and
// then the short one.
func (d *directory) name(name string, kind byte, first, size int) error {
	short, whole := shortName(name)
	long := utf16.Encode([]rune(name))
	pieces := (len(long) + 12) / 13
	if whole {
		pieces = 0
	}
	if (d.used+pieces+1)*32 > len(d.entries) {
		return fmt.Errorf("no entry is left in its directory")
	}
	for p := pieces; p >= 1; p-- {
		d.piece(long, p, p == pieces, shortSum(short))
	}
	d.entry(short, kind, first, size)
	return nil
}

// piece writes one piece of a long name.
func (d *directory) piece(long []uint16, p int, last bool, sum byte) {
	e := d.entries[32*d.used:][:32]
	d.used++
	e[0] = byte(p)
	if last {
		e[0] |= 0x40
	}
	e[11], e[13] = 0x0f, sum
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

// entry writes one entry of 8.3.
func (d *directory) entry(short string, kind byte, first, size int) {
	e := d.entries[32*d.used:][:32]
	d.used++
	copy(e, short)
	e[11] = kind
	const date = 46<<9 | 1<<5 | 1 // 2026-01-01: the same content makes the same volume
	for _, at := range []int{16, 18, 24} {
		binary.LittleEndian.PutUint16(e[at:], date)
	}
	binary.LittleEndian.PutUint16(e[26:], uint16(first))
	binary.LittleEndian.PutUint32(e[28:], uint32(size))
}

// shortName is the name in 8.3, and whether that is all of it. Two long names
// that begin alike are not told apart: nobody here has such.
func shortName(name string) (short string, whole bool) {
	upper := strings.ToUpper(name)
	stem, ext, _ := strings.Cut(upper, ".")
	if upper == name && len(stem) <= 8 && len(ext) <= 3 && stem != "" && !strings.ContainsAny(ext, ".") {
		return fmt.Sprintf("%-8s%-3s", stem, ext), true
	}
	return fmt.Sprintf("%-8s%-3.3s", stem[:min(len(stem), 6)]+"~1", ext), false
}

func shortSum(short string) (sum byte) {
	for i := range 11 {
		sum = sum<<7 | sum>>1
		sum += short[i]
	}
	return sum
}
