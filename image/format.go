package image

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"sprout"
)

// The compressions of an image as stored.
const (
	None = "none"
	Gzip = "gzip"
	XZ   = "xz"
	Zstd = "zstd"
)

// formats lists what the first bytes of a stored image say of it. Sources:
// RFC 1952 section 2.3.1, RFC 8878 section 3.1.1, the .xz file format 1.0.4
// section 2.1.1.1 and QEMU's docs/interop/qcow2.
var formats = []struct {
	magic       string
	compression string
}{
	{"\x1f\x8b", Gzip},
	{"\xfd7zXZ\x00", XZ},
	{"\x28\xb5\x2f\xfd", Zstd},
	{"QFI\xfb", qcow2},
}

const qcow2 = "qcow2"

// maxWindow bounds the memory that one zstd or xz stream may ask for, in bytes.
const maxWindow = 128 << 20

func detect(r *bufio.Reader) string {
	head, _ := r.Peek(8)
	for _, f := range formats {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.compression
		}
	}
	return None
}

// Decompress returns the disk image within r, which is compressed as said
// (none, gzip, xz or zstd). It decodes zstd on two processors and within
// bounded memory. Close frees what it holds and does not close r.
func Decompress(r io.Reader, compression string) (io.ReadCloser, error) {
	switch compression {
	case None, "":
		return io.NopCloser(r), nil
	case Gzip:
		return gzip.NewReader(r)
	case XZ:
		x, err := newXZ(r)
		return io.NopCloser(x), err
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("cannot read zstd: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return nil, sprout.InvalidField("compression", "%q is not one of none, gzip, xz, zstd", compression)
}
