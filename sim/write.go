package sim

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"sprout"
	"sprout/ramdisk"
)

const (
	writeChunk    = 64 << 10
	progressEvery = 200 * time.Millisecond
	fetchTries    = 40 // at pauses of up to 1 s: an agent may be restarted meanwhile
)

// write downloads the image and "writes" it: every byte is decompressed and
// hashed as the real ramdisk does, then dropped. What stays on the disk is what
// the installed system needs to know.
func (r *ram) write(ctx context.Context, o sprout.Order) (*sprout.Written, error) {
	w, m := o.Write, r.machine
	if w == nil {
		return nil, errors.New("the order to write says not what")
	}
	disks, err := m.chooseFor(*w)
	if err != nil {
		return nil, err
	}
	stored := sha256.New()
	body := &download{ctx: ctx, ram: r, order: o.ID, url: w.URL, size: w.Image.Bytes}
	defer body.Close() //nolint:errcheck // only read
	if err := body.await(); err != nil {
		return nil, errors.Join(ctx.Err(), sprout.Fail(sprout.ImageUnavailable, "the image cannot be fetched from the agent", err.Error()))
	}
	for _, d := range disks {
		m.put(d.Name, nil)
	}
	began := time.Now()
	plain, err := decompress(w.Image.Compression, io.TeeReader(body, stored))
	if err != nil {
		return nil, mismatch(w.Image, err.Error())
	}
	defer plain.Close()
	raw, n, err := r.copyToDisk(ctx, o, plain)
	switch {
	case ctx.Err() != nil || endsBoot(err):
		return nil, err
	case body.failed != nil:
		return nil, sprout.Fail(sprout.ImageUnavailable, "the image cannot be fetched from the agent", body.failed.Error())
	case err != nil:
		return nil, mismatch(w.Image, err.Error())
	}
	// The digest is over the whole file, also over what follows the last frame.
	if _, err := io.Copy(stored, body); err != nil {
		return nil, sprout.Fail(sprout.ImageUnavailable, "the image cannot be fetched from the agent", err.Error())
	}
	if got := digest(stored); got != w.Image.Digest || n != w.Image.RawBytes || digest(raw) != w.Image.RawDigest {
		return nil, mismatch(w.Image, fmt.Sprintf("stored %s, written %s, %d bytes", got, digest(raw), n))
	}
	written := &sprout.Written{Disk: disks[0], RawDigest: digest(raw), RawBytes: n, Verified: true, Seconds: time.Since(began).Seconds()}
	if w.Layout != nil {
		written.Disks = disks
	}
	for _, d := range disks {
		m.put(d.Name, &System{Image: w.Image.Name, RawDigest: digest(raw), RawBytes: n, Drive: w.ConfigDrive, Hostname: w.Hostname})
	}
	return written, nil
}

func mismatch(img sprout.Image, evidence string) error {
	return sprout.Fail(sprout.DigestMismatch, "the bytes of image "+img.Name+" are not those of its digest", "wanted "+img.Digest+"; "+evidence)
}

