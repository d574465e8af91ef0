package image_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"sprout"
	"sprout/image"
)

func newStore(t *testing.T) *image.Store {
	t.Helper()
	s, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// disk is a disk image of 1 MiB that is half noise.
func disk() []byte {
	raw := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(raw[:512<<10])
	return raw
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func pack(t *testing.T, compression string, raw []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch compression {
	case image.None:
		return raw
	case image.Gzip:
		w = gzip.NewWriter(&out)
	case image.XZ:
		w, err = xz.NewWriter(&out)
	case image.Zstd:
		w, err = zstd.NewWriter(&out)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestImport(t *testing.T) {
	raw := disk()
	for _, compression := range []string{image.None, image.Gzip, image.XZ, image.Zstd} {
		s, stored := newStore(t), pack(t, compression, raw)
		img, err := s.Import(t.Context(), bytes.NewReader(stored), image.ImportOptions{Name: "x", Expect: digest(stored)})
		if err != nil {
			t.Fatalf("%s: %v", compression, err)
		}
		if img.Compression != compression || img.Digest != digest(stored) || img.Bytes != int64(len(stored)) ||
			img.RawDigest != digest(raw) || img.RawBytes != int64(len(raw)) || img.ID == "" || img.Architecture != sprout.AMD64 {
			t.Errorf("%s: %+v", compression, img)
		}
		f, err := s.Open(img.Digest)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		_ = f.Close()
		if err != nil || !bytes.Equal(got, stored) {
			t.Errorf("%s: other bytes are stored (%v)", compression, err)
		}
		if err := s.Drop(img.Digest); err != nil || s.Has(img.Digest) {
			t.Errorf("%s: it is there after a drop (%v)", compression, err)
		}
	}
}

// A file of a few kilobytes may unpack to any number of bytes: it is read no further than
// an image may have.
func TestImportIsBoundedOnceDecompressed(t *testing.T) {
	raw := make([]byte, 64<<20)
	for _, compression := range []string{image.None, image.Gzip, image.XZ, image.Zstd} {
		stored := bytes.NewReader(pack(t, compression, raw))
		s := newStore(t)
		_, err := s.Import(t.Context(), stored, image.ImportOptions{Name: "x", MostRaw: 1 << 20})
		if sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), "expected 1048576 bytes at most once decompressed, found more") {
			t.Errorf("%s: %v", compression, err)
		}
		if files, err := s.Files(); err != nil || len(files) > 0 {
			t.Errorf("%s left %v, %v", compression, files, err)
		}
		_, _ = stored.Seek(0, io.SeekStart)
		if img, err := s.Import(t.Context(), stored, image.ImportOptions{Name: "x", MostRaw: 64 << 20}); err != nil || img.RawBytes != 64<<20 {
			t.Errorf("%s, of as many as it may have: %+v, %v", compression, img, err)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	raw := disk()
	for name, c := range map[string]struct {
		bytes  []byte
		expect string
		says   string
	}{
		"another digest": {raw, digest([]byte("x")), "expected " + digest([]byte("x")) + ", found " + digest(raw)},
		"no digest":      {raw, "md5:1", "sha256:"},
		"nothing":        {nil, "", "empty"},
		"no disk":        {raw[:1000], "", "1000 bytes"},
		"cut zstd":       {pack(t, image.Zstd, raw)[:200<<10], "", "ends early, after 204800 bytes"},
		"cut xz":         {pack(t, image.XZ, raw)[:200<<10], "", "ends early"},
		"cut gzip":       {pack(t, image.Gzip, raw)[:200<<10], "", "ends early"},
		"more after it":  {append(pack(t, image.Zstd, raw), "tail"...), "", "damaged"},
	} {
		s := newStore(t)
		dir, err := s.Path(digest(nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Import(t.Context(), bytes.NewReader(c.bytes), image.ImportOptions{Expect: c.expect})
		if sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		for _, sub := range []string{"sha256", "partial"} {
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "..", sub, "*")); len(left) > 0 {
				t.Errorf("%s: left behind %v", name, left)
			}
		}
	}
}

func TestImportQcow2(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed")
	}
	raw, dir := disk(), t.TempDir()
	s := newStore(t)
	img, err := s.Import(t.Context(), bytes.NewReader(raw), image.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := s.Path(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "convert", "-f", "raw", "-O", "qcow2", file, dir+"/q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	packed, err := exec.CommandContext(t.Context(), "cat", dir+"/q").Output()
	if err != nil {
		t.Fatal(err)
	}
	img, err = s.Import(t.Context(), bytes.NewReader(packed), image.ImportOptions{Expect: digest(packed)})
	if err != nil || img.RawDigest != digest(raw) || img.Compression != image.Zstd {
		t.Errorf("%+v %v", img, err)
	}
}

// A server serves a store, and counts; cut, while positive, breaks a request off
// after so many bytes.
type server struct {
	*httptest.Server
	requests, cut atomic.Int64
}

func serve(t *testing.T, s *image.Store) *server {
	t.Helper()
	out := &server{}
	out.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out.requests.Add(1)
		if n := out.cut.Swap(0); n > 0 {
			w = &cutter{w, n}
		}
		s.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(out.Close)
	return out
}

type cutter struct {
	http.ResponseWriter
	left int64
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

func TestFetch(t *testing.T) {
	from, to := newStore(t), newStore(t)
	img, err := from.Import(t.Context(), bytes.NewReader(disk()), image.ImportOptions{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	web := serve(t, from)
	web.cut.Store(300 << 10)
	var wg sync.WaitGroup
	var last atomic.Int64
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			errs[i] = to.Fetch(t.Context(), web.Client(), web.URL+"/v1/images/"+img.Digest, nil, img, func(done, _ int64) { last.Store(done) })
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || !to.Has(img.Digest) || last.Load() != img.Bytes {
		t.Fatalf("%v, at %d of %d", err, last.Load(), img.Bytes)
	}
	if n := web.requests.Load(); n != 2 {
		t.Errorf("8 callers and one cut made %d requests, want 2", n)
	}
}

// A server goes on from another place than it was asked for: the image is fetched anew,
// and is whole.
func TestFetchHoldsAnAnswerToItsPlace(t *testing.T) {
	from, to, raw := newStore(t), newStore(t), disk()
	img, err := from.Import(t.Context(), bytes.NewReader(raw), image.ImportOptions{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Header.Get("Range"))
		switch len(asked) {
		case 1: // cut off
			w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
			_, _ = w.Write(raw[:300<<10])
		case 2:
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", 1000, len(raw)-1, len(raw)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(raw[1000:])
		default:
			_, _ = w.Write(raw)
		}
	}))
	defer web.Close()
	if err := to.Fetch(t.Context(), web.Client(), web.URL, nil, img, nil); err != nil || !to.Has(img.Digest) {
		t.Errorf("it has it: %t, %v", to.Has(img.Digest), err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"", "bytes=307200-", ""}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

func TestFetchFailures(t *testing.T) {
	from, to := newStore(t), newStore(t)
	img, err := from.Import(t.Context(), bytes.NewReader(disk()), image.ImportOptions{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	web := serve(t, from)
	url := web.URL + "/" + img.Digest
	for name, c := range map[string]struct {
		spoil func(*sprout.Image)
		url   string
		code  sprout.Code
	}{
		"other bytes": {func(i *sprout.Image) { i.Digest = digest(nil) }, url, sprout.DigestMismatch},
		"too long":    {func(i *sprout.Image) { i.Digest, i.Bytes = digest([]byte("a")), 1000 }, url, sprout.DigestMismatch},
		"not there":   {func(i *sprout.Image) {}, web.URL + "/" + digest(nil), sprout.ImageUnavailable},
	} {
		bad := img
		c.spoil(&bad)
		err := to.Fetch(t.Context(), web.Client(), c.url, nil, bad, nil)
		var failure *sprout.Failure
		if !errors.As(err, &failure) || failure.Code != c.code || failure.Evidence == "" || to.Has(bad.Digest) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := to.Fetch(ctx, web.Client(), url, nil, img, nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := to.Fetch(t.Context(), web.Client(), url, nil, img, nil); err != nil || !to.Has(img.Digest) {
		t.Errorf("after all that: %v", err)
	}
}

func TestHandler(t *testing.T) {
	s := newStore(t)
	raw := disk()
	img, err := s.Import(t.Context(), bytes.NewReader(raw), image.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, ranges string
		status       int
		body         []byte
	}{
		{"/images/" + img.Digest, "", 200, raw},
		{"/images/" + img.Digest, "bytes=1000-1999", 206, raw[1000:2000]},
		{"/images/" + img.Digest, "bytes=9999999-", 416, nil},
		{"/images/" + digest(nil), "", 404, nil},
		{"/images/../../etc/passwd", "", 422, nil},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://x"+c.path, nil)
		if c.ranges != "" {
			req.Header.Set("Range", c.ranges)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code != c.status || c.body != nil && !bytes.Equal(w.Body.Bytes(), c.body) {
			t.Errorf("%s %s: %d, want %d", c.path, c.ranges, w.Code, c.status)
		}
		if c.body != nil && w.Header().Get("ETag") != `"`+img.Digest+`"` {
			t.Errorf("%s: ETag %s", c.path, w.Header().Get("ETag"))
		}
	}
}

func TestDropCorruptDropsOnlyWhatIsBad(t *testing.T) {
	s := newStore(t)
	img, err := s.Import(t.Context(), bytes.NewReader(make([]byte, 4096)), image.ImportOptions{Name: "zero"})
	if err != nil {
		t.Fatal(err)
	}
	if dropped, err := s.DropCorrupt(t.Context(), img.Digest); dropped || err != nil || !s.Has(img.Digest) {
		t.Fatalf("a sound image: dropped %v, %v", dropped, err)
	}
	file, err := s.Path(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("other bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if dropped, err := s.DropCorrupt(t.Context(), img.Digest); !dropped || err != nil || s.Has(img.Digest) {
		t.Fatalf("a bad image: dropped %v, %v, still there %v", dropped, err, s.Has(img.Digest))
	}
	if dropped, err := s.DropCorrupt(t.Context(), img.Digest); dropped || err != nil {
		t.Fatalf("a missing image: dropped %v, %v", dropped, err)
	}
}
