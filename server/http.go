package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"sprout"
	"sprout/api"
)

// Handler is the whole HTTP surface: the API, its document, and health.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.routes(mux)
	mux.HandleFunc("GET /healthz", s.serveHealth)
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("GET /openapi.json", serveDocument)
	return s.identify(s.recover(plainToFault(mux)))
}

// serveDocument serves the OpenAPI document of this version.
func serveDocument(w http.ResponseWriter, r *http.Request) {
	raw, err := api.Document()
	if err != nil {
		writeFault(w, api.FaultOf(r.Context(), err))
		return
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(raw)
}

// identify gives each request an id that the answer, the log and the audit
// carry, and logs it.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := "req_" + strings.ToLower(sprout.NewSecret()[:16])
		w.Header().Set("Request-Id", id)
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r.WithContext(api.WithRequestID(r.Context(), id)))
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
			writeFault(w, api.FaultOf(r.Context(), sprout.Errorf(sprout.Internal, "panic")))
		}()
		next.ServeHTTP(w, r)
	})
}

// plainToFault makes problem documents of the mux's own plain 404 and 405.
func plainToFault(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		probe := &probeWriter{header: http.Header{}}
		mux.ServeHTTP(probe, r)
		if probe.status == http.StatusMethodNotAllowed {
			allowed := probe.header.Get("Allow")
			w.Header().Set("Allow", allowed)
			writeFault(w, api.NewFault(r.Context(), probe.status, sprout.NotFound, r.Method+" is not allowed on "+r.URL.Path+"; allowed are "+allowed))
			return
		}
		f := api.NewFault(r.Context(), http.StatusNotFound, sprout.NotFound, "there is nothing at "+r.URL.Path)
		f.Remedy = "GET /openapi.json lists every operation"
		writeFault(w, f)
	})
}

func writeFault(w http.ResponseWriter, f *api.Fault) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(f)
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

// A statusWriter remembers the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
