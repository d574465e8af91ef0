package image

import (
	"errors"
	"fmt"
	"syscall"

	"sprout"
	"sprout/health"
)

// leaseRoom is what fetched images leave free on the disk, in bytes: leases are
// kept on the same one, and matter more.
const leaseRoom = health.LeastFree

// noRoom says of an error that it is a full disk, in words that help.
func (s *Store) noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return sprout.Errorf(sprout.Unavailable, "cannot keep the image: the disk of %s is full", s.dir).
			WithRemedy("free room there, or remove images that nothing needs: sprout image prune")
	}
	return err
}

// room fails with DiskFull where so many more bytes of the image do not fit.
func (d *download) room(bytes int64) error {
	free, _, err := health.Free(d.store.dir)
	if err != nil || free >= uint64(bytes)+leaseRoom {
		return err
	}
	return sprout.Fail(sprout.DiskFull, fmt.Sprintf("cannot fetch image %s: the disk of the site's agent has no room for it", d.img.Name),
		fmt.Sprintf("%d MiB are free in %s; it needs %d MiB, and %d MiB are kept for leases", free>>20, d.store.dir, bytes>>20, uint64(leaseRoom)>>20))
}
