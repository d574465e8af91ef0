package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sprout"
)

// CorruptImage flips every bit of the byte in the middle of the file that the
// lab's agent holds of an image, and returns the file and the offset. The file
// is the one with the digest's hexadecimal in its name; none is NotFound.
func CorruptImage(dir, digest string) (path string, offset int64, err error) {
	_, sum, found := strings.Cut(digest, ":")
	if !found || sum == "" {
		return "", 0, sprout.InvalidField("digest", "cannot find image %q: a digest looks like sha256:…", digest)
	}
	stop := errors.New("found")
	err = filepath.WalkDir(AgentDir(dir), func(at string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.Contains(e.Name(), sum) {
			path = at
			return stop
		}
		return err
	})
	if path == "" {
		return "", 0, sprout.Errorf(sprout.NotFound, "the agent holds no image %s (%v)", digest, err).WithRemedy("deploy it once, then corrupt it")
	}
	offset, err = flip(path)
	return path, offset, err
}

func flip(path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("cannot corrupt the image: %w", err)
	}
	defer f.Close() //nolint:errcheck // it is synced
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("cannot corrupt the image: %w", err)
	}
	if info.Size() == 0 {
		return 0, fmt.Errorf("cannot corrupt the image: %s is empty", path)
	}
	middle := info.Size() / 2
	var b [1]byte
	if _, err := f.ReadAt(b[:], middle); err != nil {
		return 0, fmt.Errorf("cannot corrupt the image: %w", err)
	}
	b[0] = ^b[0]
	if _, err := f.WriteAt(b[:], middle); err != nil {
		return 0, fmt.Errorf("cannot corrupt the image: %w", err)
	}
	return middle, f.Sync()
}
