package image

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"sprout"
)

// importQcow2 stores a qcow2 as the raw image within it, compressed. The
// digest that is expected is then that of the qcow2, so it is checked here.
func (s *Store) importQcow2(ctx context.Context, r io.Reader, opts ImportOptions) (sprout.Image, error) {
	dir, err := os.MkdirTemp(filepath.Join(s.dir, "partial"), "qcow2-*")
	if err != nil {
		return sprout.Image{}, fmt.Errorf("cannot import image: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is only room
	hold, err := os.Open(dir)
	if err != nil {
		return sprout.Image{}, fmt.Errorf("cannot import image: %w", err)
	}
	defer hold.Close()                     //nolint:errcheck // only locked
	if err := lockFile(hold); err != nil { // nobody prunes it, however long it stalls
		return sprout.Image{}, fmt.Errorf("cannot import image: %w", err)
	}
	source, raw := filepath.Join(dir, "source"), filepath.Join(dir, "raw")
	found, n, err := save(source, r)
	if err != nil {
		return sprout.Image{}, fmt.Errorf("cannot import image: %w", err)
	}
	if opts.Expect != "" && opts.Expect != found {
		return sprout.Image{}, sprout.InvalidField("digest", "cannot import image: expected %s, found %s over %d bytes", opts.Expect, found, n)
	}
	if err := checkQcow2File(source, cmp.Or(opts.MostRaw, MostRaw)); err != nil {
		return sprout.Image{}, err
	}
	cmd := exec.CommandContext(ctx, "qemu-img", "convert", "-O", "raw", "--image-opts",
		"driver=qcow2,file.driver=file,file.filename="+strings.ReplaceAll(source, ",", ",,"), raw)
	if out, err := cmd.CombinedOutput(); err != nil {
		return sprout.Image{}, sprout.Errorf(sprout.Invalid, "cannot import image: qemu-img: %s: %w", strings.TrimSpace(string(out)), err)
	}
	opts.Expect = ""
	return s.importCompressed(ctx, raw, opts)
}

func checkQcow2File(name string, most int64) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot import image: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	return checkQcow2(f, most)
}

func save(name string, r io.Reader) (digest string, n int64, err error) {
	f, err := os.Create(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() //nolint:errcheck // after a failure; else closed and checked below
	m := newMeter(r, f)
	if _, err := io.Copy(io.Discard, m); err != nil {
		return "", m.n, err
	}
	return digestOf(m.hash), m.n, f.Close()
}

func (s *Store) importCompressed(ctx context.Context, name string, opts ImportOptions) (sprout.Image, error) {
	f, err := os.Open(name)
	if err != nil {
		return sprout.Image{}, fmt.Errorf("cannot import image: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pw.CloseWithError(compress(pw, f))
	}()
	img, err := s.Import(ctx, pr, opts)
	_ = pr.Close()
	<-done
	return img, err
}

func compress(w io.Writer, r io.Reader) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, r); err != nil {
		return err
	}
	return z.Close()
}
