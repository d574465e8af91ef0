package bench_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/bench"
	"sprout/store"
	"sprout/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// changes is how many changes, and notifications, are timed.
const changes = 1000

// BenchmarkWatchVsNotify times a change of a machine from its commit to its event
// at a client over HTTP, with the machine as it is then, against a notification
// from one connection to another on the same PostgreSQL, one after the other.
func BenchmarkWatchVsNotify(b *testing.B) {
	url := storetest.NewURL(b)
	events := watched(b, url)
	s, err := store.Open(b.Context(), url, 4, store.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	site := storetest.Site(b, s, "lon1")
	m := storetest.Machine(b, s, site.ID, "m1", "52:54:00:00:00:01")
	bare := notified(b, url)
	var ours, theirs []time.Duration
	for i := range changes + 50 {
		tags := []string{fmt.Sprint(i)}
		if err := s.Tx(b.Context(), func(ctx context.Context, tx pgx.Tx) error {
			err := s.UpdateMachine(ctx, tx, m.ID, store.MachineChange{Tags: &tags})
			return err
		}); err != nil {
			b.Fatal(err)
		}
		committed := time.Now()
		for told := range events {
			if strings.Contains(string(told.Resource), `"tags":["`+tags[0]+`"]`) {
				break
			}
		}
		took := time.Since(committed)
		if round := bare(); i >= 50 { // the first ones warm up
			ours, theirs = append(ours, took), append(theirs, round)
		}
	}
	a, z := p99(ours), p99(theirs)
	if err := (bench.Line{Name: "watch-vs-notify", Sprout: a, Peer: "notify", Other: z}).Print(os.Stdout); err != nil {
		b.Error(err)
	}
}

// p99 is in milliseconds.
func p99(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)*99/100]) / float64(time.Millisecond)
}

// watched runs a control plane on the database and watches its machines.
func watched(b *testing.B, url string) <-chan sprout.WatchEvent {
	b.Helper()
	to := planeAt(b, url).admin
	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(stop)
	events, open := make(chan sprout.WatchEvent, 100), make(chan struct{})
	go func() {
		defer close(events)
		for e, err := range to.Watch(ctx, api.WatchEvents{Noun: []sprout.Noun{sprout.NounMachine}, Resource: true}) {
			if err != nil {
				b.Error(err)
				return
			}
			if e.What == sprout.Opened {
				close(open)
				continue
			}
			events <- e
		}
	}()
	<-open
	return events
}

// notified returns what times one notification.
func notified(b *testing.B, url string) func() time.Duration {
	b.Helper()
	var conns [2]*pgx.Conn
	for i := range conns {
		var err error
		if conns[i], err = pgx.Connect(b.Context(), url); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conns[i].Close(context.Background()) })
	}
	if _, err := conns[0].Exec(b.Context(), `LISTEN bench`); err != nil {
		b.Fatal(err)
	}
	heard := make(chan error)
	go func() {
		for {
			_, err := conns[0].WaitForNotification(b.Context())
			heard <- err
			if err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() {
		if err := <-heard; err == nil {
			b.Error("somebody else notified")
		}
	})
	return func() time.Duration {
		began := time.Now()
		if _, err := conns[1].Exec(b.Context(), `SELECT pg_notify('bench', '')`); err != nil {
			b.Fatal(err)
		}
		if err := <-heard; err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
}
