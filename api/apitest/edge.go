package apitest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// mostShown is how many breaches a test tells of: one defect shows often.
const mostShown = 10

// Edge returns what wraps the handler of a server: every answer is held to the
// document, and the test fails at its end if one broke it. It is to be called
// before the server's own end is left to t.Cleanup.
func Edge(tb testing.TB) func(http.Handler) http.Handler {
	tb.Helper()
	d, err := Open()
	if err != nil {
		tb.Fatal(err)
	}
	b := &breaches{}
	tb.Cleanup(func() { b.tell(tb) })
	return func(next http.Handler) http.Handler { return d.Edge(next, b.add) }
}

// Edge wraps a handler: broken is told how an answer breaks the document, from
// the goroutine of the request.
func (d *Document) Edge(next http.Handler, broken func(error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Clone(r.Context()) // a handler may change what it is given
		seen := &seenWriter{ResponseWriter: w}
		next.ServeHTTP(seen, r)
		if seen.cut {
			return
		}
		if err := d.Check(asked, seen.code(), w.Header(), seen.body.Bytes()); err != nil {
			broken(fmt.Errorf("%s %.200s answers %d: %w", asked.Method, asked.RequestURI, seen.code(), err))
		}
	})
}

// Transport holds every answer that a client gets to the document, for servers
// that run in processes of their own. next nil: http.DefaultTransport. Streams
// are left alone.
func Transport(tb testing.TB, next http.RoundTripper) http.RoundTripper {
	tb.Helper()
	d, err := Open()
	if err != nil {
		tb.Fatal(err)
	}
	if next == nil {
		next = http.DefaultTransport
	}
	b := &breaches{}
	tb.Cleanup(func() { b.tell(tb) })
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		if err != nil || !strings.HasSuffix(answer.Header.Get("Content-Type"), "json") {
			return answer, err
		}
		raw, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		_ = answer.Body.Close() // read to its end
		answer.Body = io.NopCloser(bytes.NewReader(raw))
		if err := d.Check(r, answer.StatusCode, answer.Header, raw); err != nil {
			b.add(fmt.Errorf("%s %s answers %d: %w", r.Method, r.URL.RequestURI(), answer.StatusCode, err))
		}
		return answer, nil
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Breaches are kept until the test ends: a request may outlive the line that
// made it.
type breaches struct {
	mu    sync.Mutex
	shown []error
	more  int
}

func (b *breaches) add(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.shown) < mostShown {
		b.shown = append(b.shown, err)
	} else {
		b.more++
	}
}

func (b *breaches) tell(tb testing.TB) {
	tb.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, err := range b.shown {
		tb.Errorf("the OpenAPI document is broken: %v", err)
	}
	if b.more > 0 {
		tb.Errorf("and %d answers more", b.more)
	}
}

// A seenWriter keeps the status of an answer, and its body where the document
// says more of it than its media type.
type seenWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	cut    bool // the client went away: what it did not take is not there
}

func (w *seenWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

func (w *seenWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *seenWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.cut = w.cut || err != nil
	if kind := w.Header().Get("Content-Type"); strings.Contains(kind, "json") || strings.HasPrefix(kind, "text/event-stream") {
		w.body.Write(p[:n])
	}
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *seenWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
