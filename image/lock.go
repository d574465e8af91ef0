package image

import (
	"os"
	"syscall"
)

// lockFile takes a file for this process, or fails at once: replicas share the
// directory. The lock ends with the file's descriptor.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
