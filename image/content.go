package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"sprout"
)

// headBytes are enough to tell what a file is: a partition table (UEFI 2.10
// section 5.3) with 128 partitions, and what is before it.
const headBytes = 34 * 512

// containers are what disks of virtual machines come in, by their first bytes. Written to a
// disk as they are they would be no system. A qcow2 that is not compressed is unpacked.
var containers = []struct{ magic, name string }{
	{"QFI\xfb", "a compressed qcow2: decompress the file"},
	{"KDMV", "VMDK: qemu-img convert -O qcow2 makes one that can be imported"},
	{"# Disk DescriptorFile", "VMDK: qemu-img convert -O qcow2 makes one that can be imported"},
	{"vhdxfile", "VHDX: qemu-img convert -O qcow2 makes one that can be imported"},
	{"conectix", "VHD: qemu-img convert -O qcow2 makes one that can be imported"},
}

// A content is what was found in an image once decompressed.
type content struct {
	kind         sprout.ImageKind
	architecture sprout.Architecture // empty: it does not say
	because      string              // of the architecture, in words
	modes        []sprout.BootMode   // by which it starts; none: it does not say
	lacks        string              // what it would need for the other one
}

// inspect reads r to its end and says what is in it. An error says what was
// expected and what was found.
func inspect(r *meter) (c content, err error) {
	in := bufio.NewReaderSize(r, headBytes)
	head, err := in.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return c, err
	}
	for _, f := range containers {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return c, fmt.Errorf("expected a disk, a tar or a squashfs within it, found a disk as %s", f.name)
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("hsqs")):
		c.kind = sprout.RootFS
		return c, inspectSquashfs(head, in, r)
	case len(head) >= 512 && string(head[257:262]) == "ustar":
		c.kind = sprout.RootFS
		return inspectTar(in, r)
	}
	c.kind = sprout.DiskImage
	return inspectDisk(bytes.Clone(head), in, r)
}

// inspectSquashfs holds a squashfs (Documentation/filesystems/squashfs.rst of
// Linux) to the length that its superblock says, padded to 4 KiB at most.
func inspectSquashfs(head []byte, in io.Reader, r *meter) error {
	if len(head) < 96 {
		return fmt.Errorf("its squashfs ends within the superblock, after %d bytes", len(head))
	}
	major, used := binary.LittleEndian.Uint16(head[28:]), int64(binary.LittleEndian.Uint64(head[40:]))
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	switch {
	case major != 4:
		return fmt.Errorf("its squashfs is of version %d, and 4 is expected", major)
	case r.n < used:
		return fmt.Errorf("its squashfs is cut off: expected %d bytes, found %d", used, r.n)
	case r.n > (used+1<<20)&^4095:
		return fmt.Errorf("%d bytes follow its squashfs of %d bytes", r.n-used, used)
	}
	return nil
}

// needed is what a root file system must have to become a machine's: rows of
// names of which one is there, as path.Match reads them.
var needed = []struct {
	what  string
	names []string
}{
	{"a directory /etc", []string{"etc"}},
	{"a shell in /bin", []string{"bin/sh", "usr/bin/sh"}},
	{"a kernel in /boot", []string{"boot/vmlinuz-*", "boot/vmlinux-*", "boot/Image-*"}},
	{"grub-install", []string{"usr/sbin/grub-install", "usr/sbin/grub2-install", "usr/bin/grub-install"}},
}

// inspectTar reads a tar (IEEE Std 1003.1, pax) to its end: each header is
// checked by its checksum, and the archive ends with zeroes.
func inspectTar(in io.Reader, r *meter) (c content, err error) {
	c.kind = sprout.RootFS
	found := make([]bool, len(needed))
	for t := tar.NewReader(in); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, fmt.Errorf("its tar is damaged or ends early, after %d bytes: %w", r.n, err)
		}
		name := path.Clean(h.Name)
		if name = strings.TrimPrefix(name, "/"); name == "" {
			name = "."
		}
		if !filepath.IsLocal(name) {
			return c, fmt.Errorf("its tar has a file outside of the root: %q", h.Name)
		}
		for i, n := range needed {
			for _, pattern := range n.names {
				ok, _ := path.Match(pattern, name)
				found[i] = found[i] || ok
			}
		}
		if c.architecture == "" && h.Typeflag == tar.TypeReg && (strings.HasPrefix(name, "usr/bin/") || strings.HasPrefix(name, "bin/")) {
			start := make([]byte, 20)
			if _, err := io.ReadFull(t, start); err == nil {
				c.architecture, c.because = elfMachine(start), "/"+name
			}
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return c, err
	}
	if !r.endsInZeroes() {
		return c, fmt.Errorf("its tar is cut off after %d bytes: expected zeroes at its end, found something else", r.n)
	}
	for i, n := range needed {
		if !found[i] {
			return c, fmt.Errorf("it is a tar, but no root file system that boots: it has not %s", n.what)
		}
	}
	return c, nil
}

// elfMachine tells which processors a program is for (ELF, System V ABI, e_machine).
func elfMachine(start []byte) sprout.Architecture {
	if !bytes.HasPrefix(start, []byte("\x7fELF\x02\x01")) {
		return ""
	}
	switch binary.LittleEndian.Uint16(start[18:]) {
	case 62:
		return sprout.AMD64
	case 183:
		return sprout.ARM64
	}
	return ""
}

