package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"sprout"
	"sprout/api"
)

// Handler is the whole HTTP surface: the API, its document with a page that
// shows it, and health.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.routes(mux)
	mux.HandleFunc("GET /healthz", s.serveHealth)
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("GET /openapi.json", serveDocument)
	apiDocRoutes(mux)
	pageRoutes(mux)
	return withSource(s.identify(s.recover(bounded(plainToFault(mux)))))
}

// serveDocument serves the OpenAPI document of this version.
func serveDocument(w http.ResponseWriter, r *http.Request) {
	raw, err := api.Document()
	if err != nil {
		api.WriteFault(w, api.FaultOf(r.Context(), err))
		return
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(raw)
}

// identify gives each request an id, the one that it came with where that is
// sane; the answer, the log, the audit and the workflow carry it. A request that
// was refused is noted once it is answered.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := api.TakeRequestID(r.Header)
		w.Header().Set("Request-Id", id)
		began := time.Now()
		seen := &seenWriter{ResponseWriter: w, status: http.StatusOK, visit: &visit{}}
		r = r.WithContext(context.WithValue(api.WithRequestID(r.Context(), id), visitKey{}, seen.visit))
		next.ServeHTTP(seen, r)
		if record, ok := seen.visit.refusal(r); ok {
			s.refusals.note(record)
		}
		s.log.Log(r.Context(), slog.LevelDebug, "request", "id", id, "method", r.Method, "path", r.URL.Path, "status", seen.status, "took", time.Since(began))
	})
}

// recover turns a panic into a problem document and a line in the log.
func (s *Server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler { //nolint:errorlint // a sentinel that is panicked with
				panic(cause)
			}
			s.log.Error("panic in a request", "id", api.RequestID(r.Context()), "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
			api.WriteFault(w, api.FaultOf(r.Context(), sprout.Errorf(sprout.Internal, "panic")))
		}()
		next.ServeHTTP(w, r)
	})
}

const (
	maxURL    = 8 << 10  // bytes of a path with its query
	maxHeader = 32 << 10 // bytes of all headers; net/http cuts off before it reads far more
)

// bounded refuses what is too long before anything looks at it.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		long := 0
		for name, values := range r.Header {
			for _, value := range values {
				long += len(name) + len(value) + 4
			}
		}
		switch {
		case len(r.RequestURI) > maxURL:
			api.WriteFault(w, api.NewFault(r.Context(), http.StatusRequestURITooLong, sprout.Invalid, fmt.Sprintf("the path with its query has %d bytes; %d are the most", len(r.RequestURI), maxURL)))
		case long > maxHeader:
			api.WriteFault(w, api.NewFault(r.Context(), http.StatusRequestHeaderFieldsTooLarge, sprout.Invalid, fmt.Sprintf("the headers have %d bytes; %d are the most", long, maxHeader)))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// plainToFault makes problem documents of the mux's own plain 404 and 405, and
// of its redirects of paths such as //v1: a client must not be sent elsewhere.
func plainToFault(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		escaped := r.URL.EscapedPath()
		clean := escaped == "/" || path.Clean(escaped) == strings.TrimSuffix(escaped, "/")
		if _, pattern := mux.Handler(r); pattern != "" && clean {
			mux.ServeHTTP(w, r)
			return
		}
		probe := &probeWriter{header: http.Header{}}
		if clean {
			mux.ServeHTTP(probe, r)
		}
		if probe.status == http.StatusMethodNotAllowed {
			allowed := probe.header.Get("Allow")
			w.Header().Set("Allow", allowed)
			api.WriteFault(w, api.NewFault(r.Context(), probe.status, sprout.NotFound, r.Method+" is not allowed on "+r.URL.Path+"; allowed are "+allowed))
			return
		}
		f := api.NewFault(r.Context(), http.StatusNotFound, sprout.NotFound, "there is nothing at "+r.URL.Path)
		f.Remedy = "GET /openapi.json lists every operation"
		api.WriteFault(w, f)
	})
}

// A probeWriter keeps the status and header of an answer and drops its body.
type probeWriter struct {
	header http.Header
	status int
}

func (p *probeWriter) Header() http.Header { return p.header }
func (p *probeWriter) WriteHeader(s int)   { p.status = s }
func (p *probeWriter) Write(b []byte) (int, error) {
	if p.status == 0 {
		p.status = http.StatusOK
	}
	return len(b), nil
}
