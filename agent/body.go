package agent

import (
	"encoding/json"
	"fmt"
	"io"
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

// seenWriter tells of everything that the other end took: a download of an hour
// is not silence.
type seenWriter struct {
	http.ResponseWriter
	saw   func()
	bytes int64 // taken so far
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
	from, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	const piece = 4 << 20
	limit := int64(piece)
	rest, limited := r.(*io.LimitedReader) // what http.ServeContent hands over
	for {
		if limited {
			limit = min(piece, rest.N)
		}
		if limit == 0 {
			return total, nil
		}
		src := r
		if limited {
			src = rest.R
		}
		n, err := from.ReadFrom(io.LimitReader(src, limit))
		total += n
		w.bytes += n
		if limited {
			rest.N -= n
		}
		w.saw()
		if err != nil || n < limit {
			return total, err
		}
	}
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
