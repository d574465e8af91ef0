package server

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"sprout"
	"sprout/api"
	"sprout/store"
)

const (
	mostExports = 4           // at once in one replica
	lineWithin  = time.Minute // a client that takes no more lines for so long is let go
)

// auditExport streams records part by part: it holds one part, no transaction
// and no connection, however many records there are and however slow the client.
// It ends at the head that it found when it began, and says so in its last line.
func (s *Server) auditExport(ctx context.Context, in *api.ExportAudit) (api.Lines, error) {
	s.sealNow(ctx)
	head, err := s.store.AuditHead(ctx)
	if err != nil {
		return api.Lines{}, err
	}
	if in.After > head.Records {
		return api.Lines{}, sprout.InvalidField("after", "there is no record %d: the last one is %d", in.After, head.Records).WithRemedy("sprout audit verify")
	}
	f, end := auditFilter(ctx, in.AuditFilter), api.AuditEnd{End: true, Last: head.Records, After: in.After}
	every := scope(ctx).Every()
	end.Part = !every || in.AuditFilter != api.AuditFilter{}
	if every {
		end.Head = &head
	}
	if every && in.After > 0 {
		before, err := s.store.AuditRecord(ctx, in.After)
		if err != nil {
			return api.Lines{}, err
		}
		end.Hash = before.Hash
	}
	return api.Lines{Serve: func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.exports <- struct{}{}:
			defer func() { <-s.exports }()
		default:
			api.WriteFault(w, api.FaultOf(r.Context(), sprout.Errorf(sprout.Unavailable, "cannot export now: %d exports run already", mostExports).WithRemedy("ask again later")))
			return
		}
		if err := s.writeAudit(r.Context(), w, f, in.After, end); err != nil {
			s.log.Warn("an export of the audit was cut off", "id", api.RequestID(r.Context()), "error", err)
			panic(http.ErrAbortHandler) // the client must not take it for whole
		}
	}}, nil
}

func (s *Server) writeAudit(ctx context.Context, w http.ResponseWriter, f store.AuditFilter, after int64, end api.AuditEnd) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 64<<10)
	lines, connection := json.NewEncoder(out), http.NewResponseController(w)
	for more := true; more; {
		if err := connection.SetWriteDeadline(time.Now().Add(lineWithin)); err != nil {
			return err
		}
		part, err := s.store.AuditAfter(ctx, f, after, end.Last)
		if err != nil {
			return err
		}
		for _, r := range part {
			if err := lines.Encode(r); err != nil {
				return err
			}
			after = r.Seq
		}
		end.Records += int64(len(part))
		more = len(part) == store.AuditPart
	}
	if err := lines.Encode(end); err != nil {
		return err
	}
	return out.Flush()
}
