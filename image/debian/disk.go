package debian

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sprout"
)

const (
	sector = 512
	mib    = 1 << 20 / sector // sectors
)

// A part is one partition, in sectors.
type part struct{ start, sectors int64 }

// A table is where the partitions are.
type table struct{ bios, esp, root part }

// partition makes the raw disk: as large as the tree needs, with room for a
// first boot, since the ramdisk grows the root partition to the disk's size.
func (b *build) partition(ctx context.Context) error {
	used, err := treeSize(b.path("root"))
	if err != nil {
		return err
	}
	b.table = layout(used)
	end := b.table.root.start + b.table.root.sectors + mib
	if err := os.WriteFile(b.path("raw"), nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(b.path("raw"), end*sector); err != nil {
		return err
	}
	script := fmt.Sprintf(`label: gpt
label-id: %[1]s
1: start=%[2]d, size=%[3]d, type=%[8]s, name=root
14: start=%[4]d, size=%[5]d, type=21686148-6449-6e6f-744e-656564454649, name=bios
15: start=%[6]d, size=%[7]d, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, name=esp
`, b.uuid, b.table.root.start, b.table.root.sectors, b.table.bios.start, b.table.bios.sectors, b.table.esp.start, b.table.esp.sectors, b.loader().root)
	if err := os.WriteFile(b.path("table"), []byte(script), 0o644); err != nil {
		return err
	}
	return b.run(ctx, "sh", "-c", `sfdisk -q "$1" < "$2"`, "sh", b.path("raw"), b.path("table"))
}

func layout(used int64) table {
	rootSectors := (used + used/16 + 128<<20) / sector / mib * mib
	return table{
		bios: part{1 * mib, 1 * mib},
		esp:  part{2 * mib, 32 * mib},
		root: part{34 * mib, rootSectors},
	}
}

// treeSize counts the tree in blocks of ext4, each file and directory with its inode.
func treeSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n += 256
		if info.Mode().IsRegular() {
			n += (info.Size() + 4095) &^ 4095
		} else if info.IsDir() {
			n += 4096
		}
		return nil
	})
	return n, err
}

// earlyConfig has a GRUB find its configuration by the root's UUID.
func earlyConfig(uuid string) string {
	return "search.fs_uuid " + uuid + " root\nset prefix=($root)/boot/grub\n"
}

// mkimage makes a GRUB of BIOS that finds its configuration by the root's UUID.
func (b *build) mkimage(ctx context.Context, out string) error {
	if err := os.WriteFile(b.path("early.cfg"), []byte(earlyConfig(b.uuid)), 0o644); err != nil {
		return err
	}
	args := append([]string{"-O", "i386-pc", "-d", grubBIOS, "-o", out, "-p", "/boot/grub", "-c", b.path("early.cfg"), "biosdisk"}, grubModules...)
	return b.run(ctx, "grub-mkimage", args...)
}

// bios writes GRUB's first two stages as grub-bios-setup does, but into a file:
// boot.img into the first sector around the partition table, core.img into the
// BIOS boot partition, each told where the next lies. Source: GRUB 2.06,
// include/grub/i386/pc/boot.h and grub-core/boot/i386/pc/diskboot.S.
func (b *build) bios(ctx context.Context) error {
	if b.opts.Architecture != sprout.AMD64 {
		return nil // there is no BIOS but of PCs
	}
	if err := b.mkimage(ctx, b.path("core.img")); err != nil {
		return err
	}
	boot, err := os.ReadFile(grubBIOS + "/boot.img")
	if err != nil {
		return err
	}
	core, err := os.ReadFile(b.path("core.img"))
	if err != nil {
		return err
	}
	if int64(len(core)) > b.table.bios.sectors*sector {
		return fmt.Errorf("core.img of %d bytes exceeds its partition", len(core))
	}
	const kernelSector, driveCheck, codeEnd, blockList, segment = 0x5c, 0x66, 440, sector - 12, 0x820
	start := uint64(b.table.bios.start)
	binary.LittleEndian.PutUint64(boot[kernelSector:], start)
	boot[driveCheck], boot[driveCheck+1] = 0x90, 0x90
	binary.LittleEndian.PutUint64(core[blockList:], start+1)
	binary.LittleEndian.PutUint16(core[blockList+8:], uint16((len(core)+sector-1)/sector-1))
	binary.LittleEndian.PutUint16(core[blockList+10:], segment)
	f, err := os.OpenFile(b.path("raw"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // after a failure; else closed and checked below
	if _, err := f.WriteAt(boot[:codeEnd], 0); err != nil {
		return err
	}
	if _, err := f.WriteAt(core, b.table.bios.start*sector); err != nil {
		return err
	}
	return f.Close()
}

// put copies a partition's image to its place.
func (b *build) put(name string, start int64) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.OpenFile(b.path("raw"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // after a failure; else closed and checked below
	if _, err := out.Seek(start*sector, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}
