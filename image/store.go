// Package image keeps OS disk images by their digest: it imports them, serves
// them with ranges, and fetches them from another store. It must not know of
// machines, sites or workflows; package image/debian builds images.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"sprout"
)

// A Store holds images in a directory: sha256/<hex> is a whole, checked image,
// partial/<hex> one that is being fetched. One process owns a directory; any
// number of goroutines may use the Store.
type Store struct {
	dir     string
	mu      sync.Mutex
	flights map[string]*flight
	pulls   map[string]*pulling
	running sync.WaitGroup // pulls
}

// New opens the store on dir, which it makes if it is missing.
func New(dir string) (*Store, error) {
	for _, sub := range []string{"sha256", "partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("cannot open image store: %w", err)
		}
	}
	return &Store{dir: dir, flights: map[string]*flight{}, pulls: map[string]*pulling{}}, nil
}

// Path returns the file that holds, or would hold, the image of a digest of
// the form sha256:<64 hexadecimal digits>. Any other form gives an Invalid error.
func (s *Store) Path(digest string) (string, error) {
	sum, err := parseDigest(digest)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.dir, "sha256", sum), nil
}

// Has tells whether the store holds the image.
func (s *Store) Has(digest string) bool {
	file, err := s.Path(digest)
	if err != nil {
		return false
	}
	_, err = os.Stat(file)
	return err == nil
}

// Open opens the image's stored bytes. The error is NotFound where the store
// has no such image.
func (s *Store) Open(digest string) (*os.File, error) {
	file, err := s.Path(digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, sprout.Errorf(sprout.NotFound, "cannot open image %s: it is not in this store", digest)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open image %s: %w", digest, err)
	}
	return f, nil
}

// Drop removes the image and what was fetched of it; a missing one is no error.
// Who has it open may read it to its end.
func (s *Store) Drop(digest string) error {
	file, err := s.Path(digest)
	if err != nil {
		return err
	}
	for _, name := range []string{file, s.partial(digest)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot drop image %s: %w", digest, err)
		}
	}
	return nil
}

// DropCorrupt reads the image as it is stored and drops it if its bytes are not
// what the digest says; it tells whether it did. A missing image is no error.
func (s *Store) DropCorrupt(ctx context.Context, digest string) (dropped bool, err error) {
	f, err := s.Open(digest)
	if sprout.KindOf(err) == sprout.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	hash := sha256.New()
	if _, err := io.Copy(hash, &contextReader{ctx, f}); err != nil {
		return false, fmt.Errorf("cannot read image %s: %w", digest, err)
	}
	if digestOf(hash) == digest {
		return false, nil
	}
	return true, s.Drop(digest)
}

// Handler serves GET and HEAD of …/DIGEST: the image's stored bytes, with
// ranges (RFC 9110 section 14), the digest being the ETag.
func (s *Store) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		digest := path.Base(r.URL.Path)
		f, err := s.Open(digest)
		if err != nil {
			status := http.StatusInternalServerError
			for _, row := range sprout.ErrorKinds {
				if row.Kind == sprout.KindOf(err) {
					status = row.Status
				}
			}
			http.Error(w, err.Error(), status)
			return
		}
		defer f.Close() //nolint:errcheck // only read
		info, err := f.Stat()
		if err != nil {
			http.Error(w, "cannot read the image", http.StatusInternalServerError)
			return
		}
		w.Header().Set("ETag", `"`+digest+`"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", info.ModTime(), f)
	})
}

func (s *Store) partial(digest string) string {
	return filepath.Join(s.dir, "partial", strings.TrimPrefix(digest, "sha256:"))
}

func parseDigest(digest string) (string, error) {
	sum, ok := strings.CutPrefix(digest, "sha256:")
	raw, err := hex.DecodeString(sum)
	if !ok || err != nil || len(raw) != 32 || sum != strings.ToLower(sum) {
		return "", sprout.InvalidField("digest", "%q is not of the form sha256:<64 hexadecimal digits>", digest)
	}
	return sum, nil
}

// publish makes the finished file at from the image of the digest: synced,
// then renamed, so that a name under sha256/ is always a whole image.
func (s *Store) publish(f *os.File, digest string) error {
	file, err := s.Path(digest)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot store image: %w", err)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return fmt.Errorf("cannot store image: %w", err)
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("cannot store image: %w", err)
	}
	defer dir.Close() //nolint:errcheck // only read
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("cannot store image: %w", err)
	}
	return nil
}
