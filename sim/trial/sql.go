package trial

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A Statement is one text that was sent to the database.
type Statement struct {
	SQL     string  `json:"sql"` // its beginning, white space collapsed
	Count   int64   `json:"count"`
	Seconds float64 `json:"seconds"` // that its callers waited, in all
}

// statements counts what goes to the database. It is a pgx tracer.
type statements struct {
	mu           sync.Mutex
	total        int64
	transactions int64
	byText       map[string]*Statement
}

var (
	_ pgx.QueryTracer       = (*statements)(nil)
	_ pgx.BatchTracer       = (*statements)(nil)
	_ pgxpool.AcquireTracer = (*statements)(nil)
)

type startedKey struct{}

// A started is a statement under way.
type started struct {
	sql string
	at  time.Time
}

// TraceQueryStart implements pgx.QueryTracer.
func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, startedKey{}, started{q.SQL, time.Now()})
}

// TraceQueryEnd implements pgx.QueryTracer.
func (s *statements) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if q, ok := ctx.Value(startedKey{}).(started); ok {
		s.add(q.sql, time.Since(q.at))
	}
}

// TraceBatchStart implements pgx.BatchTracer.
func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (s *statements) TraceBatchQuery(_ context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	s.add(q.SQL, 0)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// waitForConnection stands in the list of statements for what none is.
const waitForConnection = "(a free connection of the pool)"

// TraceAcquireStart implements pgxpool.AcquireTracer.
func (s *statements) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return context.WithValue(ctx, startedKey{}, started{waitForConnection, time.Now()})
}

// TraceAcquireEnd implements pgxpool.AcquireTracer.
func (s *statements) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	if q, ok := ctx.Value(startedKey{}).(started); ok {
		s.add(q.sql, time.Since(q.at))
	}
}

func (s *statements) add(sql string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sql != waitForConnection {
		s.total++
	}
	if strings.HasPrefix(sql, "begin") {
		s.transactions++
	}
	if s.byText == nil {
		s.byText = map[string]*Statement{}
	}
	at := s.byText[sql]
	if at == nil {
		at = &Statement{}
		s.byText[sql] = at
	}
	at.Count++
	at.Seconds += took.Seconds()
}

func (s *statements) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total, s.transactions, s.byText = 0, 0, nil
}

// counts returns how many statements and transactions there were, and their
// texts, those that their callers waited for most first.
func (s *statements) counts() (total, transactions int64, top []Statement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sql, at := range s.byText {
		top = append(top, Statement{SQL: brief(sql), Count: at.Count, Seconds: at.Seconds})
	}
	slices.SortFunc(top, func(a, b Statement) int { return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.SQL, b.SQL)) })
	return s.total, s.transactions, top
}

// briefly is how much of a statement's text a report shows.
const briefly = 110

func brief(sql string) string {
	var lines []string
	for line := range strings.Lines(sql) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	text := []rune(strings.Join(strings.Fields(strings.Join(lines, " ")), " "))
	if len(text) > briefly {
		return string(text[:briefly]) + "…"
	}
	return string(text)
}
