package ramdisk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"sprout"
)

// buffers is how many blocks are under way between decoder, hashes and disk.
const buffers = 6

// A chunk is one block of the image on its way to the disk.
type chunk struct {
	off  int64
	data []byte // a whole buffer; only the first n bytes are the image's
	n    int
	zero bool
}

// A pipeline writes a stream to a disk, all but its first block, which is kept:
// a disk without it does not boot. Decoding, hashing and writing run side by
// side, so memory is bounded by the buffers.
type pipeline struct {
	disk     *block
	progress func(done int64)

	first  []byte   // the first block
	sums   []uint64 // xxhash64 of each block
	digest string   // of all of it
	bytes  int64
}

// An errDisk is an error of the disk, not of the stream.
type errDisk struct{ err error }

func (e *errDisk) Error() string { return e.err.Error() }
func (e *errDisk) Unwrap() error { return e.err }

// run copies r, of at most limit bytes, to the disk.
func (p *pipeline) run(ctx context.Context, r io.Reader, limit int64) error {
	free := make(chan []byte, buffers)
	for range buffers {
		buf, err := mapped(blockBytes)
		if err != nil {
			return err
		}
		defer unmap(buf)
		free <- buf
	}
	read, hashed := make(chan chunk, 1), make(chan chunk, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { defer close(read); return p.read(ctx, r, limit, free, read) })
	g.Go(func() error { defer close(hashed); return p.hash(ctx, read, hashed) })
	g.Go(func() error { return p.write(ctx, hashed, free) })
	return g.Wait()
}

func (p *pipeline) read(ctx context.Context, r io.Reader, limit int64, free <-chan []byte, out chan<- chunk) error {
	for off := int64(0); ; off += blockBytes {
		var buf []byte
		select {
		case buf = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		n, err := io.ReadFull(r, buf)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if errors.Is(err, io.ErrUnexpectedEOF) && n == 0 {
			return err
		}
		p.bytes += int64(n)
		if p.bytes > limit {
			return fmt.Errorf("%w: it has more than %d bytes", errContent, limit)
		}
		if n == 0 {
			return nil
		}
		select {
		case out <- chunk{off: off, data: buf, n: n}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return nil
		}
	}
}

func (p *pipeline) hash(ctx context.Context, in <-chan chunk, out chan<- chunk) error {
	all := sha256.New()
	for c := range in {
		all.Write(c.data[:c.n])
		p.sums = append(p.sums, xxhash.Sum64(c.data[:c.n]))
		c.zero = bytes.Equal(c.data[:c.n], zeroes[:c.n])
		select {
		case out <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.digest = fmt.Sprintf("sha256:%x", all.Sum(nil))
	return nil
}

func (p *pipeline) write(ctx context.Context, in <-chan chunk, free chan<- []byte) error {
	for c := range in {
		if err := p.put(c); err != nil {
			return &errDisk{fmt.Errorf("cannot write %d bytes at %d: %w", c.n, c.off, err)}
		}
		p.progress(c.off + int64(c.n))
		free <- c.data // has room for every buffer
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (p *pipeline) put(c chunk) error {
	switch {
	case c.off == 0:
		p.first = bytes.Clone(c.data[:c.n])
		return p.disk.zero(0, blockBytes)
	case c.zero && c.n == blockBytes:
		return p.disk.zero(c.off, blockBytes)
	}
	clear(c.data[c.n:])
	_, err := p.disk.WriteAt(c.data[:padded(c.n)], c.off)
	return err
}

// padded rounds up to what O_DIRECT can write.
func padded(n int) int { return (n + 4095) &^ 4095 }

// verify reads back every block but the first and compares it with what was
// written.
func (p *pipeline) verify(ctx context.Context) *sprout.Failure {
	buf, err := mapped(blockBytes)
	if err != nil {
		return asFailure(err)
	}
	defer unmap(buf)
	for i := 1; i < len(p.sums); i++ {
		if ctx.Err() != nil {
			return asFailure(ctx.Err())
		}
		off := int64(i) * blockBytes
		n := int(min(blockBytes, p.bytes-off))
		if _, err := p.disk.ReadAt(buf[:padded(n)], off); err != nil {
			return sprout.Fail(sprout.DiskFailed, "what was written could not be read back", fmt.Sprintf("at byte %d: %v", off, err))
		}
		if got := xxhash.Sum64(buf[:n]); got != p.sums[i] {
			return sprout.Fail(sprout.VerifyFailed, "what was read back is not what was written",
				fmt.Sprintf("%d bytes at %d: xxhash64 expected %016x, found %016x", n, off, p.sums[i], got))
		}
	}
	return nil
}
