package tftp

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Files opens the named files of a directory and no others, whatever a request
// says: no name can leave the directory.
func Files(directory string, names ...string) func(name string) (File, error) {
	return func(name string) (File, error) {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("cannot open %q: %w", name, fs.ErrNotExist)
		}
		f, err := os.Open(filepath.Join(directory, name))
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		return sized{f, info.Size()}, nil
	}
}

type sized struct {
	*os.File
	size int64
}

func (s sized) Size() int64 { return s.size }
