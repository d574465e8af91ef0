package server

import (
	"context"
	"net"
	"net/http"
	"time"

	"sprout"
)

const (
	sealGather = 200 * time.Millisecond // how long records may gather to be sealed together
	sealEvery  = 5 * time.Second        // also without news: what a replica that died left
	headEvery  = 10 * time.Minute       // how often the log names the head, while it moves
)

// seal chains the audit records that writers left, until ctx ends. Every replica
// may: one at a time does. The log names the head now and then, which whoever
// rewrites the database does not reach.
func (s *Server) seal(ctx context.Context) error {
	var logged sprout.AuditHead
	var at time.Time
	for ctx.Err() == nil {
		head, _, err := s.store.SealAudit(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.Error("audit records wait to be sealed", "error", err)
		case err == nil && head.Hash != logged.Hash && time.Since(at) > headEvery:
			s.logHead(head)
			logged, at = head, time.Now()
		}
		timer := time.NewTimer(sealEvery)
		select {
		case <-ctx.Done():
		case <-s.store.AuditNews():
			_ = sprout.Pause(ctx, sealGather)
		case <-timer.C:
		}
		timer.Stop()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	s.refusals.finish(last)
	if head, _, err := s.store.SealAudit(last); err == nil {
		s.logHead(head)
	}
	return nil
}

func (s *Server) logHead(head sprout.AuditHead) {
	s.log.Info("audit is sealed", "records", head.Records, "hash", head.Hash)
}

// sealNow seals what waits, this replica's refusals included, for who is about
// to read. Where that fails the sealed part can still be read; verify says what
// is wrong.
func (s *Server) sealNow(ctx context.Context) {
	if err := s.refusals.flush(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("refusals wait to be recorded", "error", err)
	}
	if _, _, err := s.store.SealAudit(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("audit records wait to be sealed", "error", err)
	}
}

type sourceKey struct{}

// withSource keeps the address that a request comes from, for the audit. It is
// the connection's: what headers say of it anybody can write.
func withSource(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sourceKey{}, host)))
	})
}

// source returns the address that the request came from, "" where there is none.
func source(ctx context.Context) string {
	host, _ := ctx.Value(sourceKey{}).(string)
	return host
}
