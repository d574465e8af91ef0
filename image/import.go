package image

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"sprout"
)

// ImportOptions say what is known of an image before it is read.
type ImportOptions struct {
	Name         string
	Architecture sprout.Architecture // default amd64
	BootModes    []sprout.BootMode   // default BIOS and UEFI
	Expect       string              // the digest that the stored bytes must have; empty: any
}

// Import reads an image to its end, stores it by its digest and returns what it
// is, with a fresh id. Compression is told by the first bytes; digests and
// sizes of the stored bytes and of the disk image within are computed in the
// same pass. A qcow2 is converted to a zstd-compressed raw image by qemu-img.
// What is not whole, not a disk image or not as expected gives an Invalid error,
// a full disk an Unavailable one; nothing is left behind then.
func (s *Store) Import(ctx context.Context, r io.Reader, opts ImportOptions) (sprout.Image, error) {
	img, err := s.take(ctx, r, opts)
	return img, s.noRoom(err)
}

func (s *Store) take(ctx context.Context, r io.Reader, opts ImportOptions) (sprout.Image, error) {
	if opts.Expect != "" {
		if _, err := parseDigest(opts.Expect); err != nil {
			return sprout.Image{}, err
		}
	}
	f, err := os.CreateTemp(filepath.Join(s.dir, "partial"), "import-*")
	if err != nil {
		return sprout.Image{}, fmt.Errorf("cannot import image: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // fails once published, as it should
	defer f.Close()           //nolint:errcheck // publish has synced it

	in := bufio.NewReaderSize(&contextReader{ctx, r}, 1<<20)
	img := sprout.Image{
		Name: opts.Name, Compression: detect(in),
		Architecture: opts.Architecture, BootModes: opts.BootModes,
	}
	if img.Compression == qcow2 {
		return s.importQcow2(ctx, in, opts)
	}
	stored := newMeter(in, f)
	raw := sha256.New()
	img.RawBytes, err = copyRaw(raw, stored, img.Compression)
	if err != nil {
		if ctx.Err() != nil {
			return sprout.Image{}, fmt.Errorf("cannot import image: %w", ctx.Err())
		}
		return sprout.Image{}, sprout.Errorf(sprout.Invalid, "cannot import image: its %s stream is damaged or ends early, after %d bytes: %w", img.Compression, stored.n, err)
	}
	img.Bytes, img.Digest, img.RawDigest = stored.n, digestOf(stored.hash), digestOf(raw)
	if err := check(img, opts.Expect); err != nil {
		return sprout.Image{}, err
	}
	if err := s.publish(f, img.Digest); err != nil {
		return sprout.Image{}, err
	}
	return named(img), nil
}

// copyRaw decompresses r, to its very end, into w.
func copyRaw(w io.Writer, r io.Reader, compression string) (int64, error) {
	raw, err := Decompress(r, compression)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	n, err := io.Copy(w, raw)
	if err != nil {
		return n, err
	}
	rest, err := io.Copy(io.Discard, r)
	if err == nil && rest > 0 {
		err = fmt.Errorf("%d bytes follow it", rest)
	}
	return n, err
}

func check(img sprout.Image, expect string) error {
	switch {
	case expect != "" && expect != img.Digest:
		return sprout.InvalidField("digest", "cannot import image: expected %s, found %s over %d bytes", expect, img.Digest, img.Bytes)
	case img.RawBytes == 0:
		return sprout.Errorf(sprout.Invalid, "cannot import image: it is empty")
	case img.RawBytes%512 != 0:
		return sprout.Errorf(sprout.Invalid, "cannot import image: %d bytes are no disk image: not a multiple of 512, or cut off", img.RawBytes)
	}
	return nil
}

func named(img sprout.Image) sprout.Image {
	img.ID = sprout.NewID[sprout.ImageID](sprout.PrefixImage)
	img.CreatedAt = time.Now().UTC()
	if img.Architecture == "" {
		img.Architecture = sprout.AMD64
	}
	if len(img.BootModes) == 0 {
		img.BootModes = []sprout.BootMode{sprout.BIOS, sprout.UEFI}
	}
	return img
}

// A meter copies what is read of r to w, and hashes and counts it.
type meter struct {
	r    io.Reader
	w    io.Writer
	hash hash.Hash
	n    int64
}

func newMeter(r io.Reader, w io.Writer) *meter { return &meter{r: r, w: w, hash: sha256.New()} }

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.hash.Write(p[:n])
	if _, werr := m.w.Write(p[:n]); werr != nil && (err == nil || errors.Is(err, io.EOF)) {
		err = werr
	}
	return n, err
}

func digestOf(h hash.Hash) string { return fmt.Sprintf("sha256:%x", h.Sum(nil)) }

// A contextReader ends with the context's error once the context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
