package image

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"sprout"
	"sprout/health"
)

// pullIdle is how long a pull goes on, and its end is remembered, that nobody
// asks for any more.
const pullIdle = 2 * time.Minute

// tagged ends the name of a file beside a partial one: what its server calls the content.
const tagged = ".tag"

// partialAge is how long the part of an image that nobody asks for is kept.
const partialAge = 24 * time.Hour

// A Pull says which file of somebody else's server is to be imported.
type Pull struct {
	URL     string
	Most    int64 // bytes that the file may have; 0: any
	Options ImportOptions
}

// key names the partial file: the same source with the same digest goes on where
// it was cut, whoever asks.
func (p Pull) key() string {
	return fmt.Sprintf("pull-%x", sha256.Sum256([]byte(p.URL+"\n"+p.Options.Expect)))
}

// A pulling is one pull under way, or just ended.
type pulling struct {
	cancel context.CancelFunc
	idle   *time.Timer
	done   chan struct{} // closed when img and err are set
	img    sprout.Image
	err    error

	have, total atomic.Int64 // total: 0 where the server has not said
	checking    atomic.Bool
}

// Pull brings a file from a server and imports it. It waits so long at most, and
// is to be called again until there is an image or an error: at is how far it
// is meanwhile. A pull that nobody calls for two minutes ends; what it has is kept
// for a day, and the next goes on from there. The image's id is its own in each
// call that ends.
func (s *Store) Pull(ctx context.Context, client *http.Client, p Pull, wait time.Duration) (img sprout.Image, at *sprout.Progress, err error) {
	f := s.pull(client, p)
	tick := time.NewTimer(wait)
	defer tick.Stop()
	select {
	case <-f.done:
		s.mu.Lock()
		if s.pulls[p.key()] == f {
			delete(s.pulls, p.key())
		}
		s.mu.Unlock()
		f.idle.Stop()
		f.cancel()
		return f.img, nil, f.err
	case <-ctx.Done():
		return img, nil, ctx.Err()
	case <-tick.C:
	}
	at = &sprout.Progress{Done: f.have.Load(), Total: f.total.Load(), Unit: "B"}
	if f.checking.Load() {
		at.Waits = "its content to be checked"
	}
	return img, at, nil
}

// pull returns the running pull, or starts one.
func (s *Store) pull(client *http.Client, p Pull) *pulling {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.pulls[p.key()]; f != nil {
		f.idle.Reset(pullIdle)
		return f
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &pulling{cancel: cancel, done: make(chan struct{})}
	f.idle = time.AfterFunc(pullIdle, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pulls[p.key()] == f {
			delete(s.pulls, p.key())
		}
	})
	s.pulls[p.key()] = f
	s.running.Go(func() {
		defer close(f.done)
		f.img, f.err = s.pullAll(ctx, client, p, f)
	})
	return f
}

// Close ends all pulls and waits for them; what they have is kept.
func (s *Store) Close() {
	s.mu.Lock()
	for _, f := range s.pulls {
		f.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Store) pullAll(ctx context.Context, client *http.Client, p Pull, at *pulling) (img sprout.Image, err error) {
	s.forgetPartials()
	f, err := openLocked(filepath.Join(s.dir, "partial", p.key()))
	if err != nil {
		return img, s.noRoom(err)
	}
	defer f.Close() //nolint:errcheck // publish has synced it
	u := &pull{Pull: p, store: s, client: client, file: f, at: at}
	if err := u.download(ctx); err != nil {
		return img, s.noRoom(err)
	}
	at.checking.Store(true)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return img, err
	}
	img, err = s.keep(ctx, f, io.Discard, f, p.Options)
	if ctx.Err() == nil { // what is wrong stays wrong, and what is right is elsewhere
		_ = os.Remove(f.Name())
		_ = os.Remove(f.Name() + tagged)
	}
	return img, s.noRoom(err)
}

// openLocked opens the partial file of a pull, which nobody else is at. What was
// removed between its opening and its locking is made anew.
func openLocked(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("cannot import image: %w", err)
		}
		if err := lockFile(f); err != nil {
			_ = f.Close()
			return nil, sprout.Errorf(sprout.Conflict, "cannot import image: another replica fetches it").WithRemedy("ask again in a while")
		}
		mine, err := f.Stat()
		if err == nil {
			if now, gone := os.Stat(name); gone == nil && os.SameFile(mine, now) {
				return f, nil
			}
		}
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("cannot import image: %w", err)
		}
	}
}

// forgetPartials removes parts of images that nobody has asked for in a day, as far
// as it can: prune says what it cannot.
func (s *Store) forgetPartials() {
	all, _ := s.Files()
	for _, f := range all {
		if f.Digest == "" {
			_ = s.Forget(f)
		}
	}
}

// A pull is the download of one Pull, over as many requests as it takes.
type pull struct {
	Pull
	store  *Store
	client *http.Client
	file   *os.File
	at     *pulling
	have   int64
	whole  bool
}

func (u *pull) download(ctx context.Context) (err error) {
	if u.have, err = u.file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	for failed := 0; !u.whole; {
		before := u.have
		err := u.request(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("cannot import image: %w", ctx.Err())
		}
		if err == nil {
			continue
		}
		if failed++; u.have > before {
			failed = 1
		}
		if failed == fetchTries || hopeless(err) {
			return u.failure(err)
		}
		if err := sprout.Pause(ctx, fetchPause<<(failed-1)); err != nil {
			return err
		}
	}
	return nil
}

