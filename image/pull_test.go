package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sprout"
	"sprout/image"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// An origin is somebody's server with one file.
type origin struct {
	*httptest.Server
	content       atomic.Pointer[[]byte]
	cut, requests atomic.Int64
	ranges        atomic.Pointer[string] // of the last request
}

func newOrigin(t *testing.T, content []byte) *origin {
	t.Helper()
	o := &origin{}
	o.content.Store(&content)
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.requests.Add(1)
		now, asked := *o.content.Load(), r.Header.Get("Range")
		o.ranges.Store(&asked)
		if n := o.cut.Swap(0); n > 0 {
			w = &cutter{w, n}
		}
		w.Header().Set("ETag", `"`+digest(now)[7:20]+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(now))
	}))
	t.Cleanup(o.Close)
	return o
}

// pullAll asks until there is an image or an error.
func pullAll(t *testing.T, s *image.Store, p image.Pull) (sprout.Image, error) {
	t.Helper()
	for {
		img, at, err := s.Pull(t.Context(), image.Outside(loopback), p, time.Second)
		if at == nil {
			return img, err
		}
	}
}

func partials(t *testing.T, s *image.Store) []string {
	t.Helper()
	file, err := s.Path(digest(nil))
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "../partial/*"))
	return left
}

func TestPullGoesOnWhereItWasCut(t *testing.T) {
	raw := disk()
	for _, expect := range []string{"", digest(raw)} {
		s, from := newStore(t), newOrigin(t, raw)
		from.cut.Store(300 << 10)
		img, err := pullAll(t, s, image.Pull{URL: from.URL, Options: image.ImportOptions{Name: "x", Expect: expect}})
		if err != nil || img.Digest != digest(raw) || !s.Has(img.Digest) || img.Kind != sprout.DiskImage {
			t.Fatalf("%+v %v", img, err)
		}
		if n := from.requests.Load(); n != 2 || !strings.HasPrefix(*from.ranges.Load(), "bytes=") {
			t.Errorf("one cut made %d requests, the last for %q", n, *from.ranges.Load())
		}
		if left := partials(t, s); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// A process that dies leaves a part, and the next goes on from there; not where
// the file is another by then.
func TestPullGoesOnAfterACrash(t *testing.T) {
	raw, other := disk(), append(disk()[512:], make([]byte, 512)...)
	for name, now := range map[string][]byte{"same": raw, "changed": other} {
		s, from := newStore(t), newOrigin(t, raw)
		p := image.Pull{URL: from.URL, Options: image.ImportOptions{Name: "x"}}
		gate := make(chan struct{})
		slow := &http.Client{Transport: stopper{after: 300 << 10, gate: gate}}
		if _, at, err := s.Pull(t.Context(), slow, p, 200*time.Millisecond); at == nil || err != nil {
			t.Fatalf("%s: %v %v", name, at, err)
		}
		close(gate)
		s.Close()
		again, err := image.New(filepath.Dir(filepath.Dir(partials(t, s)[0])))
		if err != nil {
			t.Fatal(err)
		}
		from.content.Store(&now)
		img, err := pullAll(t, again, p)
		if err != nil || img.Digest != digest(now) {
			t.Errorf("%s: %+v %v", name, img, err)
		}
		if !strings.HasPrefix(*from.ranges.Load(), "bytes=307200-") {
			t.Errorf("%s: it asked for %q", name, *from.ranges.Load())
		}
	}
}

// A stopper gives so many bytes of an answer, then nothing until the gate opens.
type stopper struct {
	after int64
	gate  chan struct{}
}

func (s stopper) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		resp.Body = &stopped{resp.Body, s.after, s.gate, r.Context()}
	}
	return resp, err
}

type stopped struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	left int64
	gate chan struct{}
	ctx  context.Context
}

func (s *stopped) Close() error { return s.body.Close() }