// roots are the types of root partitions, as they are on disk, by the
// architecture that they are of (Discoverable Partitions Specification).
var roots = []struct {
	id           [16]byte
	architecture sprout.Architecture
}{
	{[16]byte{0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09}, sprout.AMD64},
	{[16]byte{0x45, 0xb0, 0x21, 0xb9, 0xf0, 0x1d, 0xc3, 0x41, 0xaf, 0x44, 0x4c, 0x6f, 0x28, 0x0d, 0x3f, 0xae}, sprout.ARM64},
}

// The types of partitions that loaders are in, as they are on disk (UEFI 2.10 section 5.3.3;
// of an MBR, section 5.2.2).
var efiSystem = [16]byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}

// Types of MBR partitions.
const (
	efiSystemMBR  = 0xef
	protectiveMBR = 0xee // over all of a GPT
)

// basicData is of a partition that may be FAT, from which most firmware starts a loader too.
var basicData = [16]byte{0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7}

// bootCode is where an MBR has the first program that a BIOS runs.
const bootCode = 440

// startsBy says by which firmware a disk starts that has an EFI system partition or not. A
// disk with neither that nor a boot program starts in a way that is not known here.
func (c *content) startsBy(head []byte, esp bool) {
	code := string(head[510:512]) == "\x55\xaa" && len(bytes.Trim(head[:bootCode], "\x00")) > 0
	switch {
	case code && esp:
		c.modes = []sprout.BootMode{sprout.BIOS, sprout.UEFI}
	case code:
		c.modes, c.lacks = []sprout.BootMode{sprout.BIOS}, "an EFI system partition"
	case esp:
		c.modes, c.lacks = []sprout.BootMode{sprout.UEFI}, "a boot program in its first block"
	}
}

// inspectDisk holds a disk image to the end of its last partition, and of a GPT to the second
// copy at the end of the disk.
func inspectDisk(head []byte, in io.Reader, r *meter) (c content, err error) {
	c.kind = sprout.DiskImage
	if _, err := io.Copy(io.Discard, in); err != nil {
		return c, err
	}
	if len(head) < headBytes || string(head[510:512]) != "\x55\xaa" && string(head[512:520]) != "EFI PART" {
		return c, nil
	}
	if string(head[512:520]) != "EFI PART" {
		if err := wholeMBR(head, r.n); err != nil {
			return c, err
		}
		for entry := 446; entry < 510; entry += 16 {
			if head[entry+4] == efiSystemMBR { // without one UEFI may start it all the same, from any FAT
				c.startsBy(head, true)
			}
		}
		return c, nil
	}
	at, count, each := binary.LittleEndian.Uint64(head[512+72:])*512, binary.LittleEndian.Uint32(head[512+80:]), uint64(binary.LittleEndian.Uint32(head[512+84:]))
	if each < 128 || each > 4096 {
		return c, nil // the ramdisk reads it and says what is wrong
	}
	esp, fat := false, false
	for i := range uint64(min(count, 128)) {
		from := at + i*each
		if from+128 > uint64(len(head)) {
			break
		}
		e := head[from : from+128]
		if bytes.Equal(e[:16], make([]byte, 16)) {
			continue
		}
		if end := int64(binary.LittleEndian.Uint64(e[40:])+1) * 512; end > r.n {
			return c, fmt.Errorf("it is cut off: its partition %d ends at byte %d, and it has %d bytes", i+1, end, r.n)
		}
		esp, fat = esp || bytes.Equal(e[:16], efiSystem[:]), fat || bytes.Equal(e[:16], basicData[:])
		for _, root := range roots {
			if bytes.Equal(e[:16], root.id[:]) {
				c.architecture, c.because = root.architecture, fmt.Sprintf("the type of its partition %d", i+1)
			}
		}
	}
	if second := binary.LittleEndian.Uint64(head[512+32:]); second >= uint64(r.n/512) { // UEFI 2.10 section 5.3.2: AlternateLBA
		return c, fmt.Errorf("it is cut off: the second copy of its partition table is in sector %d, and it has %d sectors", second, r.n/512)
	}
	if esp || !fat {
		c.startsBy(head, esp)
	}
	return c, nil
}

// wholeMBR refuses an MBR of a disk with so many bytes where a partition ends behind them.
// What is no MBR but ends as one, as the first sector of a file system, has partitions of
// no possible status.
func wholeMBR(head []byte, bytes int64) error {
	for entry := 446; entry < 510; entry += 16 {
		if head[entry]&^0x80 != 0 {
			return nil
		}
	}
	for i := range 4 {
		e := head[446+16*i:]
		if kind := e[4]; kind == 0 || kind == protectiveMBR {
			continue
		}
		if end := (int64(binary.LittleEndian.Uint32(e[8:])) + int64(binary.LittleEndian.Uint32(e[12:]))) * 512; end > bytes {
			return fmt.Errorf("it is cut off: its partition %d ends at byte %d, and it has %d bytes", i+1, end, bytes)
		}
	}
	return nil
}