// hopeless tells whether another try would end as this one.
func hopeless(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.Is(err, errRefused) || errors.As(err, &certificate)
}

func (u *pull) failure(err error) error {
	var known *sprout.Error
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err // without the URL, of which it says all
	}
	from := Shown(u.URL)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, errAddress):
		return sprout.Errorf(sprout.Denied, "cannot fetch %s: %w", from, err).WithRemedy("images.allow in the control plane's configuration, if it is meant")
	case hopeless(err):
		return sprout.Errorf(sprout.Unavailable, "cannot fetch %s: %w", from, err)
	}
	return sprout.Errorf(sprout.Unavailable, "cannot fetch %s, of which %d bytes are had: %w", from, u.have, err).WithRemedy("ask again: it goes on from there")
}

// request takes what follows the bytes that are had. The tag of the first answer
// says that it is the same file still (RFC 9110 section 13.1.5).
func (u *pull) request(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := time.AfterFunc(stallAfter, cancel)
	defer stall.Stop()
	if u.have > 0 && u.Options.Expect == "" && u.tag() == "" {
		if err := u.restart(); err != nil { // nothing would tell that it is another file now
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.URL, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if u.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", u.have))
		if tag := u.tag(); tag != "" {
			req.Header.Set("If-Range", tag)
		}
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch from, total := contentRange(resp.Header.Get("Content-Range")); {
	case resp.StatusCode == http.StatusPartialContent && from == u.have:
		u.at.total.Store(total)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && total == u.have && u.have > 0:
		u.whole = true
		return nil
	case resp.StatusCode == http.StatusOK:
		if err := u.restart(); err != nil {
			return err
		}
		u.at.total.Store(max(0, resp.ContentLength))
		u.setTag(resp.Header)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable || resp.StatusCode == http.StatusPartialContent:
		return errors.Join(errors.New("the server's ranges do not fit what is had"), u.restart())
	case resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout:
		return fmt.Errorf("%w: the server says %s", errRefused, resp.Status)
	default:
		return fmt.Errorf("the server says %s", resp.Status)
	}
	if err := u.fits(u.at.total.Load()); err != nil {
		return err
	}
	return u.receive(resp.Body, stall)
}

// stallAfter is how long a download may be silent before it is resumed.
const stallAfter = 30 * time.Second

func (u *pull) receive(body io.Reader, stall *time.Timer) error {
	buf, total := make([]byte, 256<<10), u.at.total.Load()
	for checked := u.have; ; {
		n, err := body.Read(buf)
		stall.Reset(stallAfter)
		if _, werr := u.file.WriteAt(buf[:n], u.have); werr != nil {
			return fmt.Errorf("%w: %w", errRefused, u.store.noRoom(werr))
		}
		u.have += int64(n)
		u.at.have.Store(u.have)
		if u.have-checked > 64<<20 || u.Most > 0 && u.have > u.Most {
			checked = u.have
			if err := u.fits(u.have); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && total > 0 && u.have < total:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			u.whole = true
			return nil
		case err != nil:
			return err
		}
	}
}

// fits refuses a file of so many bytes that is larger than may be, or than there
// is room for.
func (u *pull) fits(size int64) error {
	if u.Most > 0 && size > u.Most {
		return errors.Join(errRefused, sprout.Errorf(sprout.Invalid, "cannot fetch %s: it has %d bytes or more, and %d are allowed", Shown(u.URL), size, u.Most).
			WithRemedy("images.most in the control plane's configuration, if it is an image indeed"))
	}
	free, _, err := health.Free(u.store.dir)
	if err == nil && free < uint64(max(0, size-u.have))+health.LeastFree {
		return errors.Join(errRefused, sprout.Errorf(sprout.Unavailable, "cannot fetch %s: it has %d bytes, and %d MiB are free in %s, of which %d are kept", Shown(u.URL), size, free>>20, u.store.dir, uint64(health.LeastFree)>>20).
			WithRemedy("free room there, or remove images that nothing needs: sprout image prune"))
	}
	return err
}

func (u *pull) restart() error {
	u.have = 0
	u.at.have.Store(0)
	return u.file.Truncate(0)
}

// tag is what the server called the content of which there is a part: a strong
// entity tag, or a date. Empty: it said nothing that can be relied upon.
func (u *pull) tag() string {
	raw, _ := os.ReadFile(u.file.Name() + tagged)
	return string(raw)
}

func (u *pull) setTag(h http.Header) {
	tag := h.Get("ETag")
	if tag == "" || strings.HasPrefix(tag, "W/") {
		tag = h.Get("Last-Modified")
	}
	_ = os.WriteFile(u.file.Name()+tagged, []byte(tag), 0o644) // without it the download begins anew
}

// contentRange reads "bytes 5-9/10" and "bytes */10" (RFC 9110 section 14.4);
// what it does not say is 0.
func contentRange(text string) (from, total int64) {
	var to int64
	if n, _ := fmt.Sscanf(text, "bytes %d-%d/%d", &from, &to, &total); n == 3 {
		return from, total
	}
	from, total = 0, 0
	_, _ = fmt.Sscanf(text, "bytes */%d", &total)
	return 0, total
}
