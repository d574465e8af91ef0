package boot

import (
	"encoding/binary"
	"io"
	"path"
	"strings"
)

// isoSector is the logical sector of a CD in bytes (ECMA-119 section 6.1.2).
const isoSector = 2048

// Where the descriptors of a disc are, in sectors (ECMA-119 section 6.2.1, El
// Torito 1.0 section 2).
const (
	isoPrimary = 16 + iota
	isoBootRecord
	isoEnd
	isoCatalog
	isoPathL // the path table, the least significant byte first
	isoPathM
	isoFirst // of the directories, and then of the files
)

// An isoFile is one file of a disc. Its path is as ISO 9660 has it: upper case.
// Loaders read such names whatever their case.
type isoFile struct {
	path    string
	content io.ReaderAt
	size    int64
}

// A disc is a CD image that is put together as it is read: its files stay where
// they are.
type disc struct {
	parts []part
	size  int64
}

// A part is some bytes of a disc.
type part struct {
	at, size int64
	content  io.ReaderAt
}

// ReadAt reads from the disc; what is between its parts is zero.
func (d *disc) ReadAt(p []byte, off int64) (int, error) {
	if off >= d.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), d.size-off)]
	clear(want)
	for _, s := range d.parts {
		from, to := max(off, s.at), min(off+int64(len(want)), s.at+s.size)
		if from >= to {
			continue
		}
		if n, err := s.content.ReadAt(want[from-off:to-off], from-s.at); int64(n) < to-from {
			return 0, err
		}
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// newDisc makes a disc with the files, whose firmware of UEFI boots from the file
// with the path: a FAT volume (El Torito 1.0; UEFI 2.10 section 13.3.2.1).
func newDisc(label, boots string, files []isoFile) *disc {
	dirs := directoriesOf(files)
	at := map[string]int64{}
	next := int64(isoFirst)
	for _, d := range dirs {
		at[d] = next
		next++
	}
	disc := &disc{}
	var image isoFile
	for _, f := range files {
		at[f.path] = next
		disc.parts = append(disc.parts, part{next * isoSector, f.size, f.content})
		if f.path == boots {
			image = f
		}
		next += (f.size + isoSector - 1) / isoSector
	}
	disc.size = next * isoSector
	head := make([]byte, (isoFirst+len(dirs))*isoSector)
	sector := func(n int64) []byte { return head[n*isoSector:][:isoSector] }
	for _, d := range dirs {
		fillDirectory(sector(at[d]), d, dirs, files, at)
	}
	paths := fillPaths(sector(isoPathL), sector(isoPathM), dirs, at)
	fillPrimary(sector(isoPrimary), label, next, paths, sector(at["."])[:34])
	copy(sector(isoBootRecord), "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(sector(isoBootRecord)[71:], isoCatalog)
	copy(sector(isoEnd), "\xffCD001\x01")
	fillCatalog(sector(isoCatalog), at[boots], image.size)
	disc.parts = append(disc.parts, part{0, int64(len(head)), strings.NewReader(string(head))})
	return disc
}

// directoriesOf lists the directories of the files, the root "." first and each
// after the one that it is in.
func directoriesOf(files []isoFile) []string {
	dirs, known := []string{"."}, map[string]bool{".": true}
	for _, f := range files {
		dir := path.Dir(f.path)
		if dir == "." {
			continue
		}
		whole := ""
		for _, name := range strings.Split(dir, "/") {
			if whole = path.Join(whole, name); !known[whole] {
				known[whole] = true
				dirs = append(dirs, whole)
			}
		}
	}
	return dirs
}

// both writes a number in both byte orders, as ISO 9660 has it (ECMA-119 section 7.3.3).
func both(b []byte, n int64) {
	binary.LittleEndian.PutUint32(b, uint32(n))
	binary.BigEndian.PutUint32(b[4:], uint32(n))
}

func both16(b []byte, n int) {
	binary.LittleEndian.PutUint16(b, uint16(n))
	binary.BigEndian.PutUint16(b[2:], uint16(n))
}

// record is an entry of a directory (ECMA-119 section 9.1). Its date is always
// the same, so that the same files make the same disc.
func record(name string, at, size int64, dir bool) []byte {
	r := make([]byte, (33+len(name)+1)&^1)
	r[0] = byte(len(r))
	both(r[2:], at)
	both(r[10:], size)
	copy(r[18:], []byte{126, 1, 1}) // 2026-01-01
	if dir {
		r[25] = 2
	}
	both16(r[28:], 1)
	r[32] = byte(len(name))
	copy(r[33:], name)
	return r
}

// fillDirectory writes itself, the one above, and what is in it.
func fillDirectory(b []byte, dir string, dirs []string, files []isoFile, at map[string]int64) {
	used := copy(b, record("\x00", at[dir], isoSector, true))
	used += copy(b[used:], record("\x01", at[path.Dir(dir)], isoSector, true))
	for _, d := range dirs {
		if d != "." && path.Dir(d) == dir {
			used += copy(b[used:], record(path.Base(d), at[d], isoSector, true))
		}
	}
	for _, f := range files {
		if path.Dir(f.path) == dir {
			name := path.Base(f.path)
			if !strings.Contains(name, ".") {
				name += "."
			}
			used += copy(b[used:], record(name+";1", at[f.path], f.size, false))
		}
	}
}

// fillPaths writes the path tables and returns their length (ECMA-119 section 9.4).
func fillPaths(l, m []byte, dirs []string, at map[string]int64) (used int) {
	number := map[string]int{}
	for i, d := range dirs {
		number[d] = i + 1
		name := path.Base(d)
		if d == "." {
			name = "\x00"
		}
		l[used], m[used] = byte(len(name)), byte(len(name))
		binary.LittleEndian.PutUint32(l[used+2:], uint32(at[d]))
		binary.BigEndian.PutUint32(m[used+2:], uint32(at[d]))
		binary.LittleEndian.PutUint16(l[used+6:], uint16(number[path.Dir(d)]))
		binary.BigEndian.PutUint16(m[used+6:], uint16(number[path.Dir(d)]))
		copy(l[used+8:], name)
		copy(m[used+8:], name)
		used += 8 + (len(name)+1)&^1
	}
	return used
}

// fillPrimary writes the primary volume descriptor (ECMA-119 section 8.4).
func fillPrimary(b []byte, label string, sectors int64, paths int, root []byte) {
	for i := 8; i < 72; i++ {
		b[i] = ' '
	}
	for i := 190; i < 813; i++ {
		b[i] = ' '
	}
	copy(b, "\x01CD001\x01\x00")
	copy(b[40:], label)
	both(b[80:], sectors)
	both16(b[120:], 1)
	both16(b[124:], 1)
	both16(b[128:], isoSector)
	both(b[132:], int64(paths))
	binary.LittleEndian.PutUint32(b[140:], isoPathL)
	binary.BigEndian.PutUint32(b[148:], isoPathM)
	copy(b[156:], root)
	for i := 813; i < 881; i += 17 { // four dates: none
		copy(b[i:], "0000000000000000\x00")
	}
	b[881] = 1
}

// fillCatalog writes the boot catalog: of UEFI one entry without emulation (El
// Torito 1.0 figures 2 and 3; platform 0xef of UEFI 2.10 section 13.3.2.1).
func fillCatalog(b []byte, at, size int64) {
	b[0], b[1] = 1, 0xef
	copy(b[4:], "SPROUT")
	b[30], b[31] = 0x55, 0xaa
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(b[i:])
	}
	binary.LittleEndian.PutUint16(b[28:], -sum)
	b[32] = 0x88 // it boots
	binary.LittleEndian.PutUint16(b[38:], uint16((size+511)/512))
	binary.LittleEndian.PutUint32(b[40:], uint32(at))
}
