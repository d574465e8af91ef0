package ramdisk

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"sprout"
)

const (
	// wholeUpTo is the size of disk up to which an erasure is proved by reading
	// all of it; larger ones are sampled.
	wholeUpTo = 8 << 30
	// samples is at how many places, evenly spread, a larger disk is read.
	samples = 512
	// eraseSpan is how much is erased between two looks at the context.
	eraseSpan = 256 << 20
)

// An eraser performs one order to erase.
type eraser struct {
	rules    []sprout.DiskRule
	dev      string // where device files are
	progress *progress
	log      *slog.Logger
}

// erase empties the disks, and returns the proofs of those that are empty also
// when it fails.
func (e *eraser) erase(ctx context.Context, disks []sprout.Disk) ([]sprout.Erased, error) {
	chosen, err := chooseErase(disks, e.rules)
	if err != nil {
		return nil, err
	}
	var total, before int64
	for _, d := range chosen {
		total += d.Bytes
	}
	proofs := []sprout.Erased{}
	for _, d := range chosen {
		proof, err := e.disk(ctx, d, func(done int64) { e.progress.set(before+done, total, "B") })
		if err != nil {
			return proofs, err
		}
		e.log.Info("disk is erased", "disk", d.Name, "method", proof.Method, "readBack", proof.Verified)
		proofs = append(proofs, proof)
		before += d.Bytes
	}
	return proofs, nil
}

// chooseErase returns the writable disks that any of the rules matches; without
// rules, all of them. A rule that matches none is a failure.
func chooseErase(disks []sprout.Disk, rules []sprout.DiskRule) ([]sprout.Disk, error) {
	if len(rules) == 0 {
		rules = []sprout.DiskRule{{}}
	}
	var chosen []sprout.Disk
	picked := map[string]bool{}
	for _, rule := range rules {
		hit := false
		for _, d := range disks {
			if rule.Mismatch(d) != "" {
				continue
			}
			hit = true
			if !picked[d.Name] {
				picked[d.Name] = true
				chosen = append(chosen, d)
			}
		}
		if !hit && rule != (sprout.DiskRule{}) {
			return nil, sprout.Fail(sprout.NoDiskMatches, "no disk matches the rule "+rule.String(), sprout.DescribeDisks(disks))
		}
	}
	return chosen, nil
}

// disk tries each means, cheapest first, until the disk reads as empty. A
// discard counts only when it is seen to zero.
func (e *eraser) disk(ctx context.Context, d sprout.Disk, progress func(int64)) (sprout.Erased, error) {
	began := time.Now()
	b, err := openBlock(filepath.Join(e.dev, d.Name))
	if err != nil {
		return sprout.Erased{}, sprout.Fail(sprout.EraseFailed, "disk "+d.Name+" cannot be opened", err.Error())
	}
	defer b.Close() //nolint:errcheck // what was written is flushed, and read back
	var tried []string
	for _, m := range []struct {
		name string
		do   func(off, n int64) error
		span int64
	}{
		{"discard", b.discard, eraseSpan},
		{"zeroes", b.zero, eraseSpan},
		{"overwrite", b.overwrite, 16 << 20},
	} {
		verified, err := e.try(ctx, b, m.do, m.span, progress)
		if ctx.Err() != nil {
			return sprout.Erased{}, ctx.Err()
		}
		if err == nil {
			_ = b.reread()
			return sprout.Erased{Disk: d, Method: m.name, Verified: verified, Seconds: time.Since(began).Seconds()}, nil
		}
		e.log.Info("erasing by "+m.name+" did not do", "disk", d.Name, "why", err)
		tried = append(tried, m.name+": "+err.Error())
	}
	return sprout.Erased{}, sprout.Fail(sprout.EraseFailed, "disk "+d.Name+" could not be erased", strings.Join(tried, "; "))
}

// try erases, span by span, and reads back. Erasing and reading each count half.
func (e *eraser) try(ctx context.Context, b *block, do func(off, n int64) error, span int64, progress func(int64)) (int64, error) {
	for off := int64(0); off < b.bytes; off += span {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		n := min(span, b.bytes-off)
		if err := do(off, n); err != nil {
			return 0, fmt.Errorf("at %d: %w", off, err)
		}
		progress((off + n) / 2)
	}
	if err := b.flush(); err != nil {
		return 0, err
	}
	return e.empty(ctx, b, progress)
}

// empty reads the disk back, all of it or at many places, its ends among them,
// and returns how much was read. Anything but zeroes is an error.
func (e *eraser) empty(ctx context.Context, b *block, progress func(int64)) (int64, error) {
	buf, err := mapped(blockBytes)
	if err != nil {
		return 0, err
	}
	defer unmap(buf)
	var verified int64
	for _, off := range places(b.bytes) {
		if ctx.Err() != nil {
			return verified, ctx.Err()
		}
		n := min(blockBytes, b.bytes-off)
		if _, err := b.ReadAt(buf[:n], off); err != nil {
			return verified, fmt.Errorf("cannot read back %d bytes at %d: %w", n, off, err)
		}
		if !bytes.Equal(buf[:n], zeroes[:n]) {
			return verified, fmt.Errorf("data is left between %d and %d", off, off+n)
		}
		verified += n
		progress(b.bytes/2 + (off+n)/2)
	}
	return verified, nil
}

// places lists where a disk is read back, in blocks.
func places(size int64) []int64 {
	step := int64(blockBytes)
	if size > wholeUpTo {
		step = (size / samples) &^ (blockBytes - 1)
	}
	var at []int64
	for off := int64(0); off < size; off += step {
		at = append(at, off)
	}
	if last := max(0, size-blockBytes) &^ 4095; last > at[len(at)-1] {
		at = append(at, last)
	}
	return at
}
