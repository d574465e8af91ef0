package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A notice is a notification that is to be sent.
type notice struct{ channel, payload string }

// tellWithin bounds how long sending news may take.
const tellWithin = 5 * time.Second

// A teller sends notifications of what has committed, each batch in a statement
// of its own: at once when none is on its way, else together with what gathers
// meanwhile. PostgreSQL lets only one transaction commit at a time that notifies
// (the lock of its queue is held until the commit is on disk), and one that does
// nothing else writes nothing to disk. News that is lost only costs time:
// whoever waits for it also looks.
type teller struct {
	pool    *pgxpool.Pool
	mu      sync.Mutex
	waiting []notice
	known   map[notice]bool // those that wait
	sending bool
	sender  sync.WaitGroup
}

// tell sends news soon; nobody waits for it.
func (t *teller) tell(news []notice) {
	if len(news) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range news {
		if t.known == nil {
			t.known = map[notice]bool{}
		}
		if !t.known[n] {
			t.known[n], t.waiting = true, append(t.waiting, n)
		}
	}
	if !t.sending {
		t.sending = true
		t.sender.Go(t.send)
	}
}

// send sends until nothing waits.
func (t *teller) send() {
	for news := t.take(); len(news) > 0; news = t.take() {
		var channels, payloads []string
		for _, n := range news {
			channels, payloads = append(channels, n.channel), append(payloads, n.payload)
		}
		ctx, cancel := context.WithTimeout(context.Background(), tellWithin)
		_, _ = t.pool.Exec(ctx, `SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS news (channel, payload)`, channels, payloads)
		cancel()
	}
}

// take returns what waits; the sender ends when that is nothing.
func (t *teller) take() []notice {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := t.waiting
	t.waiting, t.known = nil, nil
	t.sending = len(news) > 0
	return news
}

// wait returns once all news is sent.
func (t *teller) wait() { t.sender.Wait() }
