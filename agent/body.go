package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
)

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw) // who asked has gone: it asks again
	return nil
}

// piece is how many bytes are sent between two looks, at most.
const piece = 4 << 20

// seenWriter tells of everything that the other end took: a download of an hour
// is not silence.
type seenWriter struct {
	http.ResponseWriter
	saw   func()
	bytes int64 // taken so far
	// next, which may be nil, waits until bytes may be sent, and says how many, at
	// most so many as are wanted. Where they only keep the other end from leaving,
	// that it takes them tells nothing of it.
	next func(want int64) (may int64, idle bool, err error)
}

// Unwrap is for http.ResponseController.
func (w *seenWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *seenWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	w.saw()
	return n, err
}

// ReadFrom copies in pieces, so that the kernel's copying (sendfile) is used and
// each piece is still told of.
func (w *seenWriter) ReadFrom(r io.Reader) (total int64, err error) {
	rest, ok := r.(*io.LimitedReader) // what http.ServeContent hands over
	if !ok {
		rest = &io.LimitedReader{R: r, N: math.MaxInt64}
	}
	for rest.N > 0 {
		limit, idle := min(piece, rest.N), false
		if w.next != nil {
			if limit, idle, err = w.next(limit); err != nil {
				return total, err
			}
		}
		n, err := w.copy(io.LimitReader(rest.R, limit))
		total, w.bytes, rest.N = total+n, w.bytes+n, rest.N-n
		if idle && err == nil {
			err = http.NewResponseController(w.ResponseWriter).Flush()
		} else {
			w.saw()
		}
		if err != nil || n < limit {
			return total, err
		}
	}
	return total, nil
}

// copy sends all of r, by the kernel where it can.
func (w *seenWriter) copy(r io.Reader) (int64, error) {
	if from, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return from.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
}

// noise repeats a block of random bytes without end.
type noise struct {
	block []byte
	at    int
}

func newNoise() *noise {
	n := &noise{block: make([]byte, 64<<10)}
	source := rand.NewChaCha8([32]byte{'s', 'p', 'r', 'o', 'u', 't'})
	_, _ = source.Read(n.block) // never fails
	return n
}

func (n *noise) Read(p []byte) (int, error) {
	copied := copy(p, n.block[n.at:])
	n.at = (n.at + copied) % len(n.block)
	return copied, nil
}
