package sitestore

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// LetGo gives the pages of the file back that were mapped since the last time. They
// are read to be written, and hardly ever again: what the site answers by is held
// apart. Until then they count as this process's memory, for as long as nobody
// lacks any; what is read after all comes from the kernel's cache of the file.
func (s *Store) LetGo() error {
	err := s.db.View(func(tx *bbolt.Tx) error { // while it lasts the file stays mapped where it is
		_, _, failed := unix.Syscall(unix.SYS_MADVISE, s.db.Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED) //nolint:gosec // a size is not negative
		if failed != 0 {
			return fmt.Errorf("cannot give back the memory of %s: %w", s.db.Path(), failed)
		}
		return nil
	})
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return nil
	}
	return err
}
