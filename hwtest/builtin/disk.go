package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sprout"
	"sprout/hwtest"
)

const (
	diskFor    = 2 * time.Second
	diskPlaces = 8
	diskBlock  = 1 << 20
)

// testDisk reads the device at evenly spread places, its ends among them.
func testDisk(ctx context.Context, d hwtest.Device) ([]sprout.Metric, error) {
	return readDisk(ctx, "/dev/"+d.Name)
}

func readDisk(ctx context.Context, name string) ([]sprout.Metric, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) { // a file system without O_DIRECT
		f, err = os.Open(name)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open disk: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("cannot tell the size of %s: %w", name, err)
	}
	if size < diskBlock {
		return nil, &hwtest.SkipError{Reason: fmt.Sprintf("it has only %d bytes", size)}
	}
	buf, err := unix.Mmap(-1, 0, diskBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("cannot get memory: %w", err)
	}
	defer func() { _ = unix.Munmap(buf) }()
	r := &diskReading{f: f, buf: buf, size: size}
	for place := range int64(diskPlaces) {
		start := (size - diskBlock) / (diskPlaces - 1) * place &^ 4095
		if err := r.run(ctx, start, diskFor/diskPlaces); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return []sprout.Metric{
		{Name: "throughput", Value: megabytes(r.read, r.took.Seconds()), Unit: "MB/s"},
		{Name: "slowest-read", Value: round(r.slowest.Seconds() * 1000), Unit: "ms"},
		{Name: "read", Value: round(float64(r.read) / 1e6), Unit: "MB"},
	}, nil
}

type diskReading struct {
	f             *os.File
	buf           []byte
	size, read    int64
	took, slowest time.Duration
}

// run reads on from start for a while, at least one block.
func (r *diskReading) run(ctx context.Context, start int64, d time.Duration) error {
	began := time.Now()
	for off := start; off+diskBlock <= r.size; off += diskBlock {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := time.Now()
		n, err := r.f.ReadAt(r.buf, off)
		if err != nil {
			return fmt.Errorf("cannot read %d bytes at %d: %w", diskBlock, off, err)
		}
		one := time.Since(at)
		r.read += int64(n)
		r.took += one
		r.slowest = max(r.slowest, one)
		if time.Since(began) >= d {
			break
		}
	}
	return nil
}
