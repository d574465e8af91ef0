package health

import (
	"fmt"
	"syscall"

	"sprout"
)

// LeastFree is how much of a disk must be free, in bytes: with less, what is
// acknowledged only once it is on disk soon cannot be any more. The trouble is
// over when a half more than that is free.
const LeastFree = 64 << 20

// Free returns how many bytes of dir's file system an ordinary user may still
// write, and its size.
func Free(dir string) (free, size uint64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, 0, fmt.Errorf("cannot ask how much room is left in %s: %w", dir, err)
	}
	return fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize), nil
}

// Disk looks at the file system of dir, and sets or ends the trouble DiskFull.
// What stops says what does not work while the disk is full.
func (t *Troubles) Disk(dir string, least uint64, stops string) error {
	free, size, err := Free(dir)
	if err != nil {
		return err
	}
	if t.Has(sprout.DiskFull) {
		least += least / 2
	}
	if free >= least {
		t.Set(sprout.DiskFull, "", "")
		return nil
	}
	// The evidence changes by steps, or every look would be news.
	t.Set(sprout.DiskFull, "the disk is full: "+stops, fmt.Sprintf("under %d MiB of %d MiB are free in %s", free>>23<<3+8, size>>20, dir))
	return nil
}
