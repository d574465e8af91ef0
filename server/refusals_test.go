package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"testing"
	"time"

	"sprout"
)

// A sheet is what a book of refusals writes on, at a time that a test sets.
type sheet struct {
	*refusalBook
	now     time.Time
	fails   error
	written []sprout.AuditRecord
}

func newSheet() *sheet {
	p := &sheet{now: time.Unix(1_000_000, 0)}
	p.refusalBook = newRefusalBook(slog.New(slog.DiscardHandler), func(_ context.Context, list []sprout.AuditRecord) error {
		if p.fails != nil {
			return p.fails
		}
		p.written = append(p.written, list...)
		return nil
	})
	p.clock = func() time.Time { return p.now }
	return p
}

var counted = regexp.MustCompile(`^(\d+) more that have no record`)

// refusals is how many the records tell of, and how many of them only count.
func (p *sheet) refusals(t *testing.T) (all, tell int) {
	t.Helper()
	for _, r := range p.written {
		if r.Action != "refusals" {
			all++
			continue
		}
		n, err := strconv.Atoi(counted.FindStringSubmatch(r.Detail)[1])
		if err != nil || len(r.Detail) > longestRefusal+len("…") {
			t.Errorf("%q: %v", r.Detail, err)
		}
		all, tell = all+n, tell+1
	}
	return all, tell
}

// However many are refused, by however many tokens and addresses, there is a
// bounded number of records, and each refusal is in one of them.
func TestAFloodOfRefusalsLeavesFewRecords(t *testing.T) {
	for name, from := range map[string]func(i int) sprout.AuditRecord{
		"one address": func(int) sprout.AuditRecord { return sprout.AuditRecord{Source: "10.0.0.7"} },
		"one token":   func(i int) sprout.AuditRecord { return sprout.AuditRecord{Token: "tok_1", Source: fmt.Sprint(i)} },
		"many addresses": func(i int) sprout.AuditRecord {
			return sprout.AuditRecord{Source: fmt.Sprintf("10.%d.%d.1", i%200, i%251)}
		},
		"one IPv6 network": func(i int) sprout.AuditRecord {
			return sprout.AuditRecord{Source: fmt.Sprintf("2001:db8::%x", i%60000)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, sent := newSheet(), 0
			const minutes, aMinute = 30, 6000
			for range minutes {
				for range aMinute {
					r := from(sent)
					r.Action, r.Outcome = fmt.Sprint("a", sent%70), "refused"
					p.note(r)
					sent++
					p.now = p.now.Add(time.Minute / aMinute)
				}
				p.tell()
				if err := p.flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			all, tell := p.refusals(t)
			if most := refusedAtOnce + minutes*(refusedAMinute+toldAMinute+1); all != sent || len(p.written) > most {
				t.Errorf("%d refusals left %d records about %d; at most %d are allowed", sent, len(p.written), all, most)
			}
			if len(p.by) > mostRefused+1 || name == "one IPv6 network" && tell > minutes {
				t.Errorf("%d are known, %d records count", len(p.by), tell)
			}
			for range 3 { // who is quiet is forgotten
				p.now = p.now.Add(2 * time.Hour)
				p.tell()
			}
			if len(p.by) != 0 || p.flush(t.Context()) != nil {
				t.Errorf("%d are known for ever", len(p.by))
			}
		})
	}
}

// Honest refusals are each recorded, also those of a whole bulk.
func TestFewRefusalsAreRecordedOneByOne(t *testing.T) {
	p := newSheet()
	for i := range refusedAtOnceByOne {
		p.note(sprout.AuditRecord{Token: "tok_1", Action: "machine lock", Outcome: "refused", Name: fmt.Sprint("m", i)})
	}
	p.tell()
	if err := p.flush(t.Context()); err != nil || len(p.written) != refusedAtOnceByOne || !p.written[0].At.Equal(p.now) {
		t.Errorf("%d records, %v", len(p.written), err)
	}
}

// While the database is away a book does not grow, and forgets no refusal.
func TestRefusalsOutlastTheDatabase(t *testing.T) {
	p, sent := newSheet(), 0
	p.fails = errors.New("no connection")
	for range 50 {
		for range 500 {
			p.note(sprout.AuditRecord{Source: fmt.Sprint("10.0.0.", sent%9), Action: "machine deploy", Outcome: "refused"})
			sent++
		}
		p.tell()
		if p.flush(t.Context()) == nil {
			t.Fatal("it was written to nowhere")
		}
		p.now = p.now.Add(time.Minute)
	}
	if len(p.pending) > 2*refusedAtOnce {
		t.Errorf("%d wait to be written", len(p.pending))
	}
	p.fails = nil
	for range 2 {
		if err := p.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.tell()
	}
	p.finish(t.Context())
	if all, _ := p.refusals(t); all != sent {
		t.Errorf("%d of %d refusals are on record", all, sent)
	}
}

// Whoever is refused waits for no writer.
func TestRefusalsDoNotWaitForTheDatabase(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	b := newRefusalBook(slog.New(slog.DiscardHandler), func(context.Context, []sprout.AuditRecord) error {
		close(began)
		<-release
		return nil
	})
	b.note(sprout.AuditRecord{Source: "10.0.0.7"})
	done := make(chan error, 1)
	go func() { done <- b.flush(t.Context()) }()
	<-began
	for range 10 * refusedAtOnce {
		b.note(sprout.AuditRecord{Source: "10.0.0.7"}) // hangs here if it waits
	}
	if len(b.pending) == 0 {
		t.Error("nothing was noted meanwhile")
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWordsOfARequestAreFitForARecord(t *testing.T) {
	for in, want := range map[string]string{
		"m1": "m1", "a\x00b\xff": "a?b?", "token " + sprout.NewSecret() + " is": "token (secret) is",
	} {
		if got := words(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	long := make([]byte, 9000)
	for i := range long {
		long[i] = 'e'
	}
	if got := words(string(long)); len(got) != longestRefusal+len("…") {
		t.Errorf("%d bytes", len(got))
	}
}
