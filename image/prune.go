package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Leftover is a file of the store: a whole image, or what is left of bringing one in.
type Leftover struct {
	Name   string // below the store's directory
	Digest string // of a whole image; empty: it is a part of one
	Bytes  int64
	At     time.Time // when it came to be there, or was written last
}

// Files lists the whole images, and the parts that nobody has written to for a day.
func (s *Store) Files() (all []Leftover, err error) {
	for _, sub := range []string{"sha256", "partial"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, sub))
		if err != nil {
			return nil, fmt.Errorf("cannot look through the image store: %w", err)
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // it went meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("cannot look through the image store: %w", err)
			}
			f := Leftover{Name: filepath.Join(sub, entry.Name()), Bytes: info.Size(), At: info.ModTime()}
			_, strange := parseDigest("sha256:" + entry.Name())
			switch {
			case sub == "sha256" && (strange != nil || !info.Mode().IsRegular()): // somebody else's
				continue
			case sub == "sha256":
				f.Digest, f.At = "sha256:"+entry.Name(), changed(info)
			case time.Since(f.At) < partialAge:
				continue
			case entry.IsDir(): // a qcow2 that was being converted
				f.Bytes = below(filepath.Join(s.dir, f.Name))
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// below adds up what the files in a directory have, in bytes; what cannot be read counts
// nothing.
func below(dir string) (bytes int64) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// changed is when a file got its name: an import may have been written long before.
func changed(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Sec, st.Ctim.Nsec)
	}
	return info.ModTime()
}

// Forget removes a part of an image, unless another process is at it. A tag is part
// of what it belongs to.
func (s *Store) Forget(part Leftover) error {
	name := filepath.Join(s.dir, part.Name)
	held, err := os.Open(strings.TrimSuffix(name, tagged))
	switch {
	case err == nil:
		defer held.Close() //nolint:errcheck // only locked
		if lockFile(held) != nil {
			return nil // it is fetched again since
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot remove %s: %w", part.Name, err)
	}
	if err := os.RemoveAll(name); err != nil {
		return fmt.Errorf("cannot remove %s: %w", part.Name, err)
	}
	return nil
}
