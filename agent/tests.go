package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/sitestore"
)

// The squashfs files of the programs that tests call, and of those that layouts are
// made with, in the directory of the ramdisk. A site may do without.
const (
	toolsFile       = "tools.squashfs"
	layoutToolsFile = "layout.squashfs"
)

// tools remembers the digest of the file of tools: it is read whole again only
// where it has changed.
type tools struct {
	mu    sync.Mutex
	size  int64
	at    time.Time
	known sprout.Tools
}

// of returns what a file of tools is; nil: there is none.
func (t *tools) of(file string) (*sprout.Tools, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read tools: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read tools: %w", err)
	}
	if t.known.Digest == "" || t.size != info.Size() || !t.at.Equal(info.ModTime()) {
		h := sha256.New()
		n, err := io.Copy(h, f)
		if err != nil {
			return nil, fmt.Errorf("cannot read tools: %w", err)
		}
		t.size, t.at, t.known = info.Size(), info.ModTime(), sprout.Tools{Digest: fmt.Sprintf("sha256:%x", h.Sum(nil)), Bytes: n, Architecture: sprout.AMD64}
	}
	known := t.known
	return &known, nil
}

// FetchTest brings a test's executable to the site's cache, verified by digest.
func (s *site) FetchTest(ctx context.Context, t sprout.Test) error {
	from := strings.TrimRight(s.config.Server, "/") + "/v1/tests/" + t.Digest + "/content"
	header := http.Header{"Authorization": {"Bearer " + s.enrol.Token}}
	return s.images.Fetch(ctx, s.centre, from, header, sprout.Image{Name: "of test " + t.Name, Digest: t.Digest, Bytes: t.Bytes}, nil)
}

// withTools returns an order to test with the tools that this site has now.
func (s *site) withTools(o sprout.Order) (sprout.Order, error) {
	have, err := s.tools.of(filepath.Join(s.config.RamdiskDir, toolsFile))
	if err != nil {
		return o, err
	}
	test := *o.Test
	test.Tools, o.Test = have, &test
	return o, nil
}

// testFile serves the executable of a test that the attempt was ordered to run.
func (s *site) testFile(w http.ResponseWriter, r *http.Request, a sitestore.Attempt) error {
	given, ok, err := s.store.Order(a.ID)
	if err != nil {
		return err
	}
	if ok && given.Order.Test != nil {
		for _, run := range given.Order.Test.Runs {
			if run.Test.Digest == r.PathValue("digest") {
				s.images.Handler().ServeHTTP(&seenWriter{ResponseWriter: w, saw: func() { s.saw(a.ID) }}, r)
				return nil
			}
		}
	}
	return sprout.Errorf(sprout.Denied, "cannot serve test %s: it is not what this boot attempt was ordered to run", r.PathValue("digest"))
}

// toolsContent serves the tools to an attempt that was ordered to run tests.
func (s *site) toolsContent(w http.ResponseWriter, r *http.Request, a sitestore.Attempt) error {
	given, ok, err := s.store.Order(a.ID)
	if err != nil {
		return err
	}
	if !ok || given.Order.Test == nil {
		return sprout.Errorf(sprout.Denied, "cannot serve the tests' tools: this boot attempt was ordered to run no tests that need them")
	}
	return s.serveTools(w, r, a, toolsFile)
}

// layoutTools serves what layouts are made with to an attempt that was ordered to make one.
func (s *site) layoutTools(w http.ResponseWriter, r *http.Request, a sitestore.Attempt) error {
	given, ok, err := s.store.Order(a.ID)
	if err != nil {
		return err
	}
	if !ok || given.Order.Write == nil || given.Order.Write.Layout == nil {
		return sprout.Errorf(sprout.Denied, "cannot serve the tools of layouts: this boot attempt was ordered to make none")
	}
	return s.serveTools(w, r, a, layoutToolsFile)
}

func (s *site) serveTools(w http.ResponseWriter, r *http.Request, a sitestore.Attempt, file string) error {
	f, err := os.Open(filepath.Join(s.config.RamdiskDir, file))
	if errors.Is(err, os.ErrNotExist) {
		return sprout.Errorf(sprout.NotFound, "cannot serve %s: this site has none", file).WithRemedy("sprout ramdisk build --tools")
	}
	if err != nil {
		return fmt.Errorf("cannot serve tools: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot serve tools: %w", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&seenWriter{ResponseWriter: w, saw: func() { s.saw(a.ID) }}, r, "", info.ModTime(), f)
	return nil
}
