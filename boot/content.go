package boot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"
)

// contents knows what boot files hold, by their SHA-256 in hex: a script names
// kernel and initrd by it, so that a ramdisk which is replaced in the middle of a
// boot is never half the old one and half the new.
type contents struct {
	mu    sync.Mutex
	known map[string]content // by path
}

// A content is what a file held while it had this size and was changed then.
type content struct {
	size    int64
	changed time.Time
	digest  string
}

// open opens a file and tells what it holds; it is read whole when it has changed.
func (c *contents) open(path string) (*os.File, content, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, content{}, err
	}
	has, err := c.of(f, path)
	if err != nil {
		f.Close() //nolint:errcheck // only read
		return nil, content{}, err
	}
	return f, has, nil
}

func (c *contents) of(f *os.File, path string) (content, error) {
	info, err := f.Stat()
	if err != nil {
		return content{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if has := c.known[path]; has.digest != "" && has.size == info.Size() && has.changed.Equal(info.ModTime()) {
		return has, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return content{}, fmt.Errorf("cannot read what a boot file holds: %w", err)
	}
	has := content{info.Size(), info.ModTime(), hex.EncodeToString(sum.Sum(nil))}
	if c.known == nil {
		c.known = map[string]content{}
	}
	c.known[path] = has
	return has, nil
}

// address is where a file of the ramdisk is served as it is now: below its digest.
// One that is not there is named without, and is asked for in vain.
func (h *handler) address(name string) string {
	f, has, err := h.contents.open(filepath.Join(h.Files, name))
	if err != nil {
		return path.Join("/boot", name)
	}
	f.Close() //nolint:errcheck // only read
	return path.Join("/boot", has.digest, name)
}

// addressed serves a file of the ramdisk by what it holds. What has been replaced is
// not there any more: the script is asked for again.
func (h *handler) addressed(name string) http.HandlerFunc {
	at := filepath.Join(h.Files, name)
	return func(w http.ResponseWriter, q *http.Request) {
		f, has, err := h.contents.open(at)
		if err != nil {
			h.missing(w, filepath.Base(name), err)
			return
		}
		defer f.Close() //nolint:errcheck // only read
		if q.PathValue("digest") != has.digest {
			http.Error(w, "Sprout: "+name+" was replaced since the script was asked for: ask for the script again", http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"`+has.digest+`"`)
		h.send(w, q, f, has)
	}
}
