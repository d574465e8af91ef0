package ramdisk

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"sprout"
)

// putVerified writes data at off, whatever its alignment, and reads it back
// from the disk.
func putVerified(b *block, data []byte, off int64) error {
	start := off &^ 4095
	end := min((off+int64(len(data))+4095)&^4095, b.bytes)
	buf, err := mapped(int(end - start))
	if err != nil {
		return err
	}
	defer unmap(buf)
	failed := func(what string, err error) error {
		return sprout.Fail(sprout.DiskFailed, "the disk cannot be "+what, fmt.Sprintf("%d bytes at %d: %v", len(data), off, err))
	}
	if _, err := b.ReadAt(buf, start); err != nil {
		return failed("read", err)
	}
	copy(buf[off-start:], data)
	if _, err := b.WriteAt(buf, start); err != nil {
		return failed("written", err)
	}
	if err := b.flush(); err != nil {
		return failed("written", err)
	}
	clear(buf)
	if _, err := b.ReadAt(buf, start); err != nil {
		return failed("read", err)
	}
	if !bytes.Equal(buf[off-start:][:len(data)], data) {
		return sprout.Fail(sprout.VerifyFailed, "what was read back is not what was written", fmt.Sprintf("%d bytes at %d", len(data), off))
	}
	return nil
}

// decompress returns the disk image within the stored bytes. It is not package
// image's, which brings an HTTP server along: /init must be small.
func decompress(r io.Reader, compression string) (io.ReadCloser, error) {
	switch compression {
	case "none", "":
		return io.NopCloser(r), nil
	case "gzip":
		return gzip.NewReader(r)
	case "xz":
		x, err := xz.NewReader(r)
		return io.NopCloser(x), err
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("%w: compression %q is not known", errContent, compression)
}
