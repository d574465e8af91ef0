package image

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sprout"
)

// ImportOptions say what is known of an image before it is read.
type ImportOptions struct {
	Name         string
	Architecture sprout.Architecture // empty: what its content says, else amd64
	BootModes    []sprout.BootMode   // empty: what its content says, else BIOS and UEFI
	Expect       string              // the digest that the stored bytes must have; empty: any
	MostRaw      int64               // bytes that it may have once decompressed; 0: MostRaw
}

// MostRaw is how many bytes an image may have once decompressed where nothing else is
// said: a file of a few kilobytes may unpack to any number, which would be read to
// their end here and at every site.
const MostRaw = 256_000_000_000

// tooLarge is what is said of an image that unpacks to so many bytes or more.
func tooLarge(found string, most int64) error {
	return sprout.Errorf(sprout.Invalid, "cannot import image: expected %d bytes at most once decompressed, found %s", most, found).
		WithRemedy("images.mostRaw in the control plane's configuration, if it is an image indeed")
}

// Import reads an image to its end, stores it by its digest and returns what it
// is, with a fresh id. Compression is told by the first bytes; digests and
// sizes of the stored bytes and of the disk image within are computed in the
// same pass. A qcow2 is converted to a zstd-compressed raw image by qemu-img.
// Whether it is a disk or a root file system is told by its content, as far as
// that can be is its architecture.
// What is not whole, neither of the two or not as expected gives an Invalid error,
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
	defer os.Remove(f.Name())           //nolint:errcheck // fails once published, as it should
	defer f.Close()                     //nolint:errcheck // publish has synced it
	if err := lockFile(f); err != nil { // nobody prunes it, however long it stalls
		return sprout.Image{}, fmt.Errorf("cannot import image: %w", err)
	}
	return s.keep(ctx, r, f, f, opts)
}

// keep imports r by way of f, which has r's bytes once they are read and written to w.
func (s *Store) keep(ctx context.Context, r io.Reader, w io.Writer, f *os.File, opts ImportOptions) (sprout.Image, error) {
	in := bufio.NewReaderSize(&contextReader{ctx, r}, 1<<20)
	img := sprout.Image{
		Name: opts.Name, Compression: detect(in), BootModes: opts.BootModes,
	}
	if img.Compression == qcow2 {
		return s.importQcow2(ctx, in, opts)
	}
	stored := newMeter(in, w)
	raw, err := readRaw(stored, img.Compression, cmp.Or(opts.MostRaw, MostRaw))
	if err != nil {
		if known := new(sprout.Error); errors.As(err, &known) {
			return sprout.Image{}, known
		}
		if ctx.Err() != nil {
			return sprout.Image{}, fmt.Errorf("cannot import image: %w", ctx.Err())
		}
		return sprout.Image{}, sprout.Errorf(sprout.Invalid, "cannot import image: its %s stream is damaged or ends early, after %d bytes: %w", img.Compression, stored.n, err)
	}
	img.Bytes, img.Digest = stored.n, digestOf(stored.hash)
	img.RawBytes, img.RawDigest, img.Kind = raw.n, digestOf(raw.hash), raw.found.kind
	if err := check(img, opts.Expect); err != nil {
		return sprout.Image{}, err
	}
	if err := raw.wrong; err != nil {
		return sprout.Image{}, sprout.Errorf(sprout.Invalid, "cannot import image: %w", err)
	}
	if img.Architecture, err = settle(opts.Architecture, raw.found); err != nil {
		return sprout.Image{}, err
	}
	if img.BootModes, err = settleModes(opts.BootModes, raw.found); err != nil {
		return sprout.Image{}, err
	}
	if err := s.publish(f, img.Digest); err != nil {
		return sprout.Image{}, err
	}
	return named(img), nil
}

// A rawContent is an image once decompressed.
type rawContent struct {
	*meter
	found content
	wrong error // with its content; its bytes are what they were
}

// readRaw decompresses r, to its very end, unless there are more than most bytes: then it
// ends there, with an Invalid error. Any other is of the stream.
func readRaw(r io.Reader, compression string, most int64) (out rawContent, err error) {
	raw, err := Decompress(r, compression)
	if err != nil {
		return out, err
	}
	defer raw.Close()
	out.meter = newMeter(&boundedReader{raw, most, most}, io.Discard)
	out.found, out.wrong = inspect(out.meter)
	if _, err := io.Copy(io.Discard, out.meter); err != nil { // what is wrong may be the stream
		return out, err
	}
	rest, err := io.Copy(io.Discard, r)
	if err == nil && rest > 0 {
		err = fmt.Errorf("%d bytes follow it", rest)
	}
	return out, err
}

// settle says which architecture an image has that is said to be of one, and what
// was found in it.
func settle(said sprout.Architecture, found content) (sprout.Architecture, error) {
	if said != "" && found.architecture != "" && said != found.architecture {
		return "", sprout.InvalidField("architecture", "cannot import image: expected one for %s, found one for %s, by %s", said, found.architecture, found.because).
			WithRemedy("--arch %s", found.architecture)
	}
	return cmp.Or(said, found.architecture, sprout.AMD64), nil
}

// settleModes says by which firmware an image starts that is said to by some.
func settleModes(said []sprout.BootMode, found content) ([]sprout.BootMode, error) {
	if len(said) == 0 {
		return found.modes, nil
	}
	for _, mode := range said {
		if len(found.modes) > 0 && !slices.Contains(found.modes, mode) {
			return nil, sprout.InvalidField("bootModes", "cannot import image: expected one that starts by %s, found one that starts by %s alone: it lacks %s", mode, found.modes[0], found.lacks).
				WithRemedy("--boot-mode %s", found.modes[0])
		}
	}
	return said, nil
}

func check(img sprout.Image, expect string) error {
	switch {
	case expect != "" && expect != img.Digest:
		return sprout.InvalidField("digest", "cannot import image: expected %s, found %s over %d bytes", expect, img.Digest, img.Bytes)
	case img.RawBytes == 0:
		return sprout.Errorf(sprout.Invalid, "cannot import image: it is empty")
	case img.Kind == sprout.DiskImage && img.RawBytes%512 != 0:
		return sprout.Errorf(sprout.Invalid, "cannot import image: %d bytes are no disk image: not a multiple of 512, or cut off", img.RawBytes)
	}
	return nil
}

func named(img sprout.Image) sprout.Image {
	img.ID = sprout.NewID[sprout.ImageID](sprout.PrefixImage)
	img.CreatedAt = time.Now().UTC()
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
	zero int   // of the last bytes, so many are zero: up to 512 are counted
	err  error // that ended it, unless it was the end
}

func newMeter(r io.Reader, w io.Writer) *meter { return &meter{r: r, w: w, hash: sha256.New()} }

func (m *meter) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.hash.Write(p[:n])
	m.countZeroes(p[:n])
	if _, werr := m.w.Write(p[:n]); werr != nil && (err == nil || errors.Is(err, io.EOF)) {
		err = werr
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

func (m *meter) countZeroes(p []byte) {
	tail := p[max(0, len(p)-512):]
	if rest := len(bytes.TrimRight(tail, "\x00")); rest > 0 {
		m.zero = len(tail) - rest
	} else {
		m.zero = min(m.zero+len(tail), 512)
	}
}

// endsInZeroes tells whether what was read ends with a block of zeroes, as a tar does.
func (m *meter) endsInZeroes() bool { return m.zero == 512 }

// A boundedReader ends with an Invalid error where there is more than it may read.
type boundedReader struct {
	r          io.Reader
	left, most int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLarge("more", b.most)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n - 1, tooLarge("more", b.most)
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
