package ramdisk

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"sprout"
)

const (
	// eraseSpan is how much is erased between two looks at the context.
	eraseSpan = 256 << 20
	// eraseLook is how often a disk that erases itself is asked how far it is.
	eraseLook = 2 * time.Second
	// eraseSlack is how many times longer than it says a disk may take.
	eraseSlack = 3
	// eraseLeast is how long it may take at least: 4 h.
	eraseLeast = 4 * time.Hour
)

// An eraser performs one order to erase.
type eraser struct {
	order    sprout.Erase
	dev      string // where device files are
	open     func(*os.File) controller
	look     time.Duration // how often a disk that erases itself is asked how far it is; 0: eraseLook
	progress *progress
	log      *slog.Logger
}

// erase empties the disks, and returns the proofs of those that are empty also
// when it fails. A disk that cannot be erased does not keep the others from it.
func (e *eraser) erase(ctx context.Context, disks []sprout.Disk) ([]sprout.Erased, error) {
	chosen, err := chooseErase(disks, e.order.Disks)
	if err != nil {
		return nil, err
	}
	var total, before int64
	for _, d := range chosen {
		total += d.Bytes
	}
	proofs := []sprout.Erased{}
	var left, why []string
	for _, d := range chosen {
		proof, err := e.disk(ctx, d, func(done int64) { e.progress.set(before+done, total, "B") })
		if ctx.Err() != nil {
			return proofs, ctx.Err()
		}
		before += d.Bytes
		if err != nil {
			e.log.Error("disk is not erased", "disk", d.Name, "why", err)
			left, why = append(left, d.Name), append(why, fmt.Sprintf("%s (serial %q): %v", d.Name, d.Serial, err))
			continue
		}
		e.log.Info("disk is erased", "disk", d.Name, "method", proof.Method, "readBack", proof.Verified)
		proofs = append(proofs, proof)
	}
	if len(left) > 0 {
		return proofs, sprout.Fail(sprout.EraseFailed, strings.Join(left, ", ")+" could not be erased", strings.Join(why, "\n"))
	}
	return proofs, nil
}

// chooseErase returns the disks that any of the rules matches; without rules, all
// that are not removable. A rule that matches none is a failure.
func chooseErase(disks []sprout.Disk, rules []sprout.DiskRule) (chosen []sprout.Disk, err error) {
	for _, d := range disks {
		if !d.Removable && (len(rules) == 0 || slices.ContainsFunc(rules, func(r sprout.DiskRule) bool { return r.Mismatch(d) == "" })) {
			chosen = append(chosen, d)
		}
	}
	for _, r := range rules {
		if !slices.ContainsFunc(disks, func(d sprout.Disk) bool { return r.Mismatch(d) == "" }) {
			return nil, sprout.Fail(sprout.NoDiskMatches, "no disk matches the rule "+r.String(), sprout.DescribeDisks(disks))
		}
	}
	return chosen, nil
}

// disk tries the methods of the disk's plan until what is read back proves that
// it is empty.
func (e *eraser) disk(ctx context.Context, d sprout.Disk, progress func(int64)) (sprout.Erased, error) {
	began := time.Now()
	plan := sprout.PlanErase(d, e.order.Method)
	if plan.Refused != "" {
		return sprout.Erased{}, errors.New(plan.Refused)
	}
	b, err := openDisk(e.dev, d)
	if err != nil {
		return sprout.Erased{}, fmt.Errorf("cannot be opened: %w", err)
	}
	defer b.Close() //nolint:errcheck // what was written is flushed, and read back
	tried := plan.Passed
	for _, m := range plan.Methods {
		e.log.Info("erasing", "disk", d.Name, "method", m, "takesAbout", plan.Takes.Round(time.Second))
		e.progress.wait("")
		verified, err := e.try(ctx, b, m, d, progress)
		e.progress.wait("")
		if ctx.Err() != nil {
			return sprout.Erased{}, ctx.Err()
		}
		if err == nil {
			_ = b.reread()
			return sprout.Erased{Disk: d, Method: m, Verified: verified, Seconds: time.Since(began).Seconds()}, nil
		}
		e.log.Info("erasing did not do", "disk", d.Name, "method", m, "why", err)
		tried = append(tried, string(m)+": "+err.Error())
	}
	return sprout.Erased{}, errors.New(strings.Join(tried, "; "))
}

// try erases by one method and reads back. Erasing and reading each count half.
func (e *eraser) try(ctx context.Context, b *block, m sprout.EraseMethod, d sprout.Disk, progress func(int64)) (int64, error) {
	of1 := func(done float64) { progress(int64(done * float64(b.bytes) / 2)) }
	look := cmp.Or(e.look, eraseLook)
	limit := max(eraseLeast, eraseSlack*sprout.PlanErase(d, m).Takes)
	fill := []byte{0}
	var err error
	switch m {
	case sprout.EraseSanitize:
		fill, err = blanks, sanitize(ctx, e.open(b.f), look, of1)
	case sprout.EraseFormat:
		fill, err = blanks, format(ctx, e.open(b.f), look, limit, of1)
	case sprout.EraseATA:
		e.progress.wait(fmt.Sprintf("%s to erase itself, of which it tells nothing; it says that takes %s", d.Name, time.Duration(d.Erase.SecuritySeconds)*time.Second))
		err = ataErase(e.open(b.f), limit)
	case sprout.EraseSecureDiscard:
		fill, err = blanks, spans(ctx, b.bytes, eraseSpan, b.secureDiscard, progress)
	case sprout.EraseDiscard:
		err = spans(ctx, b.bytes, eraseSpan, b.discard, progress)
	case sprout.EraseZeroes:
		err = spans(ctx, b.bytes, eraseSpan, b.zero, progress)
	default:
		err = spans(ctx, b.bytes, 16<<20, b.overwrite, progress)
	}
	if err != nil {
		return 0, err
	}
	if err := b.flush(); err != nil {
		return 0, err
	}
	return empty(ctx, b, fill, progress)
}

// spans erases span by span.
func spans(ctx context.Context, size, span int64, do func(off, n int64) error, progress func(int64)) error {
	for off := int64(0); off < size; off += span {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n := min(span, size-off)
		if err := do(off, n); err != nil {
			return fmt.Errorf("at %d: %w", off, err)
		}
		progress((off + n) / 2)
	}
	return nil
}

// blanks are what flash reads as that was erased but not written: what it is,
// specifications leave to the disk.
var blanks = []byte{0x00, 0xff}

// empty reads the disk back, all of it or at many places, its ends among them,
// and returns how much was read. A block that is not filled with one of the bytes
// is an error.
func empty(ctx context.Context, b *block, fill []byte, progress func(int64)) (int64, error) {
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
		if !filled(buf[:n], fill) {
			return verified, fmt.Errorf("data is left between %d and %d", off, off+n)
		}
		verified += n
		progress(b.bytes/2 + (off+n)/2)
	}
	return verified, nil
}

// filled tells whether a block is one of the bytes, over and over.
func filled(p, fill []byte) bool {
	return len(p) == 0 || bytes.IndexByte(fill, p[0]) >= 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// places lists where a disk is read back, in blocks.
func places(size int64) []int64 {
	step := int64(blockBytes)
	if size > sprout.EraseWholeUpTo {
		step = (size / sprout.EraseSamples) &^ (blockBytes - 1)
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