func (s *stopped) Read(p []byte) (int, error) {
	if s.left == 0 {
		select {
		case <-s.gate:
		case <-s.ctx.Done():
		}
		return 0, errors.New("cut")
	}
	n, err := s.body.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

func TestPullRefuses(t *testing.T) {
	raw := disk()
	from := newOrigin(t, raw)
	mux := http.NewServeMux()
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/inside", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(raw); err != nil {
				return
			}
		}
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	for name, c := range map[string]struct {
		url, expect string
		most        int64
		allowed     []netip.Prefix
		kind        sprout.Kind
		says        string
	}{
		"this machine":       {from.URL, "", 0, nil, sprout.Denied, "127.0.0.1"},
		"a link's address":   {web.URL + "/inside", "", 0, loopback, sprout.Denied, "169.254.169.254"},
		"another scheme":     {web.URL + "/file", "", 0, loopback, sprout.Unavailable, "redirected from http to file"},
		"a circle":           {web.URL + "/loop", "", 0, loopback, sprout.Unavailable, "more than 5 times"},
		"nothing":            {web.URL + "/none", "", 0, loopback, sprout.Unavailable, "404"},
		"another digest":     {from.URL, digest(nil), 0, loopback, sprout.Invalid, "expected " + digest(nil) + ", found " + digest(raw)},
		"too large":          {from.URL, "", 1000, loopback, sprout.Invalid, "1000 are allowed"},
		"too large, unknown": {web.URL + "/endless", "", 1 << 22, loopback, sprout.Invalid, "4194304 are allowed"},
	} {
		s := newStore(t)
		for {
			img, at, err := s.Pull(t.Context(), image.Outside(c.allowed), image.Pull{URL: c.url, Most: c.most, Options: image.ImportOptions{Expect: c.expect}}, time.Second)
			if at != nil {
				continue
			}
			if sprout.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) || img.ID != "" {
				t.Errorf("%s: %s %v", name, sprout.KindOf(err), err)
			}
			break
		}
		if stored, _ := os.ReadDir(filepath.Join(filepath.Dir(mustPath(t, s)))); len(stored) > 0 {
			t.Errorf("%s: stored %v", name, stored)
		}
	}
}

func mustPath(t *testing.T, s *image.Store) string {
	t.Helper()
	file, err := s.Path(digest(nil))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPullChecksCertificates(t *testing.T) {
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	t.Cleanup(web.Close)
	_, err := pullAll(t, newStore(t), image.Pull{URL: web.URL})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
}

func TestCheckSource(t *testing.T) {
	for _, c := range []struct {
		url, digest string
		unverified  bool
		says        string // empty: it is taken
	}{
		{"https://example.com/a", "", false, ""},
		{"http://example.com/a", "sha256:0", false, ""},
		{"http://example.com/a", "", true, ""},
		{"http://example.com/a", "", false, "plain http"},
		{"ftp://example.com/a", "sha256:0", false, "must begin with"},
		{"https://me:secret@example.com/a", "", false, "kept and shown"},
		{"/etc/passwd", "", false, "must begin with"},
	} {
		err := image.CheckSource(c.url, c.digest, c.unverified)
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Where the server gives no name to what it sends, and no digest was asked for, what
// was cut is not gone on with: it may be another file by now.
func TestPullBeginsAnewWhereNothingTells(t *testing.T) {
	raw, other := disk(), append(disk()[512:], make([]byte, 512)...)
	var requests atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			http.ServeContent(&cutter{w, 300 << 10}, r, "", time.Time{}, bytes.NewReader(raw))
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(other))
	}))
	t.Cleanup(web.Close)
	img, err := pullAll(t, newStore(t), image.Pull{URL: web.URL, Options: image.ImportOptions{Name: "x"}})
	if err != nil || img.Digest != digest(other) || requests.Load() != 2 {
		t.Errorf("%s, %v after %d requests; want %s", img.Digest, err, requests.Load(), digest(other))
	}
}

// What lets somebody in is often in a URL's query: it is in no error.
func TestPullShowsNoQuery(t *testing.T) {
	from := newOrigin(t, disk())
	gone := from.URL + "/x?signature=hidden"
	for name, p := range map[string]image.Pull{"too large": {URL: gone, Most: 1000}, "refused": {URL: strings.Replace(gone, "127.0.0.1", "169.254.0.1", 1)}} {
		if _, err := pullAll(t, newStore(t), p); err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "/x") {
			t.Errorf("%s: %v", name, err)
		}
	}
	from.Close()
	if _, err := pullAll(t, newStore(t), image.Pull{URL: gone}); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("nobody there: %v", err)
	}
	if got := image.Shown(gone); got != from.URL+"/x" {
		t.Errorf("shown is %s", got)
	}
}

// Whoever asks at once has one download.
func TestPullIsShared(t *testing.T) {
	s, from := newStore(t), newOrigin(t, disk())
	gate := make(chan struct{})
	slow := &http.Client{Transport: stopper{after: 300 << 10, gate: gate}}
	p := image.Pull{URL: from.URL, Options: image.ImportOptions{Name: "x"}}
	for i := range 3 {
		if _, at, err := s.Pull(t.Context(), slow, p, 100*time.Millisecond); err != nil || at == nil || at.Total != 1<<20 {
			t.Fatalf("%d: %+v %v", i, at, err)
		}
	}
	if n := from.requests.Load(); n != 1 {
		t.Errorf("three askers made %d requests", n)
	}
	close(gate)
	s.Close()
	if _, at, err := s.Pull(t.Context(), slow, p, time.Minute); at != nil || err == nil {
		t.Errorf("after the end: %+v %v", at, fmt.Sprint(err))
	}
}
