package ramdisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"sprout"
)

// errContent marks what is wrong with the image itself.
var errContent = errors.New("the image is not what it should be")

// A writer performs one order to write.
type writer struct {
	client   *Client
	disks    []sprout.Disk
	dev      string // where device files are
	order    sprout.Write
	progress *progress
	log      *slog.Logger
}

// write puts the image and its config drive on the disk that the rule names.
// The order of its steps is what makes a disk that was not finished (power cut,
// wrong bytes) one that does not boot: the block with the partition table is
// zeroed first and written last, after every digest matched.
func (w *writer) write(ctx context.Context) (*sprout.Written, error) {
	img := w.order.Image
	volume, err := ConfigVolume(w.order.ConfigDrive)
	if err != nil {
		return nil, err
	}
	disk, why, failure := w.order.Disk.Choose(w.disks, img.RawBytes+int64(len(volume))+2*tableSlack)
	if failure != nil {
		return nil, failure
	}
	if failure := w.order.Unnamed([]sprout.Disk{disk}); failure != nil {
		return nil, failure
	}
	w.log.Info("writing image", "image", img.Name, "disk", disk.Name, "why", why, "bytes", img.RawBytes)
	b, err := openDisk(w.dev, disk)
	if err != nil {
		return nil, sprout.Fail(sprout.DiskFailed, "disk "+disk.Name+" cannot be opened", err.Error())
	}
	defer b.Close() //nolint:errcheck // what was written is flushed, and read back
	if n := b.sectorBytes(); n != 512 {
		return nil, sprout.Fail(sprout.NoDiskMatches, fmt.Sprintf("disk %s has sectors of %d bytes, and images have partition tables for 512", disk.Name, n), "")
	}
	src := newSource(ctx, w.client, "the image", w.order.URL, img.Bytes, w.log)
	src.waits = w.progress.wait
	defer src.Close()
	if err := src.await(); err != nil {
		return nil, err // the disk is as it was
	}
	began := time.Now()
	p := &pipeline{disk: b, progress: func(done int64) { w.progress.set(done, img.RawBytes, "B") }}
	if err := w.stream(ctx, src, b, p); err != nil {
		w.wipe(b)
		return nil, err
	}
	streamed := time.Now()
	if err := w.finish(ctx, b, p, volume); err != nil {
		w.wipe(b)
		return nil, err
	}
	w.log.Info("image is written and verified", "disk", disk.Name, "digest", p.digest,
		"writing", streamed.Sub(began).Round(time.Millisecond), "verifying", time.Since(streamed).Round(time.Millisecond))
	return &sprout.Written{Disk: disk, RawDigest: p.digest, RawBytes: p.bytes, Verified: true, Seconds: time.Since(began).Seconds()}, nil
}

// stream writes the image, all but its first block, and checks its digests.
func (w *writer) stream(ctx context.Context, src *source, b *block, p *pipeline) error {
	if err := w.blank(b); err != nil {
		return sprout.Fail(sprout.DiskFailed, "the disk cannot be written", err.Error())
	}
	img := w.order.Image
	raw, err := decompress(src, img.Compression)
	if err == nil {
		err = p.run(ctx, raw, img.RawBytes)
		raw.Close()
	}
	if err = w.judge(ctx, src, err); err != nil {
		return err
	}
	return w.compare(src, p)
}

// judge turns an error of the pipeline into a failure.
func (w *writer) judge(ctx context.Context, src *source, err error) error {
	var failure *sprout.Failure
	var disk *errDisk
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failure):
		return failure
	case errors.As(err, &disk):
		return sprout.Fail(sprout.DiskFailed, "the disk cannot be written", disk.Error())
	}
	// The bytes do not decode, or are too many: say what they were instead.
	if _, rest := io.Copy(io.Discard, src); rest != nil {
		return asFailure(rest)
	}
	return w.mismatch(fmt.Sprintf("%v; stored bytes: expected %s, found %s", err, w.order.Image.Digest, src.digest()))
}

func (w *writer) compare(src *source, p *pipeline) error {
	img := w.order.Image
	if _, err := io.Copy(io.Discard, src); err != nil {
		return asFailure(err)
	}
	if found := src.digest(); found != img.Digest {
		return w.mismatch(fmt.Sprintf("stored bytes: expected %s, found %s", img.Digest, found))
	}
	if p.digest != img.RawDigest || p.bytes != img.RawBytes {
		return w.mismatch(fmt.Sprintf("disk image: expected %s over %d bytes, found %s over %d", img.RawDigest, img.RawBytes, p.digest, p.bytes))
	}
	return nil
}

func (w *writer) mismatch(evidence string) error {
	return sprout.Fail(sprout.DigestMismatch, "the bytes of image "+w.order.Image.Name+" do not match its digest; the disk was made unbootable", evidence)
}

// finish reads back what was written, adds the config drive and, last, writes
// the first block with the partition table made to fit the disk.
func (w *writer) finish(ctx context.Context, b *block, p *pipeline, volume []byte) error {
	if err := b.flush(); err != nil {
		return sprout.Fail(sprout.DiskFailed, "the disk cannot be written", err.Error())
	}
	if f := p.verify(ctx); f != nil {
		return f
	}
	t, err := ReadTable(p.first, p.bytes)
	if err != nil {
		return sprout.Fail(sprout.InternalFailure, "the image's partition table cannot be extended: "+err.Error(), "")
	}
	at, err := t.Fit(b.bytes, int64(len(volume)))
	if err != nil {
		return sprout.Fail(sprout.DiskTooSmall, err.Error(), "")
	}
	head, tail := t.Bytes(p.first)
	for _, part := range []struct {
		off  int64
		data []byte
	}{
		{at, volume},
		{b.bytes - int64(len(tail)), tail},
		{0, head},
	} {
		if err := putVerified(b, part.data, part.off); err != nil {
			return err
		}
	}
	if err := b.reread(); err != nil {
		w.log.Warn("the kernel did not read the new partition table", "error", err)
	}
	return nil
}

// blank makes the disk unbootable, and clears what RAID, LVM and old partition
// tables keep at its ends.
func (w *writer) blank(b *block) error {
	n := min(int64(blockBytes), b.bytes)
	if err := b.zero(0, n); err != nil {
		return err
	}
	if err := b.zero((b.bytes-n)&^4095, n&^4095); err != nil {
		return err
	}
	return b.f.Sync()
}

func (w *writer) wipe(b *block) {
	if err := w.blank(b); err != nil {
		w.log.Error("cannot make the disk unbootable", "error", err)
	}
}
