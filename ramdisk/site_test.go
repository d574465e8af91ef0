package ramdisk_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sprout"
	"sprout/hwtest/hwtesttest"
	"sprout/image"
)

const token = "a-token-of-one-boot"

// someTools stand for the squashfs with the tests' tools.
const someTools = "tools"

// A site is the agent's side of the ramdisk's protocol, with one machine.
type site struct {
	t      *testing.T
	server *httptest.Server
	hello  chan sprout.Hello
	ended  chan sprout.Report // done and failed

	// cutAfter, while positive, breaks the next download of an image off after
	// so many bytes.
	cutAfter atomic.Int64
	resumed  atomic.Int64
	// refuse is how many more reports are refused, in turns by breaking the
	// connection and by saying so.
	refuse atomic.Int64

	// away, while set, breaks every request off; broken counts them.
	away   atomic.Bool
	broken atomic.Int64
	over   atomic.Bool   // the boot attempt is: its token is refused
	asked  chan struct{} // one for each request of an image that was told to wait

	mu       sync.Mutex
	turns    []sprout.Turn // what the next requests of an image are told
	orders   []sprout.Order
	more     chan struct{}     // closed and renewed when orders grow
	tests    map[string][]byte // executables by digest
	tools    int               // how often the tests' tools were fetched
	progress []sprout.Progress
	done     sprout.TestsDone // what was said with progress
}

func newSite(t *testing.T, images *image.Store) *site {
	t.Helper()
	s := &site{t: t, asked: make(chan struct{}, 8), hello: make(chan sprout.Hello, 8), ended: make(chan sprout.Report, 64), more: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ramdisk/hello", s.takeHello)
	mux.HandleFunc("GET /ramdisk/order", s.giveOrder)
	mux.HandleFunc("POST /ramdisk/report", s.takeReport)
	mux.Handle("GET /ramdisk/payload", hwtesttest.Payload(token))
	mux.HandleFunc("GET "+sprout.TestPath+"{digest}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = w.Write(s.tests[r.PathValue("digest")])
	})
	mux.HandleFunc("GET "+sprout.ToolsPath, func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tools++
		_, _ = w.Write([]byte(someTools))
	})
	mux.Handle("GET /images/", s.cutting(images.Handler()))
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.away.Load() {
			s.broken.Add(1)
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.server.Close)
	return s
}

// guestURL is where a guest on QEMU's user network finds the site.
func (s *site) guestURL() string { return strings.Replace(s.server.URL, "127.0.0.1", "10.0.2.2", 1) }

func (s *site) authorized(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Authorization") == "Bearer "+token {
		return true
	}
	s.t.Errorf("%s %s came without the token", r.Method, r.URL)
	w.WriteHeader(http.StatusForbidden)
	return false
}

func (s *site) takeHello(w http.ResponseWriter, r *http.Request) {
	var h sprout.Hello
	if s.authorized(w, r) && json.NewDecoder(r.Body).Decode(&h) == nil {
		s.hello <- h
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *site) give(o sprout.Order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = append(s.orders, o)
	close(s.more)
	s.more = make(chan struct{})
}

// next returns the order after the named one, if there is one yet.
func (s *site) next(after string) (sprout.Order, bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := 0
	for i, o := range s.orders {
		if o.ID == after {
			at = i + 1
		}
	}
	if at < len(s.orders) {
		return s.orders[at], true, nil
	}
	return sprout.Order{}, false, s.more
}

func (s *site) giveOrder(w http.ResponseWriter, r *http.Request) {
	if s.over.Load() {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if !s.authorized(w, r) {
		return
	}
	held := time.After(2 * time.Second)
	for {
		o, ok, more := s.next(r.URL.Query().Get("after"))
		if ok {
			o = s.withDone(o)
			_ = json.NewEncoder(w).Encode(o)
			return
		}
		select {
		case <-more:
		case <-held:
			w.WriteHeader(http.StatusNoContent)
			return
		case <-r.Context().Done():
			return
		}
	}
}

// withDone returns an order to test with what was done of it before the machine
// restarted, as the agent does.
func (s *site) withDone(o sprout.Order) sprout.Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Test != nil {
		test, done := *o.Test, sprout.TestsDone{}
		done.Add(s.done.Results, s.done.Marks)
		test.Done, o.Test = &done, &test
	}
	return o
}

func (s *site) takeReport(w http.ResponseWriter, r *http.Request) {
	var report sprout.Report
	if !s.authorized(w, r) || json.NewDecoder(r.Body).Decode(&report) != nil {
		return
	}
	if left := s.refuse.Load(); left > 0 {
		if s.refuse.Add(-1); left%2 == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if report.Outcome == "progress" {
		s.mu.Lock()
		if report.Progress != nil {
			s.progress = append(s.progress, *report.Progress)
		}
		s.done.Add(report.Tests, report.Marks)
		s.mu.Unlock()
	} else {
		s.ended <- report
	}
	w.WriteHeader(http.StatusNoContent)
}

// await gives an order and waits for its end.
func (s *site) await(o sprout.Order, within time.Duration) sprout.Report {
	s.t.Helper()
	s.give(o)
	deadline := time.After(within)
	for {
		select {
		case r := <-s.ended:
			if r.Order == o.ID {
				return r
			}
		case <-deadline:
			s.t.Fatalf("order %s (%s) has not ended after %s", o.ID, o.Kind, within)
		}
	}
}

// cutting breaks one download off, as a site's network would.
func (s *site) cutting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.authorized(w, r) {
			return
		}
		if s.waits(w, r) {
			return
		}
		if r.Header.Get("Range") != "" {
			s.resumed.Add(1)
		}
		if n := s.cutAfter.Swap(0); n > 0 {
			w = &cutWriter{ResponseWriter: w, left: n}
		}
		next.ServeHTTP(w, r)
	})
}

// waits tells a request of an image to wait, where there is such an answer left.
func (s *site) waits(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.turns) == 0 {
		return false
	}
	if got := r.Header.Get("Prefer"); got != "respond-async" {
		s.t.Errorf("the ramdisk prefers %q", got)
	}
	turn := s.turns[0]
	s.turns = s.turns[1:]
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(turn)
	s.asked <- struct{}{}
	return true
}

type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}
