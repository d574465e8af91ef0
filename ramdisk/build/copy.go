package build

import (
	"io"
	"os"
)

// copyFile copies by way of a temporary name: who reads the target sees the old
// file or the whole new one.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.Create(to + ".new")
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // after a failure; else closed and checked below
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}
