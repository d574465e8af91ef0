package image

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"time"

	"sprout"
)

// fetchTries is how often in a row a download may fail without a byte gained;
// the pause before each try doubles from fetchPause.
const (
	fetchTries = 6
	fetchPause = 250 * time.Millisecond
)

// Fetch brings an image from url into the store, unless it is there. A cut
// download is resumed, also by a later call; it is checked by digest on
// arrival. However many ask for one digest, one download runs; it ends when
// the last of them gives up. Progress, which may be nil, is called from
// another goroutine with the bytes so far.
//
// The error is a *sprout.Failure: DigestMismatch where the bytes are not the
// image's (they are dropped), ImageUnavailable where they could not be had,
// CertificateExpired, DiskFull; or the context's.
func (s *Store) Fetch(ctx context.Context, client *http.Client, url string, header http.Header, img sprout.Image, progress func(done, total int64)) error {
	if _, err := parseDigest(img.Digest); err != nil {
		return err
	}
	if s.Has(img.Digest) {
		return nil
	}
	f := s.join(img.Digest, progress, func(ctx context.Context, f *flight) error {
		d := &download{store: s, client: client, url: url, header: header, img: img, progress: f.report}
		return d.run(ctx)
	})
	select {
	case <-f.done:
	case <-ctx.Done():
		s.leave(img.Digest, f)
		return ctx.Err()
	}
	return f.err
}

// A download is one fetch of one image, over as many requests as it takes.
type download struct {
	store    *Store
	client   *http.Client
	url      string
	header   http.Header
	img      sprout.Image
	progress func(done, total int64)

	file *os.File
	hash hash.Hash
	have int64
}

func (d *download) run(ctx context.Context) error {
	if d.store.Has(d.img.Digest) {
		return nil
	}
	if err := d.open(); err != nil {
		return fmt.Errorf("cannot fetch image %s: %w", d.img.Name, d.store.noRoom(err))
	}
	defer d.file.Close() //nolint:errcheck // publish has synced it
	if err := d.room(d.img.Bytes - d.have); err != nil {
		return err
	}
	for failed := 0; d.have < d.img.Bytes; {
		before := d.have
		err := d.request(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue
		}
		if failed++; d.have > before {
			failed = 1
		}
		if full := d.room(0); full != nil { // others fetch too
			return full
		}
		if expired(err) {
			return sprout.Fail(sprout.CertificateExpired, fmt.Sprintf("cannot fetch image %s: the certificate of who has it has run out, or this host's clock is wrong", d.img.Name), err.Error())
		}
		if failed == fetchTries || errors.Is(err, errRefused) {
			return sprout.Fail(sprout.ImageUnavailable, fmt.Sprintf("cannot fetch image %s: %v", d.img.Name, err),
				fmt.Sprintf("%s: %d of %d bytes had", d.url, d.have, d.img.Bytes))
		}
		if err := sprout.Pause(ctx, fetchPause<<(failed-1)); err != nil {
			return err
		}
	}
	return d.finish()
}

// open takes up what an earlier download left, and hashes it.
func (d *download) open() (err error) {
	d.file, err = os.OpenFile(d.store.partial(d.img.Digest), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	d.hash = sha256.New()
	d.have, err = io.Copy(d.hash, d.file)
	if err == nil && d.have > d.img.Bytes {
		err = d.restart()
	}
	return err
}

func (d *download) restart() error {
	d.hash.Reset()
	d.have = 0
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

var errRefused = errors.New("refused")

// expired tells that a certificate has run out: that heals when it is renewed.
func expired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

func (d *download) request(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	for k, v := range d.header {
		req.Header[k] = v
	}
	if d.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch from, _ := contentRange(resp.Header.Get("Content-Range")); {
	case resp.StatusCode == http.StatusPartialContent && d.have > 0 && from == d.have:
	case resp.StatusCode == http.StatusPartialContent:
		return errors.Join(errors.New("the server's ranges do not fit what is had"), d.restart())
	case resp.StatusCode == http.StatusOK:
		if err := d.restart(); err != nil {
			return err
		}
	case resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests:
		return fmt.Errorf("%w: the server says %s", errRefused, resp.Status)
	default:
		return fmt.Errorf("the server says %s", resp.Status)
	}
	return d.receive(resp.Body)
}

// receive takes at most one byte more than the image has: enough to tell that
// the server sends something else.
func (d *download) receive(body io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if _, werr := d.file.Write(buf[:n]); werr != nil {
			return fmt.Errorf("%w: %w", errRefused, werr)
		}
		d.hash.Write(buf[:n])
		d.have += int64(n)
		d.progress(d.have, d.img.Bytes)
		switch {
		case d.have > d.img.Bytes:
			return nil
		case errors.Is(err, io.EOF) && d.have < d.img.Bytes:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (d *download) finish() error {
	if found := digestOf(d.hash); found != d.img.Digest || d.have != d.img.Bytes {
		_ = os.Remove(d.file.Name())
		return sprout.Fail(sprout.DigestMismatch, "the bytes of image "+d.img.Name+" do not match its digest",
			fmt.Sprintf("%s: expected %s over %d bytes, found %s over %d", d.url, d.img.Digest, d.img.Bytes, found, d.have))
	}
	return d.store.publish(d.file, d.img.Digest)
}