func digest(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// copyToDisk takes the image as the disk does, with its faults and its pace,
// and reports progress.
func (r *ram) copyToDisk(ctx context.Context, o sprout.Order, from io.Reader) (hash.Hash, int64, error) {
	m, total := r.machine, max(o.Write.Image.RawBytes, 1)
	raw, buf := sha256.New(), make([]byte, writeChunk)
	var n int64
	began, reported := time.Now(), time.Now()
	for {
		k, err := io.ReadFull(from, buf)
		_, _ = raw.Write(buf[:k])
		n += int64(k)
		if trouble := m.trouble(ctx, StepWrite, int(n*100/total)); trouble != nil {
			return raw, n, trouble
		}
		if rate := m.pace.WriteRate; rate > 0 {
			due := began.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
			if err := sprout.Pause(ctx, time.Until(due)); err != nil {
				return raw, n, err
			}
		}
		if time.Since(reported) > progressEvery {
			reported = time.Now()
			r.client.TryReport(ctx, sprout.Report{Order: o.ID, Outcome: "progress", Progress: &sprout.Progress{
				Done: n, Total: total, Unit: "B", PerSec: float64(n) / time.Since(began).Seconds(),
			}})
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && k > 0 {
			return raw, n, nil
		}
		if err != nil {
			return raw, n, err
		}
	}
}

// decompress returns the disk image in a stored file.
func decompress(compression string, from io.Reader) (io.ReadCloser, error) {
	switch compression {
	case "", "none":
		return io.NopCloser(from), nil
	case "gzip":
		return gzip.NewReader(from)
	case "xz":
		r, err := xz.NewReader(from)
		return io.NopCloser(r), err
	case "zstd":
		r, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return r.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("no compression is called %q", compression)
}

// A download reads the image from the agent and goes on where it was when the
// connection breaks.
type download struct {
	ctx       context.Context // a reader has no other place for it
	ram       *ram
	order     string
	url       string
	size      int64
	at        int64
	body      io.ReadCloser
	tries     int
	corrupted bool
	waits     string // what it waits for
	failed    error  // why it was given up
}

// await waits until the bytes come, as the real ramdisk does before it touches
// the disk.
func (d *download) await() error {
	for d.body == nil && d.at < d.size {
		if err := d.open(); err != nil {
			if err := d.again(err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *download) Read(p []byte) (int, error) {
	for {
		if d.at >= d.size || d.ram.machine.truncates(d.at, d.size) {
			return 0, io.EOF
		}
		n, err := d.readOnce(p)
		if n > 0 {
			d.tries = 0
			d.corrupt(p[:n])
			d.at += int64(n)
			return n, nil
		}
		if err = d.again(err); err != nil {
			return 0, err
		}
	}
}

// again waits before the next try, or gives up.
func (d *download) again(err error) error {
	_ = d.Close()
	d.tries++
	if ramdisk.Refused(err) || d.tries > fetchTries && d.waits == "" {
		d.failed = err
		return err
	}
	return sprout.Pause(d.ctx, min(time.Duration(d.tries)*50*time.Millisecond, time.Second))
}

func (d *download) readOnce(p []byte) (int, error) {
	if d.body == nil {
		if err := d.open(); err != nil {
			return 0, err
		}
	}
	n, err := d.body.Read(p)
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	return n, err
}

func (d *download) open() error {
	resp, err := d.ram.client.Image(d.ctx, d.url, d.at, d.told) //nolint:bodyclose // Close does it
	if err != nil {
		return err
	}
	d.body = resp.Body
	if d.waits != "" {
		d.ram.machine.note(StepWrite, "its turn to download has come")
		d.waits = ""
	}
	if resp.StatusCode == http.StatusOK && d.at > 0 {
		_, err = io.CopyN(io.Discard, resp.Body, d.at)
	}
	return err
}

// told says what the download waits for.
func (d *download) told(turn sprout.Turn) {
	d.tries = 0
	if d.waits == turn.String() {
		return
	}
	d.waits = turn.String()
	d.ram.machine.note(StepWrite, "waits for %s", d.waits)
	d.ram.client.TryReport(d.ctx, sprout.Report{Order: d.order, Outcome: "progress", Progress: &sprout.Progress{Waits: d.waits}})
}

// corrupt flips one bit where a fault wants it.
func (d *download) corrupt(p []byte) {
	if d.corrupted || len(p) == 0 {
		return
	}
	if f, hit := d.ram.machine.fault(Corrupt, StepWrite, int(d.at*100/max(d.size, 1))); hit {
		d.ram.machine.note(StepWrite, "fault: %s", f)
		p[len(p)-1] ^= 1
		d.corrupted = true
	}
}

// truncates tells whether a fault ends the download here.
func (m *Machine) truncates(at, size int64) bool {
	f, hit := m.fault(Truncate, StepWrite, int(at*100/max(size, 1)))
	if hit {
		m.note(StepWrite, "fault: %s", f)
	}
	return hit
}

func (d *download) Close() error {
	if d.body == nil {
		return nil
	}
	err := d.body.Close()
	d.body = nil
	return err
}
